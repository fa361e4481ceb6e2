"""The next student's submission, where the grader is an ordinary user: there all processes of the sandbox are the same user's."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack

import pytest
from amounts import amount
from grading_tests import ROOT, for_an_ordinary_user, needs_bubblewrap
from hostile.books import BY_NAME, NAMES, submission
from hostile.witness import second
from hostile.world import World

# Some of each kind of trace: of the first process, of the folder, of numbers, of processes that end or stay.
SOME = (
    "limits_the_memory_of_its_parent",
    "limits_the_time_of_its_parent",
    "keeps_a_number_in_a_limit",
    "makes_its_parent_wait",
    "makes_its_parent_wait_for_the_disk_and_the_processor",
    "sends_signals_to_its_parent",
    "closes_the_folder_400",
    "marks_the_folder",
    "marks_the_devices",
    "counts_up_the_numbers_of_processes",
    "leaves_one_that_writes_files",
    "kills_all",
)


@pytest.mark.long
@needs_bubblewrap
@pytest.mark.skipif(os.getuid() != 0, reason="these tests are run by an ordinary user, all of them")
def test_the_next_student_notices_nothing(tmp_path):
    """Checks the second submission after each cheat against the same alone, in a process without the rights of root."""
    names = amount(SOME, NAMES)
    with ExitStack() as stack:
        world = World(tmp_path, stack)
        stack.callback(os.close, world.held)
        _graded_by_an_ordinary_user(world, names)


def _graded_by_an_ordinary_user(world, names):
    rows = [
        (name, BY_NAME[name].lab, BY_NAME[name].limits, submission(world, BY_NAME[name]).decode())
        for name in names
    ]
    told = {"secret": world.mark, "second": second().decode(), "rows": rows}
    done = subprocess.run(
        [*for_an_ordinary_user(), sys.executable, "-B", ROOT / "tests" / "hostile" / "ordinary.py"],
        input=json.dumps(told),
        text=True,
        capture_output=True,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
            "HOME": "/tmp",
            "OMP_NUM_THREADS": "1",
        },
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["user"] != 0 and list(found["after"]) and set(found["after"]) == set(names)
    for limits, tasks in found["alone"].items():
        seen = {task["task"]: (task["points"], task["trace"]) for task in tasks}
        assert seen["rate"][0] > 0 and "RuntimeError: me:" in seen["interval"][1], limits
    for name, (limits, tasks) in found["after"].items():
        assert tasks == found["alone"][limits], name
