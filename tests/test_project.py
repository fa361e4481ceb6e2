"""The checkout as a whole: what belongs in it, what does not, and that it says the same everywhere."""

import base64
import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import advcourse

ROOT = Path(__file__).resolve().parent.parent
TEXT = {".py", ".md", ".toml", ".yml", ".yaml", ".cff", ".txt", ".json", ".ipynb", ""}

# Each with a [bracket], so that this file does not find itself.
STUBS = re.compile(r"\b(TO[D]O|FIX[M]E|X[X]X|place[h]older)\b", re.I)
REGISTRIES = re.compile(r"pypi[.]org|python[h]osted|npmjs[.]org|deb[.]debian|download[.]pytorch")
MACHINE = re.compile(r"(?<![\w.])/(?:home|Users|root|tmp|work|opt|mnt|private/var)/\w")

PICTURE = re.compile(r"[A-Za-z0-9+/]{60,}")  # base64


def tracked():
    """The files that git tracks, or all that would be if this is no clone."""
    git = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if git.returncode:
        pytest.skip("not a git clone")
    return [ROOT / name for name in git.stdout.split("\0") if name and (ROOT / name).is_file()]


def texts():
    """(path, text) of every tracked text file, without the pictures in notebooks, whose letters mean nothing."""
    for path in tracked():
        if path.suffix in TEXT:
            yield path, PICTURE.sub("", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("pattern", [STUBS, REGISTRIES], ids=["nothing left undone", "no registry's address"])
def test_no_file_says(pattern):
    """Checks every tracked text file against a pattern that must not occur."""
    assert {
        str(path.relative_to(ROOT)): found[0] for path, text in texts() if (found := pattern.search(text))
    } == {}


def test_the_patterns_find_what_they_are_for():
    """Checks the patterns on lines that must, and lines that must not, be found."""
    stub, host = "".join(("# TO", "DO: later")), "".join(("py", "pi.org"))
    assert STUBS.search(stub) and not STUBS.search("to do this")
    assert REGISTRIES.search(host) and not REGISTRIES.search("pip install x")
    assert MACHINE.search("open('/home" + "/me/x')") and not MACHINE.search("chapters/home/x and ../tmp/x")


def test_notebooks_name_no_machine():
    """Checks the notebooks, outputs included (pictures apart), for absolute paths of somebody's machine."""
    for path in tracked():
        if path.suffix == ".ipynb":
            for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
                text = PICTURE.sub("", json.dumps(cell))
                assert not MACHINE.search(text), f"{path.name}: {MACHINE.search(text)[0]}"


def test_the_checkout_stays_small():
    """Checks sizes: a chapter below 1 MB, all files together below 60 MB."""
    sizes = {path: path.stat().st_size for path in tracked()}
    assert sum(sizes.values()) < 60e6
    assert [path.name for path, size in sizes.items() if path.suffix == ".ipynb" and size >= 1e6] == []


def test_the_files_that_people_look_for_are_there():
    """Checks that the project's papers and commands exist, and that the licence is the one that is declared."""
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "CITATION.cff",
        "environment.yml",
        "Makefile",
        ".ci/run",
    ):
        assert (ROOT / name).is_file(), name
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")


def test_the_version_is_the_same_everywhere():
    """Checks pyproject.toml, CITATION.cff and the package against each other, and the citation's required fields."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert project["version"] == advcourse.__version__ == str(citation["version"])
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["license"] == project["license"] == "MIT"


def blocks(path, language):
    """The fenced blocks of `language` in the Markdown file at `path`."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S)


def test_the_readme_shows_what_chapter_00_shows():
    """Checks the picture at the README's top, byte by byte, against the one that chapter 00 stores."""
    book = json.loads((ROOT / "chapters" / "00_start_here.ipynb").read_text(encoding="utf-8"))
    [shown] = [
        cell["outputs"][-1]["data"]["text/html"] for cell in book["cells"] if cell["id"] == "compare-cat"
    ]
    picture = base64.b64decode(re.search(r"base64,([^\"]+)", "".join(shown))[1])
    assert (ROOT / "docs" / "hook.webp").read_bytes() == picture
    assert "(docs/hook.webp)" in (ROOT / "README.md").read_text(encoding="utf-8")[:500]


@pytest.mark.parametrize("page", ["README.md", "docs/defenses.md"])
def test_code_on_the_page_runs(page, monkeypatch, tmp_path):
    """Checks a page's Python by running it, block after block; what it says in `# ->` comments must come true."""
    monkeypatch.chdir(tmp_path)
    code = blocks(ROOT / page, "python")
    assert code
    space = {}
    for block in code:
        exec(compile(block, page, "exec"), space)
        for expression, value in re.findall(r"^print\((.*)\) +# -> (.*)$", block, re.M):
            assert str(eval(expression, space)) == value, expression


def test_links_lead_somewhere():
    """Checks every relative link of the Markdown pages against the files of the checkout."""
    for path in tracked():
        if path.suffix == ".md":
            for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
                assert (path.parent / link).exists(), f"{path.name}: {link}"


def test_readme_maps_every_chapter():
    """Checks the README's map of the course against the chapters that are there: each is linked, by its name."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "chapters").glob("*.ipynb"):
        assert f"(chapters/{path.name})" in text, path.name


def test_readme_names_each_chapters_labs():
    """Checks the last column of the README's map against the labs that each chapter's own text names."""
    for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines():
        if row := re.match(r"\| \[\d\d [^|]*\((chapters/\w+\.ipynb)\) \|[^|]*\|([^|]*)\|$", line):
            cells = json.loads((ROOT / row[1]).read_text(encoding="utf-8"))["cells"]
            text = "".join("".join(cell["source"]) for cell in cells)
            assert re.findall(r"\((exercises/lab\d+)\)", row[2]) == sorted(
                set(re.findall(r"exercises/lab\d+", text))
            ), row[1]


@pytest.mark.skipif(shutil.which("nproc") is None, reason="other systems count their cores otherwise")
def test_make_counts_the_cores_whatever_the_threads_are():
    """Checks the number of workers against nproc's own, with and without a variable that nproc takes for the answer."""
    told = {
        "OMP_NUM_THREADS",
        "WORKERS",
        "MAKEFLAGS",
        "MFLAGS",
        "MAKEOVERRIDES",
    }  # the tests may run under make
    plain = {name: value for name, value in os.environ.items() if name not in told}
    cores = subprocess.run(["nproc"], env=plain, capture_output=True, text=True, check=True).stdout.strip()
    for environment in (plain, {**plain, "OMP_NUM_THREADS": str(int(cores) + 1)}):
        how = {"cwd": ROOT, "env": environment, "capture_output": True, "text": True, "check": True}
        assert f"-n {cores} " in subprocess.run(["make", "--dry-run", "test"], **how).stdout


def test_make_runs_what_the_readme_names():
    """Checks each `make X` of README.md and CONTRIBUTING.md against the Makefile's targets."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    named = set()
    for name in ("README.md", "CONTRIBUTING.md"):
        named |= set(re.findall(r"(?:`|^)make ([a-z-]+)", (ROOT / name).read_text(encoding="utf-8"), re.M))
    assert named and named <= targets
