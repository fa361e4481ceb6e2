"""The workers: each task is done once, whatever happens to the process that does it."""

import atexit
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from advcourse.core import workers
from advcourse.core.workers import Failure


def square(number):
    return number * number


def process_of(number, folder):
    """The process that does this task; leaves a file with the number as its name. Number 0 waits for another process's."""
    own = Path(folder) / f"process {os.getpid()}"
    own.touch()
    (Path(folder) / f"{number}").touch(exist_ok=False)
    deadline = time.monotonic() + 120
    while number == 0 and set(Path(folder).glob("process *")) == {own} and time.monotonic() < deadline:
        time.sleep(0.01)
    return os.getpid()


def end(how):
    """Ends badly: by an exception, by leaving, by the signal that the system sends when memory is short, or never."""
    if how == "raise":
        raise ValueError("no such\nnumber")
    if how == "exit":
        os._exit(3)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600)


def hang_up(name):
    """Gets a signal, and goes on; tells its process."""
    os.kill(os.getpid(), getattr(signal, name))
    return os.getpid()


def leave_note(path, started=None):
    """As one who keeps something open until the process ends; with `started`, it never gets done."""
    atexit.register(Path(path).touch)
    if started:
        Path(started).touch()
        end("never")


class Mute:
    """Cannot be sent to another process."""

    def __reduce__(self):
        raise TypeError("it stays here")


class Unreadable:
    """Can be sent, but not be read where it arrives."""

    def __reduce__(self):
        return end, ("raise",)


def squares(count):
    return [(f"{n}", (square, (n,))) for n in range(count)]


WAYS = {
    "here": workers.here,
    "processes": lambda tasks: workers.in_processes(tasks, 2),
    "one process": lambda tasks: workers.in_processes(tasks, 1),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_task_is_done_once(way):
    """Checks against squares worked out here, and that an exception is told in one line with its trace."""
    results = list(WAYS[way]([*squares(12), ("bad", (end, ("raise",)))]))
    found = dict(results)
    assert len(found) == len(results) == 13
    failed = found.pop("bad")
    assert failed.error == "ValueError: no such" and "in end" in failed.trace
    assert found == {f"{n}": n * n for n in range(12)}


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_task_that_kills_its_process_harms_no_other():
    """Checks with tasks that end their process in two ways, among others: the statuses that the system knows them by."""
    tasks = squares(6)
    tasks[2:2] = [("leaves", (end, ("exit",))), ("killed", (end, ("kill",)))]
    found = dict(workers.in_processes(tasks, 2))
    assert "ended with status 3" in found.pop("leaves").error
    assert "ended with status -9" in found.pop("killed").error
    assert found == {f"{n}": n * n for n in range(6)}


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("size", [0, 10**6], ids=["small", "larger than a pipe holds"])
def test_an_idle_process_that_is_killed_loses_nothing(tmp_path, size):
    """Kills each process after its task, while it is idle: every task is done by a process of its own, and none fails."""

    def tasks():
        for n in range(2):
            for child in psutil.Process().children():
                if "spawn_main" in " ".join(child.cmdline()):
                    child.kill()
                    child.wait()
            yield n, (len, (bytes(size + n),))

    assert dict(workers.in_processes(tasks(), 1)) == {0: size, 1: size + 1}


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="POSIX signals")
def test_a_terminal_that_is_closed_is_the_parents_business():
    """Checks the process that gets both signals of a terminal while it is at work: it goes on, and so does the next task."""
    tasks = [(name, (hang_up, (name,))) for name in ("SIGHUP", "SIGINT")]
    found = list(workers.in_processes(tasks, 1))
    assert [key for key, _ in found] == ["SIGHUP", "SIGINT"] and len({process for _, process in found}) == 1


def test_what_cannot_be_sent_or_read_fails_alone():
    """Checks with arguments that refuse to be packed here, or to be unpacked there."""
    tasks = [
        *squares(2),
        ("mute", (square, (Mute(),))),
        ("unreadable", (square, (Unreadable(),))),
        *squares(1),
    ]
    found = list(workers.in_processes(tasks, 1))
    assert dict(found)["mute"].error == "TypeError: it stays here"
    assert dict(found)["unreadable"].error == "ValueError: no such"
    assert [key for key, result in found if not isinstance(result, Failure)] == ["0", "1", "0"]


@pytest.mark.slow
def test_a_task_that_takes_too_long_is_stopped():
    """Checks with a task that would take ten minutes beside others that take none: only it is lost."""
    tasks = [("0", (square, (0,))), ("late", (end, ("never",))), ("1", (square, (1,)))]
    found = dict(workers.in_processes(tasks, 1, seconds=20))
    assert found == {"0": 0, "late": Failure("the task took more than 20 seconds"), "1": 1}


def test_tasks_are_taken_as_there_is_room():
    """Counts how far the source of the tasks has been read when a result arrives: by two processes, two further at most."""
    taken = []

    def tasks():
        for task in squares(20):
            taken.append(task)
            yield task

    for done, _ in enumerate(workers.in_processes(tasks(), 2), 1):
        assert len(taken) <= done + 1


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_processes_clean_up_and_are_gone(tmp_path):
    """Checks notes written as processes end, one idle and one stopped at work, and the system's list of processes."""
    idle, busy, started = tmp_path / "idle", tmp_path / "busy", tmp_path / "started"
    running = workers.in_processes(
        [("busy", (leave_note, (busy, started))), ("idle", (leave_note, (idle,)))], 2
    )
    assert next(running) == ("idle", None)
    children = [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
    assert len(children) == 2
    while not started.exists():
        time.sleep(0.01)
    running.close()
    assert idle.exists() and busy.exists() and not any(child.is_running() for child in children)


@pytest.mark.slow
def test_a_cluster_does_the_same(tmp_path):
    """Checks a cluster of two processes against squares; more tasks than are handed out at once; each is done once."""
    distributed = pytest.importorskip("distributed")
    tasks = [*squares(40), ("bad", (end, ("raise",)))]
    tasks += [(f"once {n}", (process_of, (n, str(tmp_path)))) for n in range(40)]
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        results = list(workers.on_dask(iter(tasks), cluster.scheduler_address))
        assert list(workers.on_dask([], cluster.scheduler_address)) == []
    found = dict(results)
    assert len(found) == len(results) == 81 and found.pop("bad").error == "ValueError: no such"
    assert {found[f"{n}"] - n * n for n in range(40)} == {0}
    assert len({found[f"once {n}"] for n in range(40)}) == 2
