"""What the course needs, which of it is installed, and how to get the rest."""

import importlib.metadata
import importlib.util
import itertools
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

GIB = 2**30
# Names of Chromium's executable, for the browser tests.
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass(frozen=True)
class Diagnosis:
    """The result of one check: whether the thing is there, what was found, and how to get it.

    The course runs without an `optional` one.
    """

    name: str
    there: bool
    found: str
    remedy: str = ""
    optional: bool = False

    @property
    def stops_the_course(self) -> bool:
        """True if this is missing and the course cannot run without it."""
        return not (self.there or self.optional)


def _python():
    version = ".".join(map(str, sys.version_info[:3]))
    return Diagnosis("Python", sys.version_info >= (3, 11), version, "install Python 3.11 or later")


def _requirements():
    from packaging.requirements import Requirement

    needed = (Requirement(line) for line in importlib.metadata.requires("advcourse") or [])
    return [r for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})]


def _packages():
    for requirement in _requirements():
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            version = None
        there = version is not None and requirement.specifier.contains(version, prereleases=True)
        remedy = f'python -m pip install "{requirement}"'
        yield Diagnosis(
            requirement.name, there, f"{version or 'not installed'} (needs {requirement.specifier})", remedy
        )


def _gpu():
    import torch

    if torch.cuda.is_available():
        cards = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        found = ", ".join(f"{card.name}, {card.total_memory / GIB:.0f} GiB" for card in cards)
    else:
        found = "Apple MPS" if torch.backends.mps.is_available() else ""
    remedy = (
        "the fast profile needs no GPU; for the full one, install the GPU's driver and a PyTorch built for it"
    )
    return Diagnosis("GPU", bool(found), found or "none that PyTorch can use", remedy, optional=True)


def _memory(least=2, enough=4):
    import psutil

    total = psutil.virtual_memory().total / GIB
    found = f"{total:.1f} GiB in all, {psutil.virtual_memory().available / GIB:.1f} GiB free"
    remedy = f"the fast profile runs in {enough} GiB; with less, run one chapter at a time"
    return Diagnosis("memory", total >= enough, found, remedy, optional=total >= least)


def _disk(enough=0.2):
    free = shutil.disk_usage(".").free / GIB
    return Diagnosis("disk", free >= enough, f"{free:.1f} GiB free here", f"free {enough} GiB for outputs")


def _kernel():
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    from advcourse.course.notebooks import KERNEL

    remedy = "python -m ipykernel install --sys-prefix"
    try:
        argv = KernelSpecManager().get_kernel_spec(KERNEL).argv
    except NoSuchKernel:
        return Diagnosis("kernel", False, f"no kernel named {KERNEL}", remedy)
    interpreter = shutil.which(argv[0]) or argv[0]
    # jupyter_client starts a kernel whose command is plain "python" with its own interpreter.
    generic = argv[0] in (
        "python",
        f"python{sys.version_info[0]}",
        f"python{sys.version_info[0]}.{sys.version_info[1]}",
    )
    same = generic or Path(interpreter).parent == Path(sys.executable).parent
    return Diagnosis("kernel", same, f"{KERNEL}: {sys.executable if generic else interpreter}", remedy)


def _shipped(name, remedy, load, *arguments):
    from advcourse.core.inputs import InputError

    try:
        load(*arguments)
    except InputError as error:
        return Diagnosis(name, False, str(error), remedy)
    return Diagnosis(name, True, "complete, checksum correct")


def _data():
    from advcourse import data

    for name, split in (
        *itertools.product(("mnist-5k", "signs", "faces", "apps", "reviews", "spoken"), ("train", "test")),
        ("photos", "test"),
    ):
        yield _shipped(f"data {name} {split}", "install the package again", data.load, name, split)


