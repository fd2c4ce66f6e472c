"""Photographs the dashboards of stock TensorBoard.

usage: screenshot.py TENSORBOARD LOGDIR DIRECTORY RUN

The article's figures, validation accuracy and loss by epoch, become DIRECTORY/tensorboard.png: of all
runs of LOGDIR. Every other page shows the run directory RUN alone and becomes DIRECTORY/PAGE.png.
"""

import io
import json
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from pages import PAGES, count_drawn
from session import chromium, tensorboard

# The article's figures: validation by epoch, as it was.
VIEW = {"darkMode": "false", "smoothing": "0", "runFilter": "validation"}
# Wide charts alone, without the settings beside and the tables below them.
SETTINGS = {
    "timeSeriesCardMinWidth": 700,
    "timeSeriesSettingsPaneOpened": False,
    "stepSelectorEnabled": False,
    "ignoreOutliers": False,
    "sideBarWidthInPercent": 22,
}
PATIENCE_SECS = 60
# Animations, of a GIF and of the projector's cloud, never settle: so long they are given.
DRAWING_SECS = 12
GROUPS = ["accuracy", "loss"]

def settled_image(browser, wait):
    """The page's image once it no longer changes."""
    images = [None]

    def unchanged(_):
        images.append(browser.get_screenshot_as_png())
        return images[-1] if images[-1] == images[-2] else None

    return wait.until(unchanged)


def save(image, path):
    """Writes a picture with at most 256 colours: a third of the bytes, and no eye sees it."""
    picture = Image.open(io.BytesIO(image)).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    print(path)


def figures(address, path):
    """The article's figures, on TensorBoard's first page."""
    with chromium(1280, 1190, webgl=True) as browser:
        wait = WebDriverWait(browser, PATIENCE_SECS, poll_frequency=2)
        # Settings belong to the address, so some page of it must be open first.
        browser.get(f"{address}data/runs")
        keep = "localStorage.setItem('_tb_global_settings', arguments[0])"
        browser.execute_script(keep, json.dumps(SETTINGS))
        browser.get(f"{address}?{urllib.parse.urlencode(VIEW)}")
        for group in GROUPS:
            chart = f"//card-view[.//*[@title='{group}']]//line-chart//canvas"
            wait.until(lambda _: browser.find_elements(By.XPATH, chart))
        save(settled_image(browser, wait), path)


def photograph(address, page, path):
    """One dashboard."""
    with chromium(1280, page.height, webgl=page.webgl) as browser:
        wait = WebDriverWait(browser, PATIENCE_SECS, poll_frequency=2)
        browser.get(f"{address}?darkMode=false#{page.name}")
        is_drawn = lambda _: count_drawn(browser, page) >= page.count
        wait.until(is_drawn, f"{page.name}: nothing is drawn")
        time.sleep(DRAWING_SECS)
        save(browser.get_screenshot_as_png(), path)


def main():
    program, logdir, directory, run = sys.argv[1:]
    with tensorboard(program, logdir) as address:
        figures(address, Path(directory) / "tensorboard.png")
    with tempfile.TemporaryDirectory() as above:
        # Pages say where the log is: `runs`, wherever that may be.
        one = Path(above) / "runs"
        one.mkdir()
        (one / Path(run).name).symlink_to(Path(run).resolve())
        with tensorboard(str(Path(program).absolute()), "runs", above) as address:
            for page in PAGES:
                photograph(address, page, Path(directory) / f"{page.name}.png")


if __name__ == "__main__":
    main()
