"""The tests that every lab passes. A lab's own test file takes them over, and adds those of its formulas:

class TestLab1(LabTests):
    lab, written, pictures = LAB, 6, 7
"""

import re
from functools import cache
from pathlib import Path

import nbformat
import pytest
from amounts import some
from answers import rooms
from grading_tests import content, exercise, needs_bubblewrap, solution
from remembering import remembering
from submissions import holding, submissions, unwritten
from threads import single_threaded

from advcourse.grading.run.grader import Grader
from advcourse.grading.tell.report import BUBBLEWRAP
from advcourse.labs.checks import Student
from advcourse.labs.exercises import Draw
from advcourse.labs.properties import other_device
from advcourse.labs.release import release
from advcourse.labs.running import LocalRunner

ROOT = Path(__file__).resolve().parent.parent
SEED = 1  # of what the notebook and the grader are compared in


@cache
def verdict_on(lab, task, answer):
    return lab.check(answer, task, SEED)


def told(verdict):
    """What a student is told: by a `Verdict` in the notebook, or by the grader's `TaskResult`."""
    return verdict.outcome, verdict.key, verdict.message, verdict.points


def by_grader(report):
    """Task -> what the grader tells."""
    return {task.task: told(task) for task in report.tasks}


def by_notebook(lab, answers):
    """Task -> what the check in the notebook tells."""
    tasks = lab.tasks.items()
    return {name: told(verdict_on(lab, name, answers.get(name) or unwritten(task))) for name, task in tasks}


def points_of(report):
    """Task -> its points."""
    return {task.task: task.points for task in report.tasks}


def notebook(folder, name):
    return nbformat.read(ROOT / folder / name / f"{name}.ipynb", as_version=4)


def executed(path, *more):
    """The notebook at `path`, run from its first to its last cell; `more` are the sources of cells put at its end."""
    from nbclient import NotebookClient

    book = nbformat.read(path, as_version=4)
    book.cells += [nbformat.v4.new_code_cell(source) for source in more]
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(book, kernel_name="python3", resources=resources, timeout=300).execute()
    return book


def shown(book, ending):
    """What the cells whose id has this ending show as text, by task."""
    found = {}
    for cell in book.cells:
        if cell.id.endswith(ending):
            (output,) = cell.outputs
            found[cell.id.removesuffix(ending)] = output["data"]["text/plain"]
    return found


def answer_lines(cell):
    """The lines of the author's answer in a cell: all lines of a written one, of code those between the marks."""
    if cell.cell_type == "markdown" and cell.metadata.get("nbgrader", {}).get("solution"):
        return [line.strip() for line in cell.source.splitlines() if line.strip()]
    lines, inside = [], False
    for line in cell.source.splitlines():
        if "SOLUTION" in line:
            inside = "BEGIN" in line
        elif inside and line.strip():
            lines.append(line.strip())
    return lines


