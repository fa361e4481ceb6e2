"""`advcourse lab` as it is started: what it prints, and what JupyterLab then shows to a learner and to an instructor."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path

import pytest

from advcourse.course.jupyter import server

PACKAGE = Path(server.__file__).parents[1]
SECONDS = 300  # how long a start may take on a slow machine; nothing is measured by it


class Lab:
    """A process of `advcourse lab OPTIONS` in a folder that has a chapter 00, and what it has written so far."""

    def __init__(self, folder, *options, **environment):
        (folder / "chapters").mkdir()
        (folder / "chapters" / "00_start_here.ipynb").write_text("{}")
        self.files = [folder / "out", folder / "err"]
        places = {f"JUPYTER_{name}_DIR": str(folder / name) for name in ("CONFIG", "DATA", "RUNTIME")}
        places["PYTHONPATH"] = str(PACKAGE.parent)
        inherited = {name: value for name, value in os.environ.items() if name != "JUPYTER_TOKEN"}
        with self.files[0].open("w") as out, self.files[1].open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "advcourse", "lab", *options],
                cwd=folder,
                env=inherited | places | environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        self.wait_for("To stop", 0)

    def wait_for(self, text, stream):
        """Wait until `text` stands in the output (0) or among the errors (1)."""
        deadline = time.monotonic() + SECONDS
        while text not in self.files[stream].read_text():
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"no {text!r}: {self.told()}")
            time.sleep(0.1)

    def end(self):
        """Stop the server."""
        self.process.terminate()
        self.process.wait(SECONDS)

    def told(self):
        """What it has written: to the output, and among the errors."""
        return [path.read_text() for path in self.files]

    def page(self, place):
        """The status and the text of a page of this server, asked for with the token that was told."""
        address = re.search(r"http://\S+", self.told()[0])[0]
        start, token = address.split("/lab/tree/")[0], address.split("?")[1]
        try:
            with urllib.request.urlopen(f"{start}/{place}?{token}", timeout=SECONDS) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""


@pytest.fixture(scope="module", params=[(), ("--instructor",)], ids=["learner", "instructor"])
def lab(request, tmp_path_factory):
    """A started `Lab`; its parameter says for whom."""
    started = Lab(tmp_path_factory.mktemp("lab"), "--no-browser", *request.param)
    started.instructor = bool(request.param)
    yield started
    started.end()


def test_it_prints_the_address_and_little_else(lab):
    """By hand: what serves which folder, the address, how to reach it from afar, how to stop; and no log."""
    output, _ = lab.told()
    assert len(output.splitlines()) <= 10 and output.count("http") == 1
    root = re.escape(str(lab.files[0].parent))
    address = r"http://127\.0\.0\.1:(\d+)/lab/tree/chapters/00_start_here\.ipynb\?token=[0-9a-f]{48}"
    told = re.search(rf"JupyterLab serves the course in {root} at\n\n    {address}\n", output)
    assert told and f"ssh -L {told[1]}:127.0.0.1:{told[1]} " in output and "press Ctrl-C here twice" in output
    assert not re.search(r"^\[[IC] ", lab.told()[1], re.M), lab.told()[1]


def test_the_address_opens_the_course(lab):
    """A browser's first request: the page of JupyterLab; and without the token none."""
    status, text = lab.page("lab/tree/chapters/00_start_here.ipynb")
    assert status == 200 and "JupyterLab" in text


def test_nbgrader_is_for_instructors(lab):
    """Against the page's own configuration, by which JupyterLab loads its menus, and a page of nbgrader's on the server."""
    pytest.importorskip("nbgrader")
    _, text = lab.page("lab")
    config = re.search(r'<script id="jupyter-config-data" type="application/json">(.*?)</script>', text, re.S)
    config = json.loads(config[1])
    assert "@jupyter/nbgrader" in [one["name"] for one in config["federated_extensions"]]
    assert ("@jupyter/nbgrader" in config["disabledExtensions"]) == (not lab.instructor)
    assert "@jupyter-widgets/jupyterlab-manager" not in config["disabledExtensions"]
    assert (
        (lab.page("nbgrader_version")[0] == 404) == (lab.page("formgrader")[0] == 404) == (not lab.instructor)
    )


def test_warnings_stay_visible(lab):
    """A page that is not there is warned of, as by any Jupyter server."""
    assert lab.page("no-such-page")[0] == 404
    lab.wait_for("404 GET /no-such-page", 1)


def test_a_browser_that_is_there_is_opened(tmp_path):
    """The program in BROWSER gets a file that leads to the course; the reader is still told the address."""
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{opened}.new" && mv "{opened}.new" "{opened}"\n')
    browser.chmod(0o755)
    lab = Lab(tmp_path, BROWSER=str(browser))
    deadline = time.monotonic() + SECONDS
    while not opened.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    page = Path(opened.read_text().strip().removeprefix("file://")).read_text()
    output, _ = lab.told()
    lab.end()
    assert "/lab/tree/chapters/00_start_here.ipynb?token=" in page
    assert "If your browser does not open it, copy the address" in output and "ssh" not in output


@pytest.mark.parametrize("name, there", [("firefox", True), ("w3m", False), (None, False)])
def test_a_browser_in_the_terminal_is_none(name, there, monkeypatch):
    """Without a screen, webbrowser finds those that draw into the terminal, over what is told there; or nothing."""

    def get(_):
        if name is None:
            raise webbrowser.Error("could not locate runnable browser")
        return webbrowser.GenericBrowser(f"/usr/bin/{name}")

    monkeypatch.setattr(webbrowser, "get", get)
    assert server._has_browser("") == there
