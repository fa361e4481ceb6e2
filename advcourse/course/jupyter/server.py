"""JupyterLab for the course: it says in a few lines where it is, and a learner meets no menus for instructors."""

import os
import sys
import webbrowser
from pathlib import Path

from jupyter_server.serverapp import ServerApp
from jupyterlab.labapp import LabApp

_SETTINGS = Path(__file__).parent
# Browsers that would take over the terminal.
_IN_THE_TERMINAL = {"www-browser", "links", "elinks", "lynx", "w3m"}


class CourseServer(ServerApp):
    """The server, which names its address itself, in place of Jupyter's log."""

    def start_app(self) -> None:
        shown, address = self.open_browser and _has_browser(self.browser), self.local_url
        self.open_browser = shown
        self.identity_provider.token_generated = False  # or it would name the address a second time
        super().start_app()
        print(_where(self.root_dir, address, self.port, shown), flush=True)


class Course(LabApp):
    """JupyterLab with that server."""

    serverapp_class = CourseServer

    @classmethod
    def get_extension_package(cls) -> str:
        return LabApp.get_extension_package()


def start(root: Path, page: str, port: int = 8888, browser: bool = True, instructor: bool = False) -> None:
    """Run JupyterLab in the folder `root`, opened on `page` of it, until it is stopped.

    Args:
        root: the clone of the course.
        page: a file in it, such as "chapters/00_start_here.ipynb".
        port: where to listen; the next that is free where it is taken.
        browser: open one, where there is one.
        instructor: show the menus of nbgrader, where it is installed.
    """
    settings = [] if instructor else [_SETTINGS / "learner"]
    _put_first("JUPYTER_CONFIG_PATH", *settings, _SETTINGS / "everyone")
    _put_first("PATH", Path(sys.executable).parent)  # so that a terminal in JupyterLab finds `advcourse`
    options = [f"--ServerApp.root_dir={root}", f"--port={port}", f"--LabApp.default_url=/lab/tree/{page}"]
    options += ["--Application.log_level=WARN"]
    options += [] if browser else ["--no-browser"]
    options += ["--allow-root"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    Course.launch_instance(options)


def _put_first(name, *folders):
    """Put `folders` before those that the environment variable `name` has."""
    before = os.environ.get(name)
    os.environ[name] = os.pathsep.join([*map(str, folders), *([before] if before else [])])


def _has_browser(name):
    try:
        found = webbrowser.get(name or None)
    except webbrowser.Error:
        return False
    return getattr(found, "basename", "") not in _IN_THE_TERMINAL


def _where(root, address, port, shown):
    """What the reader is told: where the course is, how to come there, and how to stop."""
    there = "If your browser does not open it, copy the address into it."
    if not shown:
        there = (
            "Copy the address into your browser. If that runs on another computer, first type there\n"
            f"    ssh -L {port}:127.0.0.1:{port} NAME-OF-THIS-COMPUTER"
        )
    return (
        f"JupyterLab serves the course in {root} at\n\n    {address}\n\n"
        f"{there}\nTo stop, press Ctrl-C here twice."
    )
