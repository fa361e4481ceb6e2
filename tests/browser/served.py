"""JupyterLab in a real browser: the server with one notebook, a page, and how to run all its cells."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from pages import opened_browser, playwright

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = "chapters/00_start_here.ipynb"
SECONDS = 600  # how long anything may take on a slow machine; nothing is measured by it
IDLE = '.jp-Notebook-ExecutionIndicator[data-status="idle"]'
WAITING = '.jp-InputPrompt:has-text("[*]")'  # a cell that was sent to the kernel


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def served(tmp_path, notebook, **variables):
    """The address of a notebook, served by `advcourse lab` as chapter 00 in a folder of its own, without the user's settings."""
    (tmp_path / "chapters").mkdir()
    shutil.copy(notebook, tmp_path / CHAPTER)
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
            command,
            cwd=tmp_path,
            env=environment | {"JUPYTER_TOKEN": "reader"} | variables,
            stdout=log,
            stderr=log,
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


@contextmanager
def opened_page():
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
