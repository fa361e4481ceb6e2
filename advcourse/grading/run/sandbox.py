"""The sandbox: the process that runs students' code, its walls and its limits.

With bubblewrap it has namespaces of its own (files, processes, network): it sees the interpreter, the packages of `staging`
and one scratch folder, and can write only to that folder. Without bubblewrap it is a plain process with limits, which keeps
accidents in, but not malice.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import psutil

from advcourse.core.files import alone
from advcourse.core.inputs import InputError, check_choice
from advcourse.grading.run import staging
from advcourse.grading.run.watch import Watch
from advcourse.grading.run.wire import MOST_TOLD, READY, START, STOP, Broken, Late, Wire
from advcourse.grading.tell.report import BUBBLEWRAP, WEAK

ISOLATIONS = ("auto", "bubblewrap", "process")
SECONDS_TO_START = 120  # for torch from a cold disk, on a busy machine
SECONDS_TO_STOP = 20
TRIES = 4  # attempts to start a task, each but the first in a new sandbox
PREFIX = "advcourse-"  # of its folders' names in the temporary folder
SCRATCH = "/dev/shm"  # the writable folder inside the walls: Linux keeps locks between processes there
ROUNDS = 1000  # of killing, against a process that starts others as fast as it can
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc/ld.so.cache", "/etc/alternatives")
_HIDDEN = ("/usr/local/lib/python*", "/usr/lib/python3/dist-packages", "/usr/src", "/usr/local/src")


class SandboxError(RuntimeError):
    """The sandbox itself failed. This says nothing about the code that was to run in it."""


@dataclass(frozen=True)
class Limits:
    """What the code of one task may use. Memory, processor time and processes count for all of its processes together.

    Args:
        seconds: by the clock, while the grader waits for the task and it neither works nor waits for a processor (which only
            Linux tells; elsewhere all seconds count).
        cpu_seconds: seconds of the processor.
        memory: bytes beyond what the libraries take, including files that lie in memory.
        processes: their number, including threads.
        file: bytes of the largest file.
        scratch: bytes of the folder that it may write to.
    """

    seconds: float = 40.0
    cpu_seconds: int = 20
    memory: int = 2 * 2**30
    processes: int = 16
    file: int = 2**20
    scratch: int = 32 * 2**20


class Sandbox:
    """Provides processes for one task after the other: `with sandbox.task() as (wire, watch)`.

    After each task everything that it has started is ended. If it has left a trace, a file or a changed limit of the process
    that starts the next one, the next task gets a new sandbox.

    Args:
        limits: what a task may use.
        isolation: "bubblewrap", "process" (weak isolation), or "auto" (default): bubblewrap if it works.

    Raises:
        InputError: if bubblewrap is asked for and does not work, and on systems without fork.
        SandboxError: from `task()`, if no task starts.
    """

    def __init__(self, limits: Limits | None = None, isolation: str = "auto"):
        check_choice(isolation, "isolation", ISOLATIONS)
        check_system()
        self.limits = limits or Limits()
        why = why_no_bubblewrap() if isolation != "process" else "not asked for"
        if isolation == "bubblewrap" and why:
            raise InputError(
                f"isolation: got 'bubblewrap', which does not work here: {why}; allowed is 'process', too"
            )
        self.strong = not why
        _sweep_folders()
        self._folder = tempfile.TemporaryDirectory(prefix=PREFIX)
        self._held = ExitStack()
        self._held.enter_context(alone(self._folder.name))
        self._library = Path(self._folder.name) / "library"
        self._scratch = Path(SCRATCH)
        self._prepare()
        self._process = self._control = None
        self._own = set()

    @property
    def isolation(self) -> str:
        """The isolation, as a report names it."""
        return BUBBLEWRAP if self.strong else WEAK

    def _prepare(self):
        staging.stage(self._library)
        Path(self._folder.name).chmod(0o755)
        if not self.strong:
            packages = Path(self._folder.name) / "packages"
            packages.mkdir()
            for name, path in staging.packages().items():
                (packages / name).symlink_to(path)

    @contextmanager
    def task(self) -> Iterator[tuple[Wire, Watch]]:
        """Start a fresh process with its limits in force. Gives the wire to it, and the watch over it.

        The process waits for a program. When the block ends, everything that it has started ends.
        """
        line = self._line()
        in_memory = SCRATCH if self.strong else None
        with line, Watch(self._process.pid, self._own, self.limits, self._kill, in_memory) as watch:
            try:
                yield Wire(line, self.limits.seconds, most_header=MOST_TOLD, busy=lambda: watch.busy), watch
            finally:
                watch.finish()
                self._stop()

    def _line(self):
        """Return a socket to the process of a new task. Failures are retried: until it is ready it has no student code."""
        why = ""
        for _ in range(TRIES):
            try:
                if self._process is None:
                    self._start()
                return self._begun()
            except (SandboxError, OSError, ValueError, Broken, Late) as error:
                why = str(error) or type(error).__name__
                self.renew()
        raise SandboxError(f"no task can be started in the sandbox: {why}")

    def _begun(self):
        """Return a socket to the process of a new task, which has said that it is ready."""
        self._control.settimeout(SECONDS_TO_START)
        self._control.sendall(START)
        _, (number,), *_ = socket.recv_fds(self._control, 1, 1)
        line = socket.socket(fileno=number)
        try:
            wire = Wire(line, SECONDS_TO_START)
            wire.send({"limits": asdict(self.limits)})
            message, _ = wire.receive()
            if message != {"ready": True}:
                raise ValueError(f"got {message!r} in place of 'ready'")
        except BaseException:
            line.close()
            raise
        return line

    def _stop(self):
        """End the task; if that does not work, the whole sandbox."""
        try:
            if not self.strong:
                self._sweep()
            self._control.settimeout(SECONDS_TO_STOP)
            self._control.sendall(STOP)
            if self._control.recv(1) != READY:
                self.renew()
        except OSError:
            self.renew()

    def _sweep(self):
        """Kill what the task has started until nothing is left: a process that is not known yet may be starting others."""
        for _ in range(ROUNDS):
            processes = [one for one in _descendants(self._process.pid) if one.pid not in self._own]
            if not any([_kill(one) for one in processes]):  # a list, so that all are killed
                return

    def renew(self) -> None:
        """End the sandbox; the next task gets a new one."""
        if self._process is None:
            return
        self._kill()
        self._process.wait()
        self._control.close()
        self._process = self._control = None
        if not self.strong:
            shutil.rmtree(self._scratch, ignore_errors=True)

    close = renew

    def _kill(self):
        self._sweep()  # while the first process lives: it inherits those whose parent has died
        for process in _descendants(self._process.pid)[::-1]:
            _kill(process)

    def _start(self):
        if not self.strong:
            self._scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=self._folder.name))
            self._scratch.chmod(0o777)
        ours, theirs = socket.socketpair()
        ours.settimeout(SECONDS_TO_START)
        log = Path(self._folder.name) / "errors.txt"
        with theirs, log.open("wb") as errors:
            self._process = subprocess.Popen(
                self._command(),
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=_environment(self._scratch),
                start_new_session=True,
                cwd="/",
            )
        self._control = ours
        try:
            ready = ours.recv(1)
        except OSError:
            ready = b""
        if ready != READY:
            self.renew()
            raise SandboxError(f"the sandbox did not start: {log.read_text(errors='replace')[-1000:]}")
        self._own = {process.pid for process in _descendants(self._process.pid)}

    def _command(self):
        library, packages, scratch = self._library, Path(self._folder.name) / "packages", self._scratch
        user = 0
        if os.getuid() == 0 and (self.strong or _open_to_all(sysconfig.get_paths()["stdlib"])):
            user = 0x60000000 + os.getpid()  # used by nobody else, so that only its processes are counted
        if self.strong:
            library, scratch = Path("/library"), Path(SCRATCH)
            packages = None
        paths = [str(library), *([str(packages)] if packages else _package_folders())]
        start = (
            f"import sys; sys.path += {paths!r}; from advcourse.grading.run.worker import main; "
            f"main({self.strong}, {str(scratch)!r}, {user})"
        )
        python = [os.path.realpath(sys.executable), "-I", "-S", "-B", "-X", "utf8", "-c", start]
        return [*_walls(self._library, self.limits), "--", *python] if self.strong else python


def _sweep_folders():
    """Remove the folders of graders that were killed: those that are over an hour old, and whose lock is free."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # another user's, a living grader's, or gone
            if time.time() - folder.stat().st_mtime > 3600:
                with alone(folder):
                    shutil.rmtree(folder, ignore_errors=True)


