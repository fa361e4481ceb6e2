"""nbgrader's own commands on the checkout, and grades in its gradebook, read with its own API."""

import csv
import importlib
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from grading_tests import solution

from advcourse.core.inputs import InputError
from advcourse.grading.tell.nbgrader_gradebook import COURSE, nbgrader_gradebook
from advcourse.grading.tell.report import BUBBLEWRAP, Report, TaskResult, Written
from advcourse.labs.release import labs

ROOT = Path(__file__).resolve().parent.parent
TASKS = importlib.import_module("advcourse.labs.lab3").LAB.tasks
QUESTIONS = ("question-1", "question-2")  # of lab 3, 3 points each


def report(student, right=(), questions=QUESTIONS):
    """A report on lab 3: full points for the tasks in `right`, none for the others."""
    tasks = tuple(
        TaskResult(name, task.title, "right", "Told.", task.points * (name in right), task.points, 7)
        for name, task in TASKS.items()
    )
    written = tuple(Written(name, "Why?", 3, "Because.") for name in questions)
    return Report(student, "lab3", "d" * 64, BUBBLEWRAP, tasks, written)


@contextmanager
def opened(path):
    """The gradebook, as nbgrader opens it."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{path}", COURSE) as gradebook:
        yield gradebook


def cells(gradebook, lab):
    """All that a gradebook says of the cells of a lab."""
    notebook = gradebook.find_notebook(lab, lab)
    graded = {cell.name: (cell.max_score, cell.cell_type) for cell in notebook.grade_cells}
    sources = {cell.name: (cell.checksum, cell.locked, cell.source) for cell in notebook.source_cells}
    return graded, {cell.name for cell in notebook.solution_cells}, sources, notebook.kernelspec


def nbgrader(clone, *arguments):
    """Run nbgrader's command in `clone`, in a shell where the environment is not activated."""
    command = [str(Path(sys.executable).parent / "nbgrader"), *arguments]
    environment = {**os.environ, "PATH": "/usr/bin:/bin", "HOME": str(clone)}
    done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone of what nbgrader needs, in which `nbgrader generate_assignment` has been run for all labs."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "solutions", folder / "solutions")
    shutil.copy(ROOT / "nbgrader_config.py", folder)
    nbgrader(folder, "generate_assignment", "lab*", "--force")
    return folder


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A gradebook that the grader has made, with Ada, who has all tasks right, and Bo, who has one."""
    path = tmp_path_factory.mktemp("fresh") / "gradebook.db"
    nbgrader_gradebook([report("Ada", TASKS), report("Bo", ["to_w"])], path)
    return path


@pytest.fixture
def gradebook(fresh, tmp_path):
    """A copy of that gradebook, to be changed."""
    return Path(shutil.copy(fresh, tmp_path))


@pytest.mark.slow
def test_nbgrader_makes_the_students_copies(clone):
    """Checks `nbgrader generate_assignment` with the shipped settings: the copies are, byte for byte, those in exercises/."""
    for lab in labs():
        ours, theirs = (root / "exercises" / lab / f"{lab}.ipynb" for root in (ROOT, clone))
        assert theirs.read_bytes() == ours.read_bytes(), lab


@pytest.mark.slow
def test_nbgrader_knows_the_labs_points(clone):
    """Checks the gradebook that nbgrader made: of each lab the tasks' points, and of the written questions the rest."""
    with opened(clone / "gradebook.db") as gradebook:
        for lab in labs():
            points = importlib.import_module(f"advcourse.labs.{lab}").LAB.points
            assignment = gradebook.find_assignment(lab)
            (stated,) = re.findall(r"\*\*Points:\*\* (\d+)\.", solution(lab).cells[0].source)
            scores = assignment.max_code_score, assignment.max_written_score
            assert scores == (points, int(stated) - points), lab


@pytest.mark.slow
def test_a_gradebook_from_nbgrader_takes_the_grades(clone, tmp_path):
    """Checks grades in nbgrader's own gradebook: its cells stay as they are, and `nbgrader generate_assignment` works again."""
    folder = Path(shutil.copytree(clone, tmp_path / "clone"))
    path = folder / "gradebook.db"
    with opened(path) as gradebook:
        before = cells(gradebook, "lab3")
    nbgrader_gradebook([report("Ada", TASKS)], path)
    nbgrader(folder, "generate_assignment", "lab3", "--force")
    with opened(path) as gradebook:
        assert cells(gradebook, "lab3") == before
        assert gradebook.find_submission("lab3", "Ada").code_score == 27


@pytest.mark.slow
def test_a_gradebook_from_us_is_as_nbgraders(clone, fresh):
    """Checks every cell that we enter against what `nbgrader generate_assignment` enters for the same lab."""
    with opened(fresh) as ours, opened(clone / "gradebook.db") as theirs:
        assert cells(ours, "lab3") == cells(theirs, "lab3")


