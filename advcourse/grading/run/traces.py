"""Inside the sandbox: find out whether a task has left a trace that the next one could see.

A process inherits its limits, its priority and much else from the one that forks it, and all tasks share one folder. The first
process compares these with what they were before the first task. Only if nothing differs does it serve another one.
"""

import ctypes
import fcntl
import os
import resource
import signal

from advcourse.grading.run.refusals import ask

# Constant parts of what /proc tells about a process: whole files, and lines of its status.
_FILES = ("limits", "comm", "oom_score_adj", "coredump_filter", "timerslack_ns", "autogroup")
_STATUS = tuple(
    "Umask Uid Gid Groups Threads SigPnd ShdPnd SigBlk SigIgn SigCgt Cap NoNewPrivs Seccomp Cpus_allowed Mems_allowed".split()
)
_PROCESS = 1  # IOPRIO_WHO_PROCESS
_MOST_FILES = 256


class Traces:
    """The state that this process hands on to each task, and that of the tasks' folder. SIGCHLD must be ignored.

    Args:
        folder: the tasks' folder.
        alone: whether the process is the first of a namespace of its own, and the folder is a disk of its own. Then each
            process that a task starts, and each file that it makes, can be noticed by the numbers that the next ones get.
    """

    def __init__(self, folder: str, alone: bool):
        self._folder, self._alone = folder, alone
        os.listdir(folder)  # sets the time of the last access; later accesses do not
        first, self._file = self._next_file(), self._next_file()
        self._counts = self._file == first + 1  # true since Linux 5.9
        self._state, self._process = self._now(), self._next_process()

    def none(self) -> bool:
        """Return whether the task that has just ended left no trace."""
        process, file = self._next_process(), self._next_file()
        one_task = not self._alone or process == self._process + 2  # the task, and the one forked to ask
        no_file = not self._counts or file == self._file + 1
        self._process, self._file = process, file
        return one_task and no_file and self.unchanged()

    def unchanged(self) -> bool:
        """Return whether the next task would start as the first one did."""
        return self._now() == self._state

    def _now(self):
        handlers = [signal.getsignal(number) for number in sorted(signal.valid_signals())]
        now = [_inherited(), _files(), _of_folder(self._folder), handlers]
        if self._alone:  # the time of processes that ended by themselves; /proc shows it to everybody
            spent = resource.getrusage(resource.RUSAGE_CHILDREN)
            now += [spent.ru_utime, spent.ru_stime]
        return now

    def _next_process(self):
        """Return the number that a new process gets."""
        if not self._alone:
            return 0
        child = os.fork()
        if not child:
            os._exit(0)
        try:
            os.waitpid(child, 0)
        except ChildProcessError:  # it has ended, and its status is discarded: SIGCHLD is ignored
            pass
        return child

    def _next_file(self):
        """Return the number that a new file in the folder gets."""
        if not self._alone:
            return 0
        file = os.open(self._folder, os.O_TMPFILE | os.O_RDWR, 0o600)
        number = os.fstat(file).st_ino
        os.close(file)
        return number


def _inherited():
    """Return what a process hands on to one that it forks, as far as another process could have changed it."""
    kinds = sorted({getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")})
    state = {"limits": [resource.getrlimit(kind) for kind in kinds]}
    state["priority"] = os.getpriority(os.PRIO_PROCESS, 0)
    state["folder"] = os.getcwd()
    if hasattr(os, "sched_getscheduler"):
        attributes = ctypes.create_string_buffer(56)  # struct sched_attr
        ask("sched_getattr", 0, attributes, len(attributes), 0)
        state["scheduler"] = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority, attributes.raw
        state["processors"] = os.sched_getaffinity(0)
        state["disk"] = ask("ioprio_get", _PROCESS, 0)
    for name in _FILES:
        state[name] = state.get(name), _read(f"/proc/self/{name}")
    status = _read("/proc/self/status").splitlines()
    state["status"] = [line for line in status if line.startswith(_STATUS)]
    return state


def _files():
    """Return the files that this process has open, with their flags."""
    opened = []
    for number in range(_MOST_FILES):
        try:
            flags = fcntl.fcntl(number, fcntl.F_GETFL), fcntl.fcntl(number, fcntl.F_GETFD)
        except OSError:
            continue
        opened.append((number, *flags))
    return opened


def _of_folder(folder):
    """Return the state of a folder.

    Creating, deleting or changing anything in it, or the folder itself, changes the last of its times, which cannot be set
    back.
    """
    status = os.stat(folder)
    names = "mode ino dev nlink uid gid size mtime_ns ctime_ns".split()
    return [getattr(status, f"st_{name}") for name in names]


def _read(path):
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