def _environment(scratch):
    kept = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(scratch), "TMPDIR": str(scratch)}
    return {
        **kept,
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "JOBLIB_MULTIPROCESSING": "0",  # else importing scikit-learn makes a lock between processes, a trace
    }


def _package_folders():
    return sorted({str(path.parent) for path in staging.packages().values()})


def _walls(library, limits):
    """Return the command that sets up bubblewrap's walls, up to the program inside."""
    root = os.getuid() == 0
    private = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    # Root needs no user namespace: each task becomes a user without rights before it gets any student code. The
    # first process, which starts and ends the tasks, stays a different user, so that they cannot change it.
    rights = ["--cap-drop", "ALL", *_each("--cap-add", ("CAP_SETUID", "CAP_SETGID", "CAP_KILL"))]
    private += rights if root else ["--unshare-user", "--uid", "65534", "--gid", "65534"]
    environment, seen = _environment(SCRATCH), [*_system(), *_python()]
    made = [place for word, place in zip(seen, seen[1:]) if word == "--tmpfs"]
    return [
        _bubblewrap(),
        *private,
        *("--die-with-parent", "--new-session", "--as-pid-1", "--hostname", "sandbox", "--clearenv"),
        *(word for name, value in environment.items() for word in ("--setenv", name, value)),
        *seen,
        *("--proc", "/proc", "--dev", "/dev"),
        *("--dev-bind", "/dev/null", "/dev/zero"),  # which would give memory that nobody can count
        *("--perms", "1777", "--size", str(limits.scratch), "--tmpfs", SCRATCH),
        *("--ro-bind", str(library), "/library"),
        *_each("--remount-ro", (*made, "/dev", "/proc", "/")),  # else files could be written there, too
        *("--chdir", SCRATCH),
    ]


