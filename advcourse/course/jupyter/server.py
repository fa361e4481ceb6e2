"""JupyterLab for the course: it prints its address in a few lines, and learners see no menus for instructors."""

import os
import sys
import webbrowser
from pathlib import Path

from jupyter_server.serverapp import ServerApp
from jupyterlab.labapp import LabApp

from advcourse.course.exporting import TEMPLATE

_SETTINGS = Path(__file__).parent
# Text browsers, which would take over the terminal.
_IN_THE_TERMINAL = {"www-browser", "links", "elinks", "lynx", "w3m"}


class CourseServer(ServerApp):
    """A server that prints its address itself, instead of Jupyter's log."""

    def start_app(self) -> None:
        shown, address = self.open_browser and _has_browser(self.browser), self.local_url
        self.open_browser = shown
        self.identity_provider.token_generated = False  # otherwise the server would print the address again
        super().start_app()
        print(_where(self.root_dir, address, self.port, shown), flush=True)


class Course(LabApp):
    """JupyterLab with `CourseServer`."""

    serverapp_class = CourseServer

    @classmethod
    def get_extension_package(cls) -> str:
        return LabApp.get_extension_package()


def start(root: Path, page: str, port: int = 8888, browser: bool = True, instructor: bool = False) -> None:
    """Run JupyterLab in the folder `root`, with `page` open, until it is stopped.

    Args:
        root: the clone of the course.
        page: a file in it, such as "chapters/00_start_here.ipynb".
        port: port to listen on; if it is taken, the next free one (default 8888).
        browser: open a browser, if there is one (default True).
        instructor: show nbgrader's menus, if nbgrader is installed (default False).
    """
    settings = [] if instructor else [_SETTINGS / "learner"]
    _put_first("JUPYTER_CONFIG_PATH", *settings, _SETTINGS / "everyone")
    _put_first("PATH", Path(sys.executable).parent)  # so that a terminal in JupyterLab finds `advcourse`
    options = [f"--ServerApp.root_dir={root}", f"--port={port}", f"--LabApp.default_url=/lab/tree/{page}"]
    options += ["--Application.log_level=WARN"]
    # For File > Save and Export Notebook As > HTML: what is folded stays folded.
    options += [f"--HTMLExporter.template_name={TEMPLATE.name}"]
    options += [f"--HTMLExporter.extra_template_basedirs={TEMPLATE.parent}"]
    options += [] if browser else ["--no-browser"]
    options += ["--allow-root"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    Course.launch_instance(options)


def _put_first(name, *folders):
    """Prepend `folders` to those in the environment variable `name`."""
    before = os.environ.get(name)
    os.environ[name] = os.pathsep.join([*map(str, folders), *([before] if before else [])])


def _has_browser(name):
    try:
        browser = webbrowser.get(name or None)
    except webbrowser.Error:
        return False
    return getattr(browser, "basename", "") not in _IN_THE_TERMINAL


def _where(root, address, port, shown):
    """Return the message for the user: where the course is, how to open it, and how to stop."""
    there = "If your browser does not open it, copy the address into it."
    if not shown:
        there = (
            "Copy the address into your browser. If your browser runs on another computer, first type there\n"
            f"    ssh -L {port}:127.0.0.1:{port} NAME-OF-THIS-COMPUTER"
        )
    return (
        f"JupyterLab serves the course in {root} at\n\n    {address}\n\n"
        f"{there}\nTo stop, press Ctrl-C here twice."
    )
