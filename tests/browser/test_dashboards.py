"""What somebody sees who trains once and opens every page of TensorBoard."""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from selenium.webdriver.support.ui import WebDriverWait

from pages import PAGES, count_drawn, text
from session import chromium, tensorboard

ROOT = Path(__file__).resolve().parents[2]
TENSORBOARD = os.environ.get("CNN_TB_TENSORBOARD", ROOT / ".venv/bin/tensorboard")
PATIENCE_SECS = 60
# Words that a page must show.
WORDS = {
    "graphs": ["input", "conv1", "conv2", "fc1", "fc2", "loss"],
    "hparams": ["exp1", "batch_size", "learning_rate"],
    "custom_scalars": ["Validation accuracy", "Validation loss"],
    "text": ["config", "machine"],
    "projector": ["Points: 2000", "Dimension: 128"],
}


class Dashboards(unittest.TestCase):
    def test_every_page_is_filled(self):
        with tempfile.TemporaryDirectory() as logdir:
            program = ["cargo", "run", "--release", "--locked", "--quiet", "--"]
            settings = ["--quiet", "--epochs", "2", "--logdir", f"{logdir}/exp1"]
            subprocess.run([*program, "train", *settings], cwd=ROOT, check=True)
            with tensorboard(TENSORBOARD, logdir) as address:
                for page in PAGES:
                    with self.subTest(page.name):
                        with chromium(1280, page.height, webgl=page.webgl) as browser:
                            self.look_at(address, page, browser)

    def look_at(self, address, page, browser):
        """The page shows as many things as a training logs, and the words that belong there."""
        wait = WebDriverWait(browser, PATIENCE_SECS)
        browser.get(f"{address}#{page.name}")
        wait.until(
            lambda _: count_drawn(browser, page) >= page.count,
            f"{page.name}: fewer than {page.count} of {page.drawn}",
        )
        words = WORDS.get(page.name, [])
        wait.until(
            lambda _: all(word in text(browser) for word in words),
            f"{page.name}: not all of {words} are there",
        )
        print(page.name, count_drawn(browser, page), page.drawn)


if __name__ == "__main__":
    unittest.main()