class LabTests:
    """`written`: points of the written questions of this `lab`; `pictures`: so many are shown, or more."""

    lab, written, pictures = None, 0, 0

    def pytest_generate_tests(self, metafunc):
        """Give each test the tasks, rooms or answers that it asks for by the names of its arguments."""
        rooms = self.rooms
        rows = {
            ("task",): [(room.task,) for room in rooms],
            ("room",): [(room,) for room in rooms],
            ("task", "right"): [(room.task, answer) for room in rooms for answer in room.rights],
            ("task", "key", "wrong"): [(room.task, *row) for room in rooms for row in room.wrongs],
        }
        wanted = tuple(
            name for name in ("task", "room", "right", "key", "wrong") if name in metafunc.fixturenames
        )
        if wanted:
            metafunc.parametrize(wanted, rows[wanted], ids=self._id)

    @staticmethod
    def _id(value):
        return getattr(value, "task", getattr(value, "__name__", value))

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def one_thread(cls):
        """The notebook's verdicts are computed as the grader's are: a message may hold the last digit of a sum.

        All answers get the questions of one seed, so the judge computes its own results once.
        """
        with single_threaded(), remembering():
            yield

    @pytest.fixture(scope="class")
    @classmethod
    def grader(cls):
        """Inside bubblewrap."""
        with Grader(isolation="bubblewrap") as grader:
            yield grader

    @property
    def rooms(self):
        return rooms(self.lab.name)

    @property
    def solutions(self):
        return notebook("solutions", self.lab.name)

    @property
    def exercises(self):
        return notebook("exercises", self.lab.name)

    # The answers

    def test_every_task_has_a_room(self):
        """Checks the demand of the course: two right answers or more, and five wrong ones or more, for each task."""
        assert [room.task for room in self.rooms] == list(self.lab.tasks)
        for room in self.rooms:
            assert len(room.rights) >= 2 and len(room.wrongs) >= 5, room.task

    def test_no_two_mistakes_share_a_message(self, room):
        """Checks the answers to one task against each other: as many messages as keys. Several answers may make one mistake."""
        verdicts = [verdict_on(self.lab, room.task, answer) for _, answer in room.wrongs]
        keys = {
            verdict.message: {other.key for other in verdicts if other.message == verdict.message}
            for verdict in verdicts
        }
        assert all(len(found) == 1 for found in keys.values()), keys
        assert len({verdict.key for verdict in verdicts}) >= 5

    def test_right_answers_pass(self, task, right):
        """Checks answers that were written differently: all are right, each time with fresh images, models and budgets."""
        for verdict in (verdict_on(self.lab, task, right), self.lab.check(right, task, SEED + 1)):
            assert verdict.right and verdict.points == self.lab.tasks[task].points, verdict

    def test_wrong_answers_meet_their_own_message(self, task, key, wrong):
        """Checks the mistake that each answer was written to make against the one that it is told."""
        verdict = verdict_on(self.lab, task, wrong)
        assert verdict.key == key, verdict
        assert verdict.points == 0 and len(verdict.message.split()) >= 4
        assert verdict.outcome == ("crashed" if key == "crash" else "wrong")

    @pytest.mark.gpu
    def test_right_answers_hold_on_a_gpu(self, room):
        """Checks the property that asks for another device with the right answers; the others are asked elsewhere."""
        task = self.lab.tasks[room.task]
        for answer in room.rights:
            other_device(Student(LocalRunner(answer), task), Draw(SEED))  # which raises what it finds

    def test_hints_rise(self, task):
        """Checks number and order: each hint says how many there are and, but for the last, how to get more."""
        hints = [repr(self.lab.hint(task, level)) for level in (1, 2, 3)]
        assert [text.split(":")[0] for text in hints] == [f"Hint {n} of 3" for n in (1, 2, 3)]
        next_one = [f'hint("{task}", {n})' in text for n, text in enumerate(hints, 2)]
        assert next_one == [True, True, False]

    # The grader

    @needs_bubblewrap
    def test_the_grader_gives_the_solution_all_points(self, grader, monkeypatch):
        """Checks each task's points against the lab's own, with a secret that is drawn anew; nobody is told a thing.

        One sandbox serves it from the first task to the last: the author's answers leave no trace.
        """
        starts, start = [], grader._sandbox._start
        grader._sandbox.renew()
        monkeypatch.setattr(grader._sandbox, "_start", lambda: (starts.append(1), start()))
        report = grader.grade(content(solution(self.lab.name)), self.lab.name)
        assert len(starts) == 1
        assert points_of(report) == {name: task.points for name, task in self.lab.tasks.items()}, report.tasks
        assert (report.points, report.isolation) == (self.lab.points, BUBBLEWRAP)
        assert (report.error, report.notes, report.signs) == ("", (), ())

    @needs_bubblewrap
    def test_the_grader_gives_an_untouched_copy_none(self, grader):
        """Checks each task of the students' copy against what its check says in the notebook: not attempted yet, 0 points."""
        report = grader.grade(content(exercise(self.lab.name)), self.lab.name, seed=SEED)
        assert by_grader(report) == by_notebook(self.lab, {})
        assert (report.points, report.possible) == (0, self.lab.points)
        assert (report.error, report.notes, report.signs) == ("", (), ())

    @needs_bubblewrap
    @pytest.mark.long
    @pytest.mark.slow
    def test_the_grader_tells_what_the_notebook_tells(self, grader):
        """Checks outcome, key, message and points of answers, right and wrong, against the check in the notebook.

        A submission holds a wrong answer for each task but one, and a right one for that, which must keep its points.
        """
        for answers in some(submissions(self.rooms), 16):
            report = grader.grade(holding(self.lab, answers), self.lab.name, seed=SEED)
            assert by_grader(report) == by_notebook(self.lab, answers)

    @needs_bubblewrap
    @pytest.mark.parametrize("parity", [0, 1])
    def test_a_wrong_answer_loses_its_own_task_alone(self, grader, parity):
        """Checks points: every second task has a right answer and all its points, the others none."""
        right = {room.task: i % 2 == parity for i, room in enumerate(self.rooms)}
        answers = {
            room.task: room.rights[-1] if right[room.task] else room.wrongs[-1][1] for room in self.rooms
        }
        report = grader.grade(holding(self.lab, answers), self.lab.name)
        deserved = {name: right[name] * task.points for name, task in self.lab.tasks.items()}
        assert points_of(report) == deserved, report.tasks

    # The notebook

    @pytest.mark.slow
    def test_the_authors_notebook_is_all_right(self):
        """Checks a fresh run: each check says right, and each locked cell gives the task's points, as nbgrader reads them."""
        from nbgrader.utils import determine_grade

        book = executed(ROOT / "solutions" / self.lab.name / f"{self.lab.name}.ipynb")
        assert {task: text.split(" (")[0] for task, text in shown(book, "-check").items()} == {
            task: f"{task}: right" for task in self.lab.tasks
        }
        grades = {cell.id: determine_grade(cell) for cell in book.cells if cell.id.endswith("-points")}
        assert grades == {f"{name}-points": (t.points, t.points) for name, t in self.lab.tasks.items()}
        assert shown(self.solutions, "-check") == shown(book, "-check")

    @pytest.mark.slow
    def test_an_untouched_copy_runs_to_the_end(self):
        """Checks a fresh run of the student's copy: every task is not attempted yet, worth 0 points, and no cell fails.

        At its end stands an answer that crashes: its line must be told as it stands in the cell.
        """
        from nbgrader.utils import determine_grade

        task = next(iter(self.lab.tasks.values()))
        line = f"return {task.parameters[0]}.nothing()"
        crashing = f"def {task.name}({', '.join(task.parameters)}):\n    {line}"
        path = ROOT / "exercises" / self.lab.name / f"{self.lab.name}.ipynb"
        book = executed(path, crashing, f"check({task.name})")
        crash = book.cells.pop().outputs[0]["data"]["text/plain"]
        assert f"{task.name}: crashed" in crash
        assert f"line 2, in {task.name}: {line}\nAttributeError" in crash
        assert {name: text.split(" (")[0] for name, text in shown(book, "-check").items()} == {
            name: f"{name}: not attempted yet" for name in self.lab.tasks
        }
        assert all(
            determine_grade(cell)[0] == 0
            for cell in book.cells
            if cell.metadata.get("nbgrader", {}).get("grade")
        )

    def test_the_students_copy_is_up_to_date(self, tmp_path):
        """Checks the stored copy byte by byte against a fresh release of the stored solutions."""
        (fresh,) = release(self.lab.name, out=tmp_path)
        stored = ROOT / "exercises" / self.lab.name / f"{self.lab.name}.ipynb"
        assert fresh.read_bytes() == stored.read_bytes()

    def test_the_students_copy_holds_no_answer(self):
        """Checks the copy for each line between the author's solution marks, for the marks, and for the written answers."""
        copy = "\n".join(cell.source for cell in self.exercises.cells)
        answers = {cell.id: answer_lines(cell) for cell in self.solutions.cells}
        assert set(self.lab.tasks) <= {name for name, lines in answers.items() if lines}
        secrets = ["BEGIN SOLUTION", "HIDDEN TESTS", "MARK SCHEME", *sum(answers.values(), [])]
        assert [secret for secret in secrets if secret in copy] == []
        assert not any(cell.get("outputs") for cell in self.exercises.cells)

    @pytest.mark.parametrize("folder", ["solutions", "exercises"])
    def test_the_notebooks_format_is_nbgraders(self, folder):
        """Checks the notebooks with the validators of nbformat and nbgrader, and the points against the lab's own."""
        from nbgrader.nbgraderformat import MetadataValidator

        book = notebook(folder, self.lab.name)
        nbformat.validate(book)
        MetadataValidator().validate_nb(book)
        points = {
            cell.id: cell.metadata.nbgrader.points
            for cell in book.cells
            if cell.metadata.get("nbgrader", {}).get("grade")
        }
        assert {k.removesuffix("-points"): v for k, v in points.items() if k.endswith("-points")} == {
            name: task.points for name, task in self.lab.tasks.items()
        }
        (stated,) = re.findall(r"\*\*Points:\*\* (\d+)\.", book.cells[0].source)
        assert sum(points.values()) == int(stated) == self.lab.points + self.written

    def test_stated_points_and_signatures_are_the_tasks(self):
        """Checks each heading's points and each stub's parameters against the task that the check goes by."""
        text = "\n".join(cell.source for cell in self.exercises.cells)
        tasks = self.lab.tasks
        headings = re.findall(r"### Task \d+: `(\w+)` \((\d+) points?\)", text)
        assert {name: int(points) for name, points in headings} == {n: t.points for n, t in tasks.items()}
        stubs = {name: stated for name, stated in re.findall(r"^def (\w+)\((.*)\):$", text, re.M)}
        for name, task in tasks.items():
            assert tuple(p.split("=")[0] for p in stubs[name].split(", ")) == task.parameters

    def test_stored_pictures_are_light(self):
        """Checks the stored file: below 400 kB, and every picture has alternative text."""
        path = ROOT / "solutions" / self.lab.name / f"{self.lab.name}.ipynb"
        assert path.stat().st_size < 400_000
        pages = [
            out["data"]["text/html"]
            for cell in self.solutions.cells
            for out in cell.get("outputs", [])
            if "text/html" in out.get("data", {})
        ]
        assert sum("<img" in page for page in pages) >= self.pictures
        assert all('<img alt="' in page for page in pages if "<img" in page)