def _each(option, values):
    return [word for value in values for word in (option, value)]


def _system():
    """Return the options for the system's programs and libraries, without what others have put beside them."""
    words = []
    for path in _SYSTEM:
        if os.path.islink(path):
            words += ["--symlink", os.readlink(path), path]
        elif os.path.exists(path):
            words += ["--ro-bind", path, path]
    for pattern in _HIDDEN:
        words += _each("--tmpfs", sorted(map(str, Path("/").glob(pattern[1:]))))
    return words


def _python():
    """Return the options for the interpreter, its libraries, and the allowed packages."""
    program, home = Path(os.path.realpath(sys.executable)), Path(sys.base_prefix) / "lib"
    standard, beside = Path(sysconfig.get_paths()["stdlib"]), list(map(Path, _package_folders()))
    above = {str(folder) for place in (program, home, *beside) for folder in place.parents}
    words = []
    for folder in sorted(folder for folder in above - {"/"} if not folder.startswith("/usr")):
        words += ["--perms", "0755", "--dir", folder]
    words += ["--ro-bind", str(program), str(program)]
    words += ["--ro-bind", str(home), str(home)] if not home.is_relative_to("/usr") else []
    words += ["--ro-bind", str(standard), str(standard)]
    hidden = {standard / "site-packages", standard / "dist-packages", *beside}
    words += _each("--tmpfs", sorted(str(path) for path in hidden if path.is_dir()))
    for path in staging.packages().values():
        words += ["--ro-bind", str(path), str(path)]
    return words


def _open_to_all(path):
    """Return whether every user may enter the folder."""
    return all(folder.stat().st_mode & 0o001 for folder in (Path(path), *Path(path).parents))


def _bubblewrap():
    return shutil.which("bwrap")


def check_system() -> None:
    """Raise `InputError` on a system that cannot start the processes for students' code."""
    if not hasattr(os, "fork"):
        raise InputError("isolation: grading needs Linux, macOS, or Windows with its subsystem for Linux")


@cache
def why_no_bubblewrap() -> str:
    """Return why bubblewrap cannot be used here, in words; "" if it can."""
    if sys.platform != "linux":
        return "it is for Linux alone"
    if not _bubblewrap():
        return "it is not installed (Debian and Ubuntu: apt-get install bubblewrap)"
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *_walls(folder, Limits()),
            "--",
            os.path.realpath(sys.executable),
            "-I",
            "-S",
            "-c",
            "print(1)",
        ]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=SECONDS_TO_START, stdin=subprocess.DEVNULL
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
    return (
        "" if done.stdout == "1\n" else (done.stderr.strip().splitlines() or ["it fails without a word"])[-1]
    )


def _descendants(pid):
    """Return a process and all that it has started, itself first."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _kill(process):
    """Kill a process. Returns whether it was still running."""
    try:
        running = process.status() != psutil.STATUS_ZOMBIE
        process.send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:
        return False
    return running
