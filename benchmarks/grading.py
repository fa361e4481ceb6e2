"""What grading takes: seconds a submission and core, and memory, for classes of real notebooks.

    python benchmarks/grading.py [--students 24] [--labs lab1 lab3] [--workers 1 2]

In one kind of class every student has the author's answers, which is the most work; in the other a third has all of them, a third
every second one, and a third none. Nothing else should run on the machine. The table goes to benchmarks/results/grading.md.
"""

import argparse
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import nbformat
import psutil
import torch
from measuring import write

from advcourse.grading import classroom
from advcourse.labs.release import ROOT

MIXTURES = {"all answers": (1,), "mixed": (1, 2, 0)}  # of a student's answers every such one is there


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


def measure(lab, mixture, students, workers):
    """Cells of the table for one class."""
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name, "in"), Path(name, "out")
        folder.mkdir()
        for number in range(students):
            every = MIXTURES[mixture][number % len(MIXTURES[mixture])]
            (folder / f"s{number:03d}.ipynb").write_bytes(notebook(lab, every, number))
        with peak() as highest:
            outcome = classroom.run(folder, lab, out, workers=workers)
        ends = sorted(path.stat().st_mtime for path in (out / "results").iterdir())
    assert not outcome.failed, outcome.failed
    # The first result of each worker has the start of its processes in it, which a class pays for once.
    seconds = workers * (ends[-1] - ends[workers - 1]) / (students - workers)
    most = max(report.seconds for report in outcome.reports)
    points = sum(report.points for report in outcome.reports) / students
    return [
        lab,
        mixture,
        f"{students}",
        f"{workers}",
        f"{points:.1f}",
        f"{seconds:.2f}",
        f"{most:.2f}",
        f"{highest[0]:.0f}",
    ]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--students", type=int, default=24)
    parser.add_argument("--labs", nargs="+", default=["lab1", "lab3"])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    head = [
        "lab",
        "class",
        "students",
        "workers",
        "mean points",
        "seconds a submission and core",
        "slowest, seconds",
        "memory, MiB",
    ]
    lines = [head]
    for lab in options.labs:
        for mixture in MIXTURES:
            for workers in options.workers:
                lines.append(measure(lab, mixture, options.students, workers))
                print(" ".join(lines[-1]), flush=True)
    text = (
        "# What grading takes\n\n"
        "From the end of the first submission to the end of the last, times workers, divided by submissions: the start of the\n"
        "processes, some seconds in a whole class, is left out. Memory is the most that all processes held together, sandboxes\n"
        "included. The goal is 3 seconds a submission and core.\n"
        "Made by `python benchmarks/grading.py` on a machine with nothing else to do.\n"
    )
    write("grading", text, lines, torch.zeros(1), ["psutil"])


if __name__ == "__main__":
    main()
