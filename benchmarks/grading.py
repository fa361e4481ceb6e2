"""What grading takes: seconds a submission and core, and memory, for classes of real notebooks.

    python benchmarks/grading.py [--students 24] [--labs lab1 lab3] [--classes mixed] [--workers 1 2] [--on "a quiet machine"]

In one kind of class every student has the author's answers, which is the most work; in the other a third has all of them, a third
every second one, and a third none. If something else runs on the machine, seconds by the clock are too many; those of the
processor, which are those of all processes of the grader, hardly change. The table goes to benchmarks/results/grading.md.
"""

import argparse
import os
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import nbformat
import psutil
import torch
from measuring import write

from advcourse.grading import classroom
from advcourse.grading.read.submission import labs
from advcourse.grading.run import sandbox
from advcourse.grading.run.watch import Watch
from advcourse.labs.release import ROOT

MIXTURES = {"all answers": (1,), "mixed": (1, 2, 0)}  # of a student's answers every such one is there
FOLDER = (
    "ADVCOURSE_BENCHMARK"  # the variable that tells the workers where to write the seconds of each submission
)
HEAD = [
    "lab",
    "class",
    "students",
    "workers",
    "mean points",
    "seconds a submission and core",
    "of the processor",
    "slowest, seconds",
    "memory, MiB",
]
ended = {
    "tasks": 0.0,
    "looking": 0.0,
}  # seconds of the processor: of tasks that have ended; of `peak` in this process


def notebook(lab, every, number):
    """The bytes of the students' copy of a lab with every `every`th answer of the author's (0: none), like no other student's."""
    solved, copy = (
        nbformat.read(ROOT / kind / lab / f"{lab}.ipynb", 4) for kind in ("solutions", "exercises")
    )
    answers, count = {cell.id: cell.source for cell in solved.cells}, 0
    for cell in copy.cells:
        if cell.source != answers.get(cell.id, cell.source):
            count += 1
            if every and count % every == 0:
                cell.source = answers[cell.id]
    copy.cells.append(nbformat.v4.new_markdown_cell(f"Student {number}", id=f"student-{number}"))
    return nbformat.writes(copy).encode()


@contextmanager
def peak():
    """Inside the block a thread looks at the memory of this process and all that it has started: [the highest sum, in MiB]."""
    highest, done = [0.0], threading.Event()

    def look():
        while not done.wait(0.25):
            processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
            highest[0] = max(highest[0], sum(map(memory, processes)))
            ended["looking"] = time.thread_time()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield highest
    finally:
        done.set()
        thread.join()


def memory(process):
    """MiB of a process; what it shares with others is counted in parts, where the system tells them."""
    try:
        with open(f"/proc/{process.pid}/smaps_rollup", encoding="ascii") as file:
            parts = dict(line.split(":", 1) for line in file if line.startswith("Pss:"))
        return int(parts["Pss"].split()[0]) / 1024
    except (OSError, KeyError):
        try:
            return process.memory_info().rss / 2**20
        except psutil.Error:
            return 0.0


class Counted(Watch):
    """A watch that adds the time of its task to that of all tasks: nobody is told of it once the task has been ended."""

    def finish(self):
        if not self._done.is_set():
            ended["tasks"] += sum(map(seconds, self._processes()))
        super().finish()


def seconds(process):
    """Seconds of the processor that a process has taken, and those below it that it has waited for."""
    try:
        return sum(process.cpu_times()[:4])
    except psutil.Error:
        return 0.0


def grade(content, lab, student, *rest):
    """`classroom.grade`, which also writes down the seconds of the processor that all processes took for it."""
    sandbox.Watch = Counted
    before = spent()
    text = classroom.grade(content, lab, student, *rest)
    Path(os.environ[FOLDER], student).write_text(f"{spent() - before}")
    return text


def spent():
    """Seconds of the processor of this process and all that it has started so far."""
    here = psutil.Process()
    living = sum(map(seconds, [here, *here.children(recursive=True)]))
    return living + ended["tasks"] - ended["looking"]


def measure(lab, mixture, students, workers):
    """Cells of the table for one class."""
    with tempfile.TemporaryDirectory() as name:
        folder, out, told = Path(name, "in"), Path(name, "out"), Path(name, "told")
        folder.mkdir()
        told.mkdir()
        os.environ[FOLDER] = str(told)
        for number in range(students):
            every = MIXTURES[mixture][number % len(MIXTURES[mixture])]
            (folder / f"s{number:03d}.ipynb").write_bytes(notebook(lab, every, number))
        with peak() as highest:
            outcome = classroom.run(folder, lab, out, workers=workers, grade=grade)
        assert not outcome.failed, outcome.failed
        rows = sorted((path.stat().st_mtime, float(path.read_text())) for path in told.iterdir())
    # The first of each worker has the start of its processes in it, which a class pays for once.
    by_the_clock = workers * (rows[-1][0] - rows[workers - 1][0]) / (students - workers)
    of_the_processor = sum(row[1] for row in rows[workers:]) / (students - workers)
    most = max(report.seconds for report in outcome.reports)
    points = sum(report.points for report in outcome.reports) / students
    numbers = [f"{points:.1f}", f"{by_the_clock:.2f}", f"{of_the_processor:.2f}", f"{most:.2f}"]
    return [lab, mixture, f"{students}", f"{workers}", *numbers, f"{highest[0]:.0f}"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--students", type=int, default=24)
    parser.add_argument("--labs", nargs="+", default=labs())
    parser.add_argument("--classes", nargs="+", default=list(MIXTURES))
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--on", default="a machine with nothing else to do")
    options = parser.parse_args()
    lines = [HEAD]
    for lab in options.labs:
        for mixture in options.classes:
            for workers in options.workers:
                lines.append(measure(lab, mixture, options.students, workers))
                print(" ".join(lines[-1]), flush=True)
                write("grading", _text(options.on), lines, torch.zeros(1), ["psutil"])


def _text(machine):
    return (
        "# What grading takes\n\n"
        "From the end of the first submission to the end of the last, times workers, divided by submissions: the start of the\n"
        "processes, some seconds in a whole class, is left out. Seconds of the processor are those of all processes together:\n"
        "the one that reads, the judge, and the sandbox with its tasks. They hardly depend on what else the machine has to do.\n"
        "Memory is the most that all processes held together, sandboxes included. The goal is 3 seconds a submission and core.\n"
        f"Made by `python benchmarks/grading.py` on {machine}.\n"
    )


if __name__ == "__main__":
    main()
