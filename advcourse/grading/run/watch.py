"""Watch what the processes of one task use together, which no limit of a single process can bound."""

import os
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

import psutil

INTERVAL = 0.1  # seconds between two checks
OF_A_FILE = 1024  # bytes that the kernel keeps for a file in memory, even an empty one
# Bytes that may wait in a socket, by Linux' usual settings; nothing tells how many really do.
OF_A_SOCKET = 2**22


class Bounds(Protocol):
    """What has to be known of a task's limits; a `sandbox.Limits` has it."""

    cpu_seconds: int
    memory: int
    processes: int


class Watch:
    """Inside the block, a thread adds up what all processes below `pid` use, except those in `others`.

    Beyond the limits it ends them by `kill()`. It does so, too, if the task's own process has ended and others go on, which
    may keep its wire open.

    The time of a process that has ended is not lost. It counts for its parent once the parent has waited for it, and until
    then for the process itself: the first process, which inherits all orphans, waits for none while the task goes on; and no
    task can ignore the end of a child (see `refusals`).

    Args:
        pid: the process that starts the tasks.
        others: the ids of processes that do not count.
        limits: what the task may use.
        kill: the function that ends the task's processes.
        folder: a folder inside that lies in memory; its files count as memory, and so do the sockets inside. None (default):
            there is no such folder, and no network of its own.

    Attributes:
        reason: "memory", "processes", "time" or "died" if it has ended them; else "".
        busy: seconds in which something of the task worked or waited for a processor.
        left: how many processes there were at the end beside the task's own.
    """

    def __init__(
        self,
        pid: int,
        others: Collection[int],
        limits: Bounds,
        kill: Callable[[], object],
        folder: str | None = None,
    ):
        self._pid, self._others, self._limits, self._kill = pid, others, limits, kill
        self._folder, self._task = folder, set()
        self.reason, self.left, self.busy = "", 0, 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._task = _pids(self._processes())  # the task's own process, which has started no other yet
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.finish()

    def finish(self) -> None:
        """Look for the last time, and count the processes that are left."""
        if not self._done.is_set():
            self._done.set()
            self._thread.join()
            self.left = max(0, sum(map(_runs, self._processes())) - 1)

    def why(self) -> str:
        """Return why the task was stopped, by this watch or, beyond its limit of time, by the system; "" if it was not."""
        return self.reason or ("time" if self._spent_all(self._processes()) else "")

    def _spent_all(self, processes):
        """Return whether no time is left. Parents come first in `processes`, so none that ends meanwhile is counted twice."""
        return _total(_seconds, processes) > self._limits.cpu_seconds

    def _processes(self):
        try:
            below = psutil.Process(self._pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [process for process in below if process.pid not in self._others]

    def _watch(self):
        last = time.monotonic()
        while not self._done.wait(INTERVAL):
            processes, before, last = self._processes(), last, time.monotonic()
            self.busy += last - before if any(map(_works, processes)) else 0
            self.reason = self._why_not(processes)
            if self.reason:
                self._kill()
                return

    def _why_not(self, processes):
        """Return why the processes may not go on; "" if they may."""
        if self._spent_all(processes):
            return "time"
        running = _pids(filter(_runs, processes))
        if running and not self._task <= running:
            return "died"
        if len(processes) > self._limits.processes:
            return "processes"
        left = self._limits.memory - self._in_the_kernel(processes)
        # Resident memory is never less than a process's own share of it, and is much quicker to read.
        return "memory" if _total(_resident, processes) > left < _total(_share, processes) else ""

    def _in_the_kernel(self, processes):
        """Return the bytes of memory that the files in the folder take, and that sockets, even forgotten ones, may take."""
        for process in processes if self._folder else ():
            inside = Path(f"/proc/{process.pid}")
            try:
                disk = os.statvfs(f"{inside}/root{self._folder}")
                _heading, *sockets = (inside / "net" / "unix").read_bytes().splitlines()
            except OSError:
                continue
            contents = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
            return contents + (disk.f_files - disk.f_ffree) * OF_A_FILE + len(sockets) * OF_A_SOCKET
        return 0


def _pids(processes):
    return {process.pid for process in processes}


def _total(measure, processes):
    """Return the sum over the processes that are still there."""
    total = 0
    for process in processes:
        try:
            total += measure(process)
        except psutil.Error:
            continue
    return total


def _runs(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _works(process):
    """Return whether one of its threads runs or waits for a processor; False if the system does not tell.

    Waiting for a disk does not count: a process that waits for a child of vfork looks the same, and could do so forever.
    """
    for path in Path(f"/proc/{process.pid}/task").glob("*/stat"):
        try:
            state = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
        except (OSError, IndexError):
            continue
        if state == "R":
            return True
    return False


def _seconds(process):
    """Return the seconds of processor time, with those of the children that it has waited for."""
    return sum(process.cpu_times()[:4])


def _resident(process):
    """Return the bytes in memory, including those shared with other processes."""
    return process.memory_info().rss


def _share(process):
    """Return the bytes that the process has taken itself. Pages that it shares count in parts, if the system can tell."""
    try:
        with open(f"/proc/{process.pid}/smaps_rollup", encoding="ascii") as file:
            parts = dict(line.split(":", 1) for line in file if line.startswith(("Pss_Anon", "Pss_Shmem")))
            return sum(int(part.split()[0]) for part in parts.values()) * 1024
    except (OSError, ValueError):
        memory = process.memory_info()
        return memory.rss - getattr(memory, "shared", 0)
