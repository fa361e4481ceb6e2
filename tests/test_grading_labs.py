"""All labs through the grader: the authors' solutions, untouched copies, and each answer of the museum."""

import pytest
import torch
from grading_labs import expected, holding, lab, museum, rooms, told
from grading_tests import content, exercise, needs_bubblewrap, solution

from advcourse.grading.grader import Grader
from advcourse.grading.report import BUBBLEWRAP, WEAK
from advcourse.labs.release import labs

LABS = labs()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The notebook's verdicts are computed on one thread, as the grader's are: a message may hold the last digit of a sum."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def grader():
    """Inside bubblewrap."""
    with Grader(isolation="bubblewrap") as grader:
        yield grader


@pytest.fixture(scope="module")
def weak():
    """In plain processes."""
    with Grader(isolation="process") as grader:
        yield grader


def points(report):
    return {task.task: task.points for task in report.tasks}


@needs_bubblewrap
@pytest.mark.parametrize("name", LABS)
def test_the_solution_gets_all_points(grader, name):
    """Checks each task's points against the lab's own, with a secret that is drawn anew; no line for student or instructor."""
    report = grader.grade(content(solution(name)), name)
    assert points(report) == {task.name: task.points for task in lab(name).tasks.values()}, report.tasks
    assert (report.points, report.isolation) == (lab(name).points, BUBBLEWRAP)
    assert (report.error, report.notes, report.signs) == ("", (), ())


@needs_bubblewrap
@pytest.mark.parametrize("name", LABS)
def test_an_untouched_copy_gets_none(grader, name):
    """Checks each task of the students' copy against what its check says in the notebook: not attempted yet, 0 points."""
    report = grader.grade(content(exercise(name)), name, seed=1)
    assert told(report) == expected(name, {})
    assert (report.points, report.possible) == (0, lab(name).points)
    assert (report.error, report.notes, report.signs) == ("", (), ())


@needs_bubblewrap
@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("name", LABS)
def test_the_museum_is_told_what_the_notebook_tells(grader, name, half):
    """Checks outcome, key, message and points of each answer, right or wrong, against the check in the notebook.

    A submission holds a wrong answer for each task but one, and a right one for that, which must keep its points.
    """
    for answers in museum(name)[half::2]:
        report = grader.grade(holding(name, answers), name, seed=1)
        assert told(report) == expected(name, answers)


@needs_bubblewrap
@pytest.mark.parametrize("parity", [0, 1])
@pytest.mark.parametrize("name", LABS)
def test_a_wrong_answer_loses_its_own_task_alone(grader, name, parity):
    """Checks points against the museum: every second task has a right answer and all its points, the others none."""
    answers = {
        room.task: room.rights[-1] if i % 2 == parity else room.wrongs[-1][1]
        for i, room in enumerate(rooms(name))
    }
    report = grader.grade(holding(name, answers), name)
    assert points(report) == {
        task.name: task.points * (i % 2 == parity) for i, task in enumerate(lab(name).tasks.values())
    }, report.tasks


def test_plain_processes_say_the_same(weak):
    """Checks lab 4 without bubblewrap: the solution, the students' copy, and three wrong answers."""
    assert weak.isolation == WEAK
    assert weak.grade(content(solution("lab4")), "lab4").points == lab("lab4").points
    assert told(weak.grade(content(exercise("lab4")), "lab4", seed=1)) == expected("lab4", {})
    answers = {room.task: room.wrongs[0][1] for room in rooms("lab4")[:3]}
    report = weak.grade(holding("lab4", answers), "lab4", seed=1)
    assert told(report) == expected("lab4", answers)
