"""What the tests in a browser share: when they run, the browser, and a look at boxes that stick out of a page."""

from contextlib import contextmanager

import pytest

from advcourse.course.doctor import chromium

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
MARKS = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(chromium() is None, reason="Chromium is not installed (apt-get install chromium)"),
]

# Boxes that stick out of the page, but for what stands in a box that scrolls.
OUTSIDE = """() => [...document.querySelectorAll("main *")]
    .filter(one => !one.closest(".scroll, figure div") && one.getBoundingClientRect().right > innerWidth + 0.5)
    .map(one => one.outerHTML.slice(0, 80))"""


@contextmanager
def opened_browser():
    """A headless Chromium."""
    with playwright.sync_playwright() as driver:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = driver.chromium.launch(executable_path=chromium(), args=arguments)
        yield browser
        browser.close()
