"""Find a Chromium for the browser tests, or install one: `python -m tests.chromium` prints which.

The one on the machine is taken; else Debian's package where apt and rights allow; else Playwright's own.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find() -> str | None:
    """The path of a Chromium, or None."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    try:
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            path = playwright.chromium.executable_path
    except Exception:
        return None
    return path if path and Path(path).exists() else None


def install() -> str | None:
    """Try Debian's package, then Playwright's own build; the path of what is there afterwards, or None."""
    commands = []
    if shutil.which("apt-get") and os.geteuid() == 0:
        commands = [["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"]]
    for command in commands:
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    if find() is None:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], capture_output=True, check=False)
    return find()


def apart(work: Callable[[], T]) -> T:
    """What `work` gives, run in a thread of its own.

    Playwright's plain interface starts only where no event loop runs, and the browser of other tests leaves one behind.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


if __name__ == "__main__":
    found = find() or install()
    print(f"Chromium: {found}" if found else "No Chromium could be had: the browser tests will be skipped.")
