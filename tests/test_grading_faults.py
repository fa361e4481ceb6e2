"""A class under faults: kills, signals, a second grader, a clock that jumps, and failures of the grader itself."""

import csv
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from amounts import amount
from grading_tests import answer, content, exercise, needs_bubblewrap, solution
from interrupting import begun
from test_grading_classroom import at_hand, run, school, stand_in

from advcourse.core import workers
from advcourse.core.inputs import InputError
from advcourse.grading import classroom
from advcourse.grading.read import folders
from advcourse.grading.tell import writing
from advcourse.grading.tell.report import Report
from advcourse.labs.lab4 import LAB

pytestmark = pytest.mark.skipif(os.name == "nt", reason="grading needs POSIX")
RESULTS = "[0-9a-f]*.json"
PATH = [path for path in sys.path if path]
__all__ = ["at_hand"]  # a fixture


def rows(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def kept(out):
    """The finished results: name -> time of the last change."""
    return {path.name: path.stat().st_mtime_ns for path in Path(out, "results").glob(RESULTS)}


def script(code, *arguments):
    """A process that runs lines with the tests' modules at hand."""
    head = f"import sys\nsys.path[:0] = {PATH!r}\n"
    command = [sys.executable, "-c", head + code, *map(str, arguments)]
    return begun(command)


def ended(process):
    """What a process wrote, when it has ended."""
    output, errors = process.communicate(timeout=500)
    return output, errors


# Kills

KILLED = """
import os, random, signal, sys, time
sys.path[:0] = {path!r}
if __name__ == "__main__":
    from pathlib import Path
    import psutil
    from advcourse.grading import classroom
    from test_grading_classroom import stand_in

    folder, out, kills, longest, real = Path(sys.argv[1]), Path(sys.argv[2]), *map(float, sys.argv[3:])
    log, chance, grade = folder.parent / "log.txt", random.Random(0), classroom.grade if real else stand_in
    start = lambda: classroom.run(folder, 4, out, workers=2, progress=False, grade=grade)
    finished = lambda: {{p.name: p.stat().st_mtime_ns for p in out.glob("results/[0-9a-f]*.json")}}
    lines = lambda: len(log.read_text().split()) if log.exists() else 0
    classroom.why_no_bubblewrap()
    for _ in range(int(kills)):
        before, logged, child = finished(), lines(), os.fork()
        if not child:
            start()
            os._exit(0)
        while len(finished()) == len(before):
            assert not os.waitpid(child, os.WNOHANG)[0], "it ended before it could be killed"
            time.sleep(0.005)
        time.sleep(chance.uniform(0, longest))
        started = psutil.Process(child).children(recursive=True)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        _, alive = psutil.wait_procs(started, timeout=120)
        after = finished()
        under_way = lines() - logged - (len(after) - len(before))
        print(len(after), before.items() <= after.items(), len(started) > 1, len(alive), under_way)
    outcome = start()
    print(len(outcome.reports), outcome.graded, len(outcome.failed))
"""


def killed(tmp_path, folder, kills, longest, real=False):
    """Grade a class, killed so often, at moments up to `longest` seconds after its first graded submission.

    Returns for each kill what was finished then, whether all of it had stayed, whether there were processes, how many outlived
    the kill, and how many submissions were under way; and of the run that followed reports, graded ones and failures.
    """
    place = tmp_path / "script.py"
    place.write_text(KILLED.format(path=PATH))
    command = [sys.executable, str(place), str(folder), str(tmp_path / "out"), str(kills), str(longest)]
    done = subprocess.run([*command, f"{int(real)}"], capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr
    *found, end = (line.split() for line in done.stdout.splitlines())
    assert len(found) == kills and all(row[1:4] == ["True", "True", "0"] for row in found), found
    return [(int(row[0]), int(row[4])) for row in found], tuple(map(int, end))


def whole(outcome, out, count):
    """Checks that a class is there, each once: results, rows, pages, lines of the overview; and nothing unfinished."""
    page, _ = writing.write(outcome, out)
    students = [report.student for report in outcome.reports]
    assert len(set(students)) == len(students) == count == len(kept(out))
    assert len(list((out / "results").iterdir())) == count
    assert sorted(row["student"] for row in rows(out / "grades.csv")) == sorted(students)
    told = page.read_text(encoding="utf-8")
    assert len(list((out / "feedback").iterdir())) == count
    assert all(f'href="feedback/{student}.html"' in told for student in students)


@pytest.mark.slow
@pytest.mark.long
def test_killed_many_times_a_class_loses_none_and_doubles_none(tmp_path):
    """SIGKILL at random moments, ten times in a class of 200 in `make test-long`. Checks that what was finished stays and is
    never graded again: the grader's log has each submission once, and besides those that were under way at a kill, two at
    most each time; no process outlives a kill."""
    count = amount(80, 200)
    points = [number % 11 for number in range(count)]
    folder, log = school(tmp_path, points, pause=0.05)
    kills, (reports, graded, failed) = killed(tmp_path, folder, amount(3, 10), 0.4)
    assert kills[0][0] > 0 and kills[-1][0] < count, "killed between the first and the last"
    assert (reports, graded, failed) == (count, count - kills[-1][0], 0)
    assert all(0 <= under_way <= 2 for _, under_way in kills)
    assert len(log.read_text().split()) == count + sum(under_way for _, under_way in kills)
    again = run(folder, tmp_path / "out")
    assert again.graded == 0 and [report.points for report in again.reports] == points
    whole(again, tmp_path / "out", count)


@needs_bubblewrap
@pytest.mark.slow
@pytest.mark.long
def test_killed_while_real_notebooks_are_graded(tmp_path):
    """As above, with the real grader and its sandboxes. Checks the points by what was put into each notebook."""
    count, kills = amount(16, 200), amount(2, 10)
    (tmp_path / "in").mkdir()
    tasks, answers = list(LAB.tasks), {cell.id: cell.source for cell in solution("lab4").cells}
    for number in range(count):
        task = tasks[number % len(tasks)]
        notebook = exercise("lab4")
        written = answer(notebook, task, answers[task]) if number % 3 else notebook
        (tmp_path / "in" / f"s{number:03d}.ipynb").write_bytes(content(written))
    found, (reports, graded, failed) = killed(tmp_path, tmp_path / "in", kills, 0.3, real=True)
    assert (reports, graded, failed) == (count, count - found[-1][0], 0) and graded < count
    again = classroom.run(tmp_path / "in", 4, tmp_path / "out", progress=False)
    assert again.graded == 0
    whole(again, tmp_path / "out", count)
    for number, report in enumerate(again.reports):
        task = LAB.tasks[tasks[number % len(tasks)]]
        assert report.points == (task.points if number % 3 else 0), report


STOPPED = """
from advcourse import cli
from advcourse.core import workers
from advcourse.grading import classroom
from test_grading_classroom import stand_in
classroom.in_processes = lambda tasks, count, seconds: workers.here(tasks)
run = classroom.run
classroom.run = lambda *a, **b: run(*a, **b, grade=stand_in)
sys.argv[:1] = ["advcourse", "grade"]
cli.main()
"""


@pytest.mark.parametrize("name, status", [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_that_ends_it_keeps_what_is_graded(tmp_path, at_hand, name, status):
    """Checks a shutdown and a closed terminal: the status that a shell gives, one line and no traceback, the finished
    ones kept; the next run grades the rest."""
    folder, log = school(tmp_path, [1, 2, 3], pause=0)
    (folder / "s002.ipynb").write_text(f"{log}\n3\n600")
    out = tmp_path / "out"
    running = script(STOPPED, folder, "--lab", "4", "--out", out)
    deadline = time.monotonic() + 240
    while not log.exists() or log.read_text().count("\n") < 3:
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.01)
    running.send_signal(getattr(signal, name))
    output, errors = ended(running)
    assert running.returncode == status and output == "" and "Traceback" not in errors, errors
    told = f"Interrupted. The submissions that were graded are kept in {out / 'results'}; the same command"
    assert errors.splitlines()[-1] == f"{told} goes on from there."
    (folder / "s002.ipynb").write_text(f"{log}\n3\n0")
    again = run(folder, out)
    assert again.graded == 1 and [report.points for report in again.reports] == [1, 2, 3]


# Two graders

TOGETHER = """
import time
from pathlib import Path
from advcourse.core import workers
from advcourse.grading import classroom
from advcourse.core.inputs import InputError
from test_grading_classroom import stand_in
classroom.in_processes = lambda tasks, count, seconds: workers.here(tasks)
folder, lab, out, go = Path(sys.argv[1]), *sys.argv[2:4], Path(sys.argv[4])
print("ready", flush=True)
while not go.exists():
    time.sleep(0.001)
try:
    outcome = classroom.run(folder, lab, out, progress=False, grade=stand_in)
    print("graded", outcome.graded)
except InputError as error:
    print("refused", error)
"""


def test_two_graders_do_not_write_to_one_folder(tmp_path, at_hand):
    """Starts three at the same moment, two of them on one folder. Checks that one of the two is refused, by a sentence that
    names the other, that each submission is graded once, and that the third feels nothing."""
    folder, log = school(tmp_path, [1] * 20, pause=0.1)
    out, go = tmp_path / "out", tmp_path / "go"
    places = [("4", out), ("4", out), ("3", tmp_path / "other")]
    running = [script(TOGETHER, folder, lab, place, go) for lab, place in places]
    assert [one.stdout.readline() for one in running] == ["ready\n"] * 3
    go.touch()
    *both, third = [ended(one)[0] for one in running]
    assert third == "graded 20\n"
    (refused,) = [told for told in both if told.startswith("refused")]
    assert "graded 20\n" in both
    winner = running[both.index("graded 20\n")]
    who = rf"another grading writes just now \(process {winner.pid} on .+\); allowed is one at a time"
    assert re.search(who, refused) and f"'{out}'" in refused
    assert len(log.read_text().split()) == 40
    assert run(folder, out).graded == 0


def test_what_a_class_comes_to_is_not_written_while_another_grades(tmp_path, at_hand):
    """Checks the tables of the first while a second grading holds the folder: refused, and nothing is written."""
    folder, _ = school(tmp_path, [1, 2])
    outcome = run(folder, tmp_path / "out")
    with classroom.alone_in(tmp_path / "out"), pytest.raises(InputError, match="another grading writes"):
        writing.write(outcome, tmp_path / "out")
    assert not (tmp_path / "out" / "grades.csv").exists()


def test_two_who_make_a_secret_have_the_same(tmp_path, monkeypatch):
    """Lets one make its secret while another is at it, as where a file system knows no locks. Checks that both have one."""
    found, draw = [], classroom.secrets.token_bytes

    def slow(count):
        if not found:
            found.append(b"")
            found[0] = classroom._own_secret(tmp_path)
        return draw(count)

    monkeypatch.setattr(classroom.secrets, "token_bytes", slow)
    assert classroom._own_secret(tmp_path) == found[0] == (tmp_path / "secret").read_bytes()
    assert len(found[0]) == 32 and [path.name for path in tmp_path.iterdir()] == ["secret"]


# Clocks, and the grader's own failures


@pytest.fixture
def jumping(monkeypatch):
    """A clock of the day that jumps by years, back and forth, whenever somebody looks at it."""
    chance = random.Random(0)
    monkeypatch.setattr(time, "time", lambda: chance.uniform(-1e9, 4e9))
    monkeypatch.setattr(time, "time_ns", lambda: chance.randrange(-(10**18), 4 * 10**18))


def test_a_clock_that_jumps_changes_nothing(tmp_path, jumping):
    """Checks real processes and the bar, with files dated from before 1970 to 2100: points, and what is found again."""
    folder, _ = school(tmp_path, [1, 2, 3])
    outcome = run(folder, tmp_path / "out", workers=2, progress=True)
    assert not outcome.failed and [report.points for report in outcome.reports] == [1, 2, 3]
    for count, path in enumerate([*folder.iterdir(), *(tmp_path / "out/results").iterdir()]):
        os.utime(path, (-1e8 + count * 8e8,) * 2)
    assert run(folder, tmp_path / "out").graded == 0
    whole(outcome, tmp_path / "out", 3)


@pytest.mark.parametrize("dates", [(-(10**9), -(10**8)), (0, 1), (4 * 10**9, 5 * 10**9), (-1, 4 * 10**9)])
def test_the_newest_counts_whatever_the_date(tmp_path, dates):
    """Checks two notebooks of one student with dates before 1970, at 1970, and after today."""
    (tmp_path / "ada").mkdir()
    for name, date in zip(("lab4-Copy1", "lab4"), dates):
        path = tmp_path / "ada" / f"{name}.ipynb"
        path.write_text("{}")
        os.utime(path, (date, date))
    found, _ = folders.find(tmp_path, "lab4")
    assert [one.path.name for one in found] == ["lab4.ipynb"]


@needs_bubblewrap
@pytest.mark.slow
def test_seconds_are_never_negative(jumping):
    """Checks the real grader at a notebook with an answer, under a clock that jumps: its points, and what it says it took."""
    task = next(iter(LAB.tasks))
    source = next(cell.source for cell in solution("lab4").cells if cell.id == task)
    notebook = content(answer(exercise("lab4"), task, source))
    text = classroom.grade(notebook, "lab4", "Ada", bytes(16), classroom.Limits(), "bubblewrap")
    report = Report.from_json(text)
    assert report.points == LAB.tasks[task].points and 0 < report.seconds < 3600


def test_a_time_limit_is_no_date(jumping):
    """Checks a task of no time under a limit of 1000 seconds, while the clock jumps by years."""
    found = dict(workers.in_processes([("one", (len, ("four",)))], 1, seconds=1000))
    assert found == {"one": 4}


def test_a_failure_of_the_grader_is_never_kept(tmp_path, at_hand):
    """Checks a grader that fails at one student twice: no result, no zero in a table; the next run gives the points."""
    folder, log = school(tmp_path, [4, 5])
    moods = iter(["out of order"] * 2)

    def moody(content, lab, student, *more):
        if student == "s000" and (mood := next(moods, "")):
            raise RuntimeError(mood)
        return stand_in(content, lab, student, *more)

    out = tmp_path / "out"
    outcome = run(folder, out, grade=moody)
    assert outcome.failed["s000"].error == "RuntimeError: out of order" and len(kept(out)) == 1
    writing.write(outcome, out)
    assert [row["total"] for row in rows(out / "grades.csv")] == ["", "5"]
    again = run(folder, out, grade=moody)
    assert again.graded == 1 and not again.failed
    whole(again, out, 2)
    assert [row["total"] for row in rows(out / "grades.csv")] == ["4", "5"]


def test_what_is_no_report_is_a_failure(tmp_path, at_hand):
    """Checks a grader that returns something else at one student: it is told, and the other student has his points."""
    folder, _ = school(tmp_path, [4, 5])

    def strange(content, lab, student, *more):
        return "{}" if student == "s000" else stand_in(content, lab, student, *more)

    outcome = run(folder, tmp_path / "out", grade=strange)
    assert outcome.failed["s000"].error.startswith("ValueError: other fields than a report's")
    assert [report.points for report in outcome.reports] == [0, 5] and len(kept(tmp_path / "out")) == 1