def test_scores(fresh):
    """Checks nbgrader's sums by hand: 27 points for lab 3's tasks, 2 for to_w alone; 6 more wait for a person."""
    with opened(fresh) as gradebook:
        found = {one.student_id: one for one in gradebook.assignment_submissions("lab3")}
        assert {name: one.code_score for name, one in found.items()} == {"Ada": 27, "Bo": 2}
        assert {one.max_score for one in found.values()} == {33}
        assert all(one.needs_manual_grade for one in found.values())
        grade = gradebook.find_grade("to_w-points", "lab3", "lab3", "Bo")
        assert (grade.auto_score, grade.manual_score, grade.needs_manual_grade) == (2, None, False)
        assert gradebook.find_comment("to_w", "lab3", "lab3", "Bo").comment == "Told."


def test_nbgrader_exports_them(fresh, tmp_path):
    """Checks the table of nbgrader's own `export`."""
    from nbgrader.plugins import CsvExportPlugin

    with opened(fresh) as gradebook:
        plugin = CsvExportPlugin()
        plugin.to = str(tmp_path / "grades.csv")
        plugin.export(gradebook)
    with (tmp_path / "grades.csv").open(newline="") as file:
        rows = [(row["assignment"], row["student_id"], row["score"]) for row in csv.DictReader(file)]
    assert sorted(rows) == [("lab3", "Ada", "27.0"), ("lab3", "Bo", "2.0")]


def test_a_second_time_updates(gradebook):
    """Checks two gradings after one another, a new student in the second: nobody is there twice, and the last points count."""
    failed = Report("Cy", "lab3", "", BUBBLEWRAP, error="not graded: MemoryError")  # has no grade yet
    nbgrader_gradebook([report("Bo", ["ead"]), report("李雷", ["to_w"]), failed], gradebook)
    with opened(gradebook) as found:
        scores = [(one.student_id, one.score) for one in found.assignment_submissions("lab3")]
        assert sorted(scores) == [("Ada", 27), ("Bo", 5), ("李雷", 2)]
        assert len(found.find_submission_notebook("lab3", "lab3", "Bo").grades) == len(TASKS) + 2


def test_points_for_written_questions(gradebook):
    """Checks that a question waits for a person until it has points, and that a later grading without them keeps them."""
    nbgrader_gradebook([report("Ada", TASKS)], gradebook, {"Ada": {"question-1": 2.5}})
    for points in ({}, {"Ada": {"question-2": 0.0}}):
        with opened(gradebook) as found:
            submission = found.find_submission("lab3", "Ada")
            assert submission.written_score == 2.5 and submission.needs_manual_grade
        nbgrader_gradebook([report("Ada", TASKS)], gradebook, points)
    with opened(gradebook) as found:
        submission = found.find_submission("lab3", "Ada")
        assert (submission.score, submission.needs_manual_grade) == (29.5, False)


def test_what_a_person_gave_in_nbgrader_stays(gradebook):
    """Checks a task whose points a person has changed in nbgrader: they count, and are marked for a second look."""
    with opened(gradebook) as found:
        found.find_grade("ead-points", "lab3", "lab3", "Bo").manual_score = 4
        found.db.commit()
    nbgrader_gradebook([report("Bo", ["to_w", "ead"])], gradebook)
    with opened(gradebook) as found:
        grade = found.find_grade("ead-points", "lab3", "lab3", "Bo")
        assert (grade.auto_score, grade.score, grade.needs_manual_grade) == (5, 4, True)
        assert found.find_submission("lab3", "Bo").score == 6


def test_other_labs_stay(gradebook):
    """Checks that grading lab 1 enters its cells beside those of lab 3, whose grades stay as they were."""
    tasks = importlib.import_module("advcourse.labs.lab1").LAB.tasks
    results = tuple(TaskResult(name, "", "wrong", "No.", 0, task.points, 7) for name, task in tasks.items())
    nbgrader_gradebook([Report("Ada", "lab1", "d" * 64, BUBBLEWRAP, results)], gradebook)
    with opened(gradebook) as found:
        assert found.find_student("Ada").score == 27
        assert {one.name: one.max_score for one in found.assignments} == {"lab1": 30, "lab3": 33}


def test_nothing_is_left_on_the_path(gradebook):
    """Checks PATH before and after."""
    before = os.environ["PATH"]
    nbgrader_gradebook([report("Ada")], gradebook)
    assert os.environ["PATH"] == before


def test_what_cannot_be_written_is_told(gradebook, tmp_path, monkeypatch):
    """Checks the errors for a file that is none of nbgrader's, for a lab with other cells, and for a missing nbgrader."""
    (tmp_path / "notes.txt").write_text(
        "not a database, but long enough for its first hundred bytes to be read" * 9
    )
    with pytest.raises(
        InputError, match=r"database: .*notes.txt cannot be written \(file is not a database\)"
    ):
        nbgrader_gradebook([report("Ada")], tmp_path / "notes.txt")
    with pytest.raises(
        InputError, match="has another lab3, without question-9; allowed is a gradebook of this one"
    ):
        nbgrader_gradebook([report("Ada", TASKS, [*QUESTIONS, "question-9"])], gradebook)
    monkeypatch.setitem(sys.modules, "nbgrader.api", None)
    with pytest.raises(InputError, match="nbgrader is not installed .*pip install nbgrader"):
        nbgrader_gradebook([report("Ada")], tmp_path / "new.db")
    assert not (tmp_path / "new.db").exists()
