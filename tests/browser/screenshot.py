"""Photographs stock TensorBoard's first page.

usage: screenshot.py TENSORBOARD LOGDIR IMAGE.png
"""

import json
import sys
import urllib.parse

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

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
GROUPS = ["accuracy", "loss"]


def settled_image(browser, wait):
    """The page's image once it no longer changes."""
    images = [None]

    def unchanged(_):
        images.append(browser.get_screenshot_as_png())
        return images[-1] if images[-1] == images[-2] else None

    return wait.until(unchanged)


def main():
    program, logdir, image = sys.argv[1:]
    with tensorboard(program, logdir) as address, chromium(1280, 1190) as browser:
        wait = WebDriverWait(browser, PATIENCE_SECS, poll_frequency=2)
        # Settings belong to the address, so some page of it must be open first.
        browser.get(f"{address}data/runs")
        keep = "localStorage.setItem('_tb_global_settings', arguments[0])"
        browser.execute_script(keep, json.dumps(SETTINGS))
        browser.get(f"{address}?{urllib.parse.urlencode(VIEW)}")
        for group in GROUPS:
            chart = f"//card-view[.//*[@title='{group}']]//line-chart//canvas"
            wait.until(lambda _: browser.find_elements(By.XPATH, chart))
        picture = settled_image(browser, wait)
    with open(image, "wb") as file:
        file.write(picture)


if __name__ == "__main__":
    main()
