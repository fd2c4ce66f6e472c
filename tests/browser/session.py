"""Stock TensorBoard and a headless Chromium in front of it, each ended with its `with` block."""

import contextlib
import re
import shutil
import subprocess
import tempfile
import threading

from selenium import webdriver

START_SECS = 60


@contextlib.contextmanager
def tensorboard(program, logdir, directory=None):
    """Runs `program` over `logdir`, in `directory` if one is given, and gives the address it serves
    on."""
    command = [program, "--logdir", logdir, "--host", "127.0.0.1", "--port", "0"]
    process = subprocess.Popen(
        command,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    # A server that never answers is ended, which ends the reading below.
    deadline = threading.Timer(START_SECS, process.kill)
    deadline.start()
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            address = re.search(r"http://127\.0\.0\.1:\d+/", line)
            if address:
                break
        else:
            raise RuntimeError("TensorBoard did not start:\n" + "".join(said))
        deadline.cancel()
        # The pipe is emptied, so that what TensorBoard says later cannot block it.
        threading.Thread(target=process.communicate, daemon=True).start()
        yield address.group()
    finally:
        deadline.cancel()
        process.kill()
        process.wait()


@contextlib.contextmanager
def chromium(width, height, webgl=False):
    """A new Chromium with an empty profile; gives selenium's driver of it. `webgl` draws as a graphics
    card would, where a page needs it."""
    graphics = ["--disable-gpu"]
    if webgl:
        graphics = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        raise RuntimeError(
            "Chromium or its driver is missing; on Debian: apt-get install chromium chromium-driver"
        )
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = browser
        for argument in [
            "--headless=new",
            "--no-sandbox",
            *graphics,
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
        ]:
            options.add_argument(argument)
        session = webdriver.Chrome(options, webdriver.ChromeService(driver))
        try:
            yield session
        finally:
            session.quit()
