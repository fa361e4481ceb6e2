"""Watching what the processes of one task take together, which no limit of a single process can bound."""

import os
import threading
import time
from pathlib import Path

import psutil

INTERVAL = 0.1  # seconds between two looks
OF_A_FILE = 1024  # bytes that the kernel keeps for a file in memory, an empty one, too


class Watch:
    """Inside the block a thread adds up what all processes below `pid` take, but for those in `others`.

    folder: one inside that lies in memory, whose files count as that; or None (default).
    Beyond the limits it ends them by `kill()`, and also where the task's own process has ended and others go on, which may keep
    its wire open. `reason`: "memory", "processes", "time" or "died" where it did so; "" otherwise. `busy`: seconds in which
    something of it worked or waited for a processor. `left`: how many processes were there at the end beside the task's own.

    The time of a process that has ended is not lost. It is its parent's once that has asked for it, and until then its own: the
    first process, which is given all that others let go, does not ask while the task goes on; and no task can ignore that a child
    has ended (see `refusals`).
    """

    def __init__(self, pid, others, limits, kill, folder=None):
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

    def finish(self):
        """Look for the last time."""
        if not self._done.is_set():
            self._done.set()
            self._thread.join()
            self.left = max(0, sum(map(_runs, self._processes())) - 1)

    def why(self):
        """Why the task was stopped, by this or, beyond its limit of time, by the system; "" where it was not."""
        return self.reason or ("time" if self._spent_all(self._processes()) else "")

    def _spent_all(self, processes):
        """Whether no time is left. Parents come first in `processes`, so that who ends meanwhile is not counted twice."""
        return _total(_seconds, processes) > self._limits.cpu_seconds

    def _processes(self):
        try:
            found = psutil.Process(self._pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [process for process in found if process.pid not in self._others]

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
        """Why they may not go on; "" where they may."""
        if self._spent_all(processes):
            return "time"
        running = _pids(filter(_runs, processes))
        if running and not self._task <= running:
            return "died"
        if len(processes) > self._limits.processes:
            return "processes"
        left = self._limits.memory - self._in_files(processes)
        # What is resident is never less than a process's own share of it, and is told much more quickly.
        return "memory" if _total(_resident, processes) > left < _total(_share, processes) else ""

    def _in_files(self, processes):
        """Bytes of memory that the files in the folder take."""
        for process in processes if self._folder else ():
            try:
                found = os.statvfs(f"/proc/{process.pid}/root{self._folder}")
            except OSError:
                continue
            contents = (found.f_blocks - found.f_bfree) * found.f_frsize
            return contents + (found.f_files - found.f_ffree) * OF_A_FILE
        return 0


def _pids(processes):
    return {process.pid for process in processes}


def _total(measure, processes):
    """The sum over the processes that are still there."""
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
    """Whether one of its threads runs or waits for a processor; False where no system says so.

    Waiting for a disk does not count: who waits for a child of vfork looks the same, and could do so for ever.
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
    """Of the processor, with those of its children that it has asked for."""
    return sum(process.cpu_times()[:4])


def _resident(process):
    """Bytes in memory, those that other processes have as well among them."""
    return process.memory_info().rss


def _share(process):
    """Bytes that the process has taken itself. Pages that it shares are counted in parts, where the system can say so."""
    try:
        with open(f"/proc/{process.pid}/smaps_rollup", encoding="ascii") as file:
            parts = dict(line.split(":", 1) for line in file if line.startswith(("Pss_Anon", "Pss_Shmem")))
            return sum(int(part.split()[0]) for part in parts.values()) * 1024
    except (OSError, ValueError):
        found = process.memory_info()
        return found.rss - getattr(found, "shared", 0)
