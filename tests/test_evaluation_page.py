"""The page that says how attacks are measured: its examples work. And the table that is printed."""

import re
import sys
from pathlib import Path

import pytest
import yaml
from records import record
from reports import LEAST, LINF, measured
from settings_files import KEYS, write

from advcourse.core import intervals
from advcourse.core.intervals import counted, printed
from advcourse.evaluation import Outcome, defended, overview, sections, tables
from advcourse.evaluation.settings import read

DOCS = (Path(__file__).resolve().parent.parent / "docs" / "evaluation.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Every test is in a folder of its own, and `sys.path` is afterwards as it was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])


def blocks(language):
    """The fenced blocks of docs/evaluation.md."""
    return re.findall(rf"^```{language}\n(.*?)^```", DOCS, re.M | re.S)


def test_the_examples_of_the_page_are_good():
    """Checks each YAML block of docs/evaluation.md by reading it, with the page's own module beside it."""
    [module] = [block for block in blocks("python") if block.startswith("# my_nets.py")]
    write(module, "my_nets.py")
    texts = blocks("yaml")
    assert len(texts) >= 3
    for text in texts:
        got = read(write(text))
        assert got.title == yaml.safe_load(text)["title"] and got.cells
    for key in KEYS.split(", "):
        assert f"\n| `{key}` |" in DOCS


def test_the_page_shows_how_to_use_it_from_python():
    """Checks the block of docs/evaluation.md by running it: a table of two attacks, and a report."""
    [code] = [block for block in blocks("python") if "import attacks, models" in block]
    space = {}
    exec(compile(code, "evaluation.md", "exec"), space)
    assert len(space["outcome"].records) == 2 and Path("build/mine/report.html").stat().st_size > 1000


def test_the_slurm_example_is_a_job():
    """Checks the block for SLURM as far as the job script: dask-jobqueue takes it, with a thread for each of eight workers."""
    [code] = [block for block in blocks("python") if "SLURMCluster" in block]
    upto, found, _ = code.partition("print(cluster.job_script())")
    assert found
    space = {}
    exec(compile(upto, "evaluation.md", "exec"), space)
    try:
        script = space["cluster"].job_script()
    finally:
        space["cluster"].close()
    assert "#SBATCH -p cpu" in script and 'export PYTHONPATH="$PWD"' in script
    assert "--nthreads 1 " in script and "--nworkers 8 " in script
    compile(code, "evaluation.md", "exec")


def test_the_overview_has_a_line_for_each_attack():
    """Checks the printed table against records made by hand: 8 of 10 and none succeed."""
    eight, none = [1] * 8 + [0] * 2, [0] * 10
    text = overview.overview(
        [
            record(eight, attack="PGD", model="a", size=[2.0] * 10),
            record(none, attack="PGD", model="b"),
            record(eight, attack="FGSM", model="b", size=[0.25] * 10),
        ]
    )
    head, *rows = (re.split(r"  +", line.strip()) for line in text.splitlines()[2:])
    assert head == ["attack size in", "a", "b"]
    assert rows == [
        ["PGD", f"L2 {printed(counted(8, 10))}", "2", printed(counted(0, 10)), "inf"],
        ["FGSM", "L2", f"failed {printed(counted(8, 10))}", "0.25"],
    ]
    assert overview.overview([]) == "Nothing was measured."


def test_every_estimate_is_printed_in_one_place(monkeypatch):
    """With another notation there, the terminal's table, the report and the page of defenses have it, and none has the old."""
    three = measured([1, 0, 0], "none", attack="PGD", threat=LINF, size=[0.3] * 3)
    free = measured([1, 0, 0], "none", attack="CWL2", threat=LEAST)
    rows = tables.rows_of_everything([three, free])

    def pages():
        yield overview.overview([three]), printed(counted(1, 3))
        yield sections.page(Outcome([three, free], [], 0), rows, "A title"), printed(counted(1, 3))
        yield defended.as_markdown([three]), printed(counted(2, 3))

    usual = [printed(counted(k, 3)) for k in (1, 2)]
    monkeypatch.setattr(intervals, "_digits", lambda number, unit: "§")
    for text, estimate in pages():
        text = text.replace("<small>", " ")
        assert estimate in text and not any(old in text for old in usual)
