"""Chapter 00 as a reader sees it: `advcourse lab`, a real browser, run all, move the slider, look at the picture."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from pages import MARKS, opened_browser, playwright

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = "chapters/00_start_here.ipynb"
SECONDS = 600  # how long anything may take on a slow machine; nothing is measured by it

pytestmark = MARKS

IDLE = '.jp-Notebook-ExecutionIndicator[data-status="idle"]'
WAITING = '.jp-InputPrompt:has-text("[*]")'  # a cell that was sent to the kernel
# Reads the bytes of the picture at a CSS selector as text; the address of the picture is a blob of the page's own. A widget
# that draws anew gives its picture another address and takes back the first one: what was being read then is read again.
PICTURE = """async selector => {
    for (;;) {
        const picture = document.querySelector(selector), address = picture.src;
        try {
            await picture.decode();
            const bytes = new Uint8Array(await (await fetch(address)).arrayBuffer());
            return Array.from(bytes).join(",");
        } catch (error) {
            if (document.querySelector(selector).src === address) throw error;
        }
    }
}"""


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def address(tmp_path):
    """The address of `advcourse lab`, started in a folder that holds a copy of chapter 00 and no settings of the user."""
    (tmp_path / "chapters").mkdir()
    shutil.copy(ROOT / CHAPTER, tmp_path / CHAPTER)
    settings = tmp_path / "config" / "labconfig" / "default_setting_overrides.json"
    settings.parent.mkdir(parents=True)
    # All cells are kept in the page, those off screen as well, so that they can be looked for.
    settings.write_text(json.dumps({"@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"}}))
    port, folders = free_port(), ("CONFIG", "DATA", "RUNTIME")
    environment = os.environ | {f"JUPYTER_{name}_DIR": str(tmp_path / name.lower()) for name in folders}
    command = [
        sys.executable,
        "-c",
        "from advcourse.cli import main; main()",
        "lab",
        "--no-browser",
        f"--port={port}",
    ]
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, cwd=tmp_path, env=environment | {"JUPYTER_TOKEN": "reader"}, stdout=log, stderr=log
        )
        try:
            wait_for_server(f"http://127.0.0.1:{port}/api?token=reader", server, tmp_path / "server.log")
            yield f"http://127.0.0.1:{port}/lab/tree/{CHAPTER}?token=reader&reset"
        finally:
            server.terminate()
            server.wait(60)


def wait_for_server(url, server, log):
    """Return when the server answers; fail with its log when it ends or never answers."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            return urllib.request.urlopen(url, timeout=5)
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()}")


@pytest.fixture
def page():
    """A page of a headless Chromium."""
    with opened_browser() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 1100})
        page.set_default_timeout(SECONDS * 1000)
        yield page


def run_all(page):
    """Choose Run > Run All Cells and wait until all are done. Right after the kernel's start a try may be lost: then again."""
    page.locator(IDLE).wait_for()
    for _ in range(10):
        page.wait_for_timeout(1500)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.locator('.lm-Menu-item[data-command="runmenu:run-all"]').click()
        try:
            page.locator(WAITING).first.wait_for(state="attached", timeout=10_000)
            break
        except playwright.TimeoutError:
            continue
    page.locator(WAITING).first.wait_for(state="detached")
    page.locator(IDLE).wait_for()


def test_the_slider_changes_the_picture(address, page):
    """Checks in Chromium that chapter 00 runs without an error and that keys on its slider change the picture's bytes."""
    page.goto(address)
    run_all(page)
    handle = page.locator(".widget-slider .noUi-handle").first
    handle.scroll_into_view_if_needed()
    before = page.evaluate(PICTURE, ".widget-image")
    handle.focus()
    for _ in range(3):
        handle.press("ArrowRight")
    changed = f"async ([selector, before]) => await ({PICTURE})(selector) !== before"
    page.wait_for_function(changed, arg=[".widget-image", before])
    page.locator(IDLE).wait_for()
    after = page.evaluate(PICTURE, ".widget-image")
    (ROOT / "build").mkdir(exist_ok=True)
    page.screenshot(path=ROOT / "build" / "chapter_00.png")
    assert after != before
    assert page.locator('[data-mime-type="application/vnd.jupyter.error"]').count() == 0
    assert page.locator(".jp-Dialog, .Toastify__toast").count() == 0  # no question about news, no warning
