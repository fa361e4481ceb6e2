"""The instructor's guide, docs/grading.md: what it says of commands, files and limits is so."""

import re
import shlex
import shutil
from dataclasses import fields
from pathlib import Path

import pytest
import typer

from advcourse.cli import app
from advcourse.grading import classroom
from advcourse.grading.read.folders import Found, find
from advcourse.grading.run.sandbox import Limits
from advcourse.grading.tell import gradebook, writing
from advcourse.grading.tell.report import BUBBLEWRAP, Report, TaskResult, Written
from advcourse.labs.verdicts import LOOK

ROOT = Path(__file__).resolve().parent.parent
GUIDE = (ROOT / "docs" / "grading.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", GUIDE, re.M | re.S)
COMMANDS = [line for kind, block in BLOCKS if not kind for line in block.splitlines()]
COMMANDS += re.findall(r"`(advcourse [^`]+)`", GUIDE)


def parsed(line):
    """What click makes of a line of the shell, without running it."""
    _, *words = shlex.split(line, comments=True)
    group = typer.main.get_command(app)
    with group.make_context("advcourse", words, resilient_parsing=False) as context:
        name, command, rest = group.resolve_command(context, words)
        return name, command.make_context(name, list(rest)).params


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("advcourse")])
def test_every_command_can_be_given(line):
    """Checks each call of advcourse in the guide against the command line's own parser."""
    assert parsed(line)[0] in ("check", "doctor", "grade", "lab", "release")


def test_a_command_that_cannot_be_given_is_found():
    """Checks the check above on an option that is not there."""
    with pytest.raises(Exception, match="No such option"):
        parsed("advcourse grade submissions/ --lab 3 --nonsense 1")


def test_other_commands_are_those_of_the_makefile_and_of_nbgrader():
    """Checks that the guide's other lines are known ones, which other tests run, or need no test."""
    others = {line.split()[0] for line in COMMANDS} - {"advcourse"}
    assert others == {"sudo", "make", "source", "nbgrader"}
    assert 'nbgrader generate_assignment "lab*" --force' in COMMANDS  # run in test_grading_nbgrader


def test_the_options_named_in_prose_are_there():
    """Checks each --option of the guide that stands in running text against those of `advcourse grade`."""
    named = set(re.findall(r"`(--[a-z]+)", GUIDE))
    commands = typer.main.get_command(app).commands
    known = {option for parameter in commands["grade"].params for option in parameter.opts}
    assert named and named <= known


def test_the_layouts_are_understood(tmp_path):
    """Checks each path in the guide's table of layouts: made, found, and whose it is told."""
    table = GUIDE.split("how the folder looks")[1].split("\n\n")[0]
    names = [name for name in re.findall(r"`([^`]+)`", table) if name.endswith(".ipynb")]
    assert len(names) == 9
    found = []
    for number, name in enumerate(names):
        path = tmp_path / str(number) / name.removeprefix("submissions/")
        path.parent.mkdir(parents=True)
        shutil.copy(ROOT / "exercises" / "lab3" / "lab3.ipynb", path)
        if "submission_456" in name:
            people = "submission_456:\n  :submitters:\n  - :name: Mia Müller\n"
            (path.parent.parent / "submission_metadata.yml").write_text(people, encoding="utf-8")
        ((one,), told) = find(tmp_path / str(number), "lab3")
        assert told == ()
        found.append((one.student, one.canvas, one.moodle))
    assert sorted(found) == [
        *[("Mia Müller", "", "")] * 5,
        ("Mia Müller", "", "871"),
        ("mia", "", ""),
        ("mmuller", "", ""),
        ("mullermia", "4711", ""),
    ]


def test_what_comes_of_it_is_what_the_guide_lists(tmp_path):
    """Checks the names in the guide's table against what a run writes, for students of Canvas and of Moodle."""
    table = GUIDE.split("The results are in")[1].split("The exit status")[0]
    listed = set(re.findall(r"`([a-z-]+(?:\.[a-z]+)?)/?`", "".join(re.findall(r"^\| (.*?) \|", table, re.M))))
    task = TaskResult("to_w", "To w", "right", "All hold.", 2, 2, 7)
    report = Report("mia", "lab3", "d" * 64, BUBBLEWRAP, (task,), (Written("question-1", "Why?", 3, "So."),))
    for ids in ({"canvas": "1"}, {"moodle": "2"}):
        found = (Found("mia", tmp_path / "mia.ipynb", **ids),)
        made = {field.name: None for field in fields(classroom.GradedClass)}
        outcome = {"lab": "lab3", "reports": (report,), "found": found, "failed": {}, "graded": 1, "told": ()}
        writing.write(classroom.GradedClass(**made | outcome), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == listed - {"results", "secret"}
    assert {"results", "secret"} <= listed  # which test_grading_classroom looks for


def test_the_columns_that_the_guide_explains_are_there(tmp_path):
    """Checks the names in the guide's row on grades.csv against the first line of such a file."""
    row = re.search(r"^\| `grades.csv` \| (.*) \|$", GUIDE, re.M)[1]
    gradebook.grades_csv([Report("mia", "lab3", "d" * 64, BUBBLEWRAP)], tmp_path / "grades.csv")
    header = (
        (tmp_path / "grades.csv").read_text(encoding="utf-8-sig").splitlines()[0].replace('"', "").split(",")
    )
    named = re.findall(r"`([^`]+)`", row)
    assert len(named) == 6 and set(named) < set(header)


def test_the_outcomes_are_all_named():
    """Checks the words of the guide's list against those that a verdict can have."""
    line = re.search(r"^- The outcome of a task is one of (.*)\.$", GUIDE, re.M)[1]
    assert set(re.findall(r'"([^"]+)"', line)) == set(LOOK)


def test_the_limits_are_those_of_the_sandbox():
    """Checks the numbers of the guide's table against the defaults of `Limits`."""
    limits = Limits()
    for line in (
        f"| time | {limits.cpu_seconds} seconds of the processor, {limits.seconds:g} by the clock in which it does not work |",
        f"| memory | {limits.memory / 2**30:g} GiB |",
        f"| processes and threads | {limits.processes} |",
        f"| files | {limits.scratch / 2**20:g} MiB in all, {limits.file / 2**20:g} MiB each; gone after the task |",
    ):
        assert line in GUIDE


def test_the_python_of_the_guide_runs(tmp_path, monkeypatch, capsys):
    """Checks the block by running it on an empty copy of lab 3: eight tasks, none attempted."""
    shutil.copy(ROOT / "exercises" / "lab3" / "lab3.ipynb", tmp_path)
    monkeypatch.chdir(tmp_path)
    (code,) = [block for kind, block in BLOCKS if kind == "python"]
    exec(compile(code, "grading.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8 and all(" 0 not attempted yet " in line for line in lines)


def test_the_readme_leads_to_the_guide():
    """Checks that the README has a link to it."""
    assert "(docs/grading.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
