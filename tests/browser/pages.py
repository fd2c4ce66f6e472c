"""TensorBoard's pages, and what is on them once something is drawn."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """A page, as its address names it."""

    name: str
    # The height of the window in which a photograph shows what matters.
    height: int
    # An element that is there once something is drawn, and how many of it a training makes.
    drawn: str
    count: int
    # Whether it is drawn by WebGL alone.
    webgl: bool = False


PAGES = [
    Page("images", 2200, "img", 6),
    Page("graphs", 700, "g.node", 6),
    Page("histograms", 1000, "vz-histogram-timeseries", 4),
    Page("distributions", 1000, "vz-distribution-chart", 4),
    Page("hparams", 420, "table", 1),
    Page("pr_curves", 760, "vz-line-chart2", 10),
    Page("custom_scalars", 860, "vz-line-chart2", 4),
    Page("text", 1000, "tf-text-loader", 2),
    Page("projector", 900, "canvas", 1, webgl=True),
]

# Pages are built of nested shadow roots, and the projector's of frames, which no plain selector looks
# into. Of images only those count that have arrived.
_EVERY = """
const inside = (element) => element.shadowRoot ?? element.contentDocument;
const every = (root) => [...root.querySelectorAll("*")].flatMap((element) => [
    element, ...(inside(element) ? every(inside(element)) : []),
]);
"""
_COUNT = _EVERY + """
const drawn = every(document).filter((element) => element.matches(arguments[0]));
return drawn.filter((element) => element.tagName !== "IMG" || element.naturalWidth > 1).length;
"""
_TEXT = _EVERY + """
const leaves = every(document).filter((element) => !element.shadowRoot);
// Drawings have no innerText.
return leaves.map((element) => element.innerText ?? element.textContent).join("\\n");
"""


def count_drawn(browser, page):
    """How many of the page's elements are there."""
    return browser.execute_script(_COUNT, page.drawn)


def text(browser):
    """All text of the page that is open."""
    return browser.execute_script(_TEXT)
