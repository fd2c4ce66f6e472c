"""What somebody sees who trains a few times and opens TensorBoard."""

import io
import json
import os
import re
import subprocess
import tempfile
import time
import unittest
import urllib.request
from pathlib import Path

from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from session import chromium, tensorboard

ROOT = Path(__file__).resolve().parents[2]
TENSORBOARD = os.environ.get("CNN_TB_TENSORBOARD", ROOT / ".venv/bin/tensorboard")
SEEDS = [1, 2, 3]
# So far apart that no curve hides another.
RATES = ["0.006", "0.001", "0.0002"]
SPLITS = ["train", "validation"]
PATIENCE_SECS = 60

# The page's groups from top to bottom: name, and whether it is open.
GROUPS = """
return [...document.querySelectorAll("metrics-card-groups-component .card-group")].map(group => [
    group.querySelector(".group-title").textContent.trim(),
    group.querySelector("metrics-card-grid card-view") !== null,
]);
"""

# The legend of a chart: each run with its colour.
LEGEND = """
return [...arguments[0].querySelectorAll("tb-data-table-content-row")].map(row => [
    row.innerText,
    getComputedStyle(row.querySelector(".row-circle span")).backgroundColor,
]);
"""


def train(logdir):
    """Trains three times for two epochs, as `make build` built the program."""
    program = ["cargo", "run", "--release", "--locked", "--quiet", "--"]
    for seed, rate in zip(SEEDS, RATES):
        settings = ["--epochs", "2", "--seed", str(seed), "--learning-rate", rate]
        settings += ["--logdir", f"{logdir}/seed-{seed}"]
        subprocess.run([*program, "train", "--quiet", *settings], cwd=ROOT, check=True)


def wait_for_last_tags(address):
    """Waits until TensorBoard has loaded what each training logs last."""
    deadline = time.monotonic() + PATIENCE_SECS
    while True:
        with urllib.request.urlopen(f"{address}data/plugin/scalars/tags") as answer:
            tags = json.load(answer)
        if all("test/loss" in tags.get(f"seed-{seed}", {}) for seed in SEEDS):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"TensorBoard has loaded only {tags}")
        time.sleep(0.1)


def columns_of(colour, image):
    """In what share of the image's columns that colour is drawn."""
    pixels = image.load()
    drawn = sum(
        any(
            all(abs(a - b) <= 8 for a, b in zip(pixels[x, y], colour))
            for y in range(image.height)
        )
        for x in range(image.width)
    )
    return drawn / image.width


class FirstScreen(unittest.TestCase):
    def test_curves_of_several_runs_are_drawn(self):
        with tempfile.TemporaryDirectory() as logdir:
            train(logdir)
            with tensorboard(TENSORBOARD, logdir) as address, chromium(1600, 1200) as browser:
                wait_for_last_tags(address)
                browser.get(address)
                self.look_at_page(browser, WebDriverWait(browser, PATIENCE_SECS))

    def look_at_page(self, browser, wait):
        """Of the groups the first two, and only they, are open, and show their charts."""
        groups = wait.until(lambda _: browser.execute_script(GROUPS))
        opened = [name for name, is_open in groups if is_open]
        self.assertEqual(opened, ["accuracy", "loss"], groups)
        self.assertEqual([name for name, _ in groups[:2]], opened)
        for tag in opened:
            self.look_at_chart(browser, wait, tag)

    def look_at_chart(self, browser, wait, tag):
        """The tag's chart names every run's splits, and draws each in its colour."""
        card = browser.find_element(
            By.XPATH, f"//card-view[.//*[@title='{tag}']][.//line-chart]"
        )
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", card)
        names = [f"seed-{seed}/{split}" for seed in SEEDS for split in SPLITS]

        def drawn(_):
            # A row reads: name, smoothed value, value, step, time.
            rows = [(row.split(), colour) for row, colour in browser.execute_script(LEGEND, card)]
            if sorted(row[0] for row, _ in rows if row) != names:
                return None
            chart = card.find_element(By.CSS_SELECTOR, "line-chart .series-view")
            image = Image.open(io.BytesIO(chart.screenshot_as_png)).convert("RGB")
            colours = {row[0]: tuple(map(int, re.findall(r"\d+", colour))) for row, colour in rows}
            shares = {name: columns_of(colour, image) for name, colour in colours.items()}
            # The two points of a run lie near the left and the right edge; a part of its line may
            # be hidden by another's.
            return shares if min(shares.values()) > 0.2 else None

        shares = wait.until(drawn, f"{tag}: not all of {names} are drawn")
        print(tag, {name: f"{share:.0%}" for name, share in shares.items()})


if __name__ == "__main__":
    unittest.main()