def _models():
    from advcourse import models
    from advcourse.zoo import recipes

    for name in recipes.RECIPES:
        yield _shipped(
            f"model {name}", f"install the package again, or: advcourse train {name}", models.load, name
        )
    yield _shipped(f"model {models.PHOTO_NET}", "install the package again", models.load, models.PHOTO_NET)


def _chapters():
    from advcourse.course.notebooks import chapters, checkout

    root = checkout()
    return Diagnosis("chapters", True, f"{len(chapters(root))} in {root / 'chapters'}")


def chromium() -> str | None:
    """Return the path of a Chromium that the browser tests can use, or None."""
    return next(filter(None, map(shutil.which, CHROMIUM)), None)


def _browser():
    missing = [] if importlib.util.find_spec("playwright") else ["playwright"]
    missing += [] if chromium() else ["Chromium"]
    remedy = (
        'only for the browser tests: python -m pip install playwright; on Debian "apt-get install chromium"'
    )
    return Diagnosis(
        "browser tests",
        not missing,
        f"{' and '.join(missing)} missing" if missing else chromium(),
        remedy,
        True,
    )


def _sandbox():
    if sys.platform != "linux":
        return
    remedy = "only for grading other people's notebooks, which is weakly isolated without it: "
    program = shutil.which("bwrap")
    if program:
        fault = _fault([program, "--unshare-all", "--ro-bind", "/", "/", "true"])
        remedy += "the system must let it make namespaces"
    else:
        fault, remedy = "not installed", remedy + 'on Debian and Ubuntu "apt-get install bubblewrap"'
    yield Diagnosis("bubblewrap", not fault, fault or program, remedy, True)


def _fault(command):
    """Run a command and return the last line of its errors if it fails, else ""."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stderr.strip() or f"{command[0]} fails").splitlines()[-1] if done.returncode else ""


def _authoring():
    tools = [
        name
        for name in ("pytest", "nbval", "nbgrader", "jupytext", "ruff")
        if not importlib.util.find_spec(name)
    ]
    found = f"missing: {', '.join(tools)}" if tools else "all installed"
    return Diagnosis(
        "tools for authors", not tools, found, 'python -m pip install -e ".[dev]" in a clone', True
    )


_EXAMINATIONS = {
    "Python": (_python, "install Python 3.11 or later"),
    "packages": (_packages, "python -m pip install advcourse"),
    "memory": (_memory, ""),
    "disk": (_disk, ""),
    "kernel": (_kernel, "python -m pip install ipykernel"),
    "data": (_data, "install the package again"),
    "models": (_models, "install the package again, or: advcourse train"),
    "chapters": (_chapters, "run it in a clone of the project"),
    "GPU": (_gpu, "python -m pip install torch"),
    "browser tests": (_browser, ""),
    "bubblewrap": (_sandbox, ""),
    "tools for authors": (_authoring, ""),
}


def examine() -> list[Diagnosis]:
    """Return all findings as a list. A check that fails becomes a finding too; nothing is raised."""
    findings = []
    for name, (examination, remedy) in _EXAMINATIONS.items():
        try:
            results = examination()
            findings += [results] if isinstance(results, Diagnosis) else results
        except Exception as error:  # a broken installation may raise anything, and must be reported
            findings.append(Diagnosis(name, False, f"{type(error).__name__}: {error}", remedy))
    return findings


def report(findings: Sequence[Diagnosis]) -> str:
    """Return the findings as text: one line each, a remedy below each missing one, and the verdict."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        mark = "ok" if finding.there else "optional" if finding.optional else "MISSING"
        lines.append(f"{mark:<9} {finding.name:<{width}}  {finding.found}")
        if not finding.there and finding.remedy:
            lines.append(f"{'':<9} {'':<{width}}  -> {finding.remedy}")
    stopped = [finding.name for finding in findings if finding.stops_the_course]
    verdict = f"The course cannot run: {', '.join(stopped)}." if stopped else "The course can run."
    return "\n".join([*lines, "", verdict])
