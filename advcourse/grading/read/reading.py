"""Read a submitted notebook in a process of its own, so that no file can cost the grader more than a few seconds.

The other process parses the file, finds the answers and looks for signs; it executes nothing that is in the notebook. Its time
and memory are limited. Its answer is JSON of bounded length, and the type of every value in it is checked.
"""

import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import time
import types
import typing
from collections.abc import Iterable
from dataclasses import asdict, dataclass, is_dataclass, replace
from pathlib import Path

import psutil

from advcourse.grading.read import submission
from advcourse.grading.read.likeness import fingerprint
from advcourse.grading.read.signs import signs
from advcourse.grading.read.submission import Program, Unreadable, Written

SECONDS = 10  # of the processor
BY_THE_CLOCK = 200  # seconds: only a machine that is very busy takes so long
MEMORY = 2**30  # bytes beyond the text of the file
INTERPRETER = 2**28  # bytes that the process takes before it has read anything
MOST = 64 * 2**20  # bytes of an answer
LONGEST_SENTENCE = 600
INTERVAL = 0.1  # seconds between two checks of the memory, for systems that cannot limit it
_READY = b"+"


@dataclass(frozen=True)
class Reading:
    """What a notebook holds.

    Args:
        programs: one `Program` per task.
        written: the `Written` answers.
        notes: sentences for the student.
        signs: sentences for the instructor.
    """

    programs: tuple[Program, ...]
    written: tuple[Written, ...]
    notes: tuple[str, ...]
    signs: tuple[str, ...]


class ReadingError(RuntimeError):
    """The machine could not read the file. This says nothing about the file."""


class _Lost(Exception):
    """The process gave no answer, and the machine may be the reason."""


class _Late(_Lost):
    """Time ran out before the process was given the processor time that a file may take. The machine is the reason."""


def read(
    content: bytes,
    lab: str,
    tasks: Iterable[str],
    root: Path | str | None = None,
    *,
    seconds: int = SECONDS,
    by_the_clock: float = BY_THE_CLOCK,
    memory: int = MEMORY,
) -> Reading:
    """Return what a notebook holds.

    Args:
        content: the file's bytes.
        lab: "lab1", "lab2"...; its released copy stands in for what the student has deleted.
        tasks: the names of the lab's tasks.
        root: the clone (default: the one that the package is installed from).
        seconds: processor time that reading may take.
        by_the_clock: seconds that it may take by the clock.
        memory: bytes that it may take beyond the text of the file.

    Raises:
        Unreadable: if the file is not a notebook, or takes too much processor time or memory.
        ReadingError: if the process does not start, or makes no progress. It executes nothing of the file, so it cannot be
            waiting for anything.
    """
    submission.check_size(content)
    asked = {"lab": lab, "tasks": list(tasks), "root": root and str(root), "size": len(content)}
    asked |= {"seconds": seconds, "memory": memory}
    asked["text"] = (2 if content.isascii() else 5) * len(content)  # bytes, and text of 1 to 4 bytes a letter
    for last in (False, True):
        try:
            answer = _asked(asked, content, by_the_clock)
            break
        except _Late as error:
            if last:
                raise ReadingError(
                    f"the machine took more than {by_the_clock:g} seconds to read a file"
                ) from error
        except _Lost as error:
            if last:
                raise Unreadable(f"the file could not be read: {error}") from error
    if isinstance(answer, str):
        raise Unreadable(answer[:LONGEST_SENTENCE])
    try:
        return _made(Reading, answer)
    except (TypeError, ValueError) as error:
        raise Unreadable(f"the file could not be read: {error}") from error


def _made(kind, found):
    """Return a value of type `kind` from plain JSON, as `asdict` writes it. Raises `TypeError` or `ValueError` for any other."""
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        if not isinstance(found, dict) or found.keys() != hints.keys():
            raise ValueError(f"no {kind.__name__}")
        return kind(**{name: _made(hint, found[name]) for name, hint in hints.items()})
    if typing.get_origin(kind) is tuple and isinstance(found, list):
        return tuple(_made(typing.get_args(kind)[0], one) for one in found)
    if isinstance(kind, types.UnionType):  # X | None
        return None if found is None else _made(typing.get_args(kind)[0], found)
    if type(found) is not kind:
        raise TypeError(f"{type(found).__name__} instead of {kind}")
    return found


# The grader's side of the line


def _asked(asked, content, by_the_clock):
    """Return what the process answers, any JSON value. Raises `_Lost`, and `Unreadable` if a limit was reached."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = subprocess.Popen(
                _command(),
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is the grader's business
            )
        try:
            return _exchange(ours, process, asked, content, time.monotonic() + by_the_clock)
        finally:
            process.kill()
            process.wait()


def _command():
    paths = [str(Path(__file__).resolve().parents[3]), *(os.path.abspath(path) for path in sys.path if path)]
    start = f"import sys; sys.path[:0] = {paths!r}; from advcourse.grading.read.reading import main; main()"
    return [sys.executable, "-I", "-X", "utf8", "-c", start]


def _exchange(line, process, asked, content, deadline):
    _send(line, json.dumps(asked).encode() + b"\n", deadline)
    if not _received(line, process, asked, deadline, 1):
        raise ReadingError(f"the process that reads notebooks did not start (status {process.returncode})")
    _send(line, content, deadline)
    answer = _received(line, process, asked, deadline, MOST + 1)
    if len(answer) > MOST:
        raise Unreadable("the file could not be read: there is too much in it")
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        if process.returncode == -signal.SIGXCPU:
            raise Unreadable(_too_slow(asked["seconds"])) from None
        raise _Lost(f"the process that read it ended with status {process.returncode}") from None


def _send(line, packed, deadline):
    try:
        line.settimeout(max(0.01, deadline - time.monotonic()))
        line.sendall(packed)
    except OSError:  # the process has ended or stopped reading; what comes back tells
        return


def _received(line, process, asked, deadline, most):
    """Return the next bytes, at most `most`; if the process ends before, all that came until then."""
    data = bytearray()
    line.settimeout(INTERVAL)
    while len(data) < most:
        try:
            part = line.recv(min(most, 2**20))
        except TimeoutError:
            if time.monotonic() > deadline:
                raise _Late from None
            if _taken(process.pid) > _allowed(asked):
                raise Unreadable(_too_much(asked["memory"])) from None
            continue
        except OSError:
            part = b""
        if not part:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.01, deadline - time.monotonic()))
            break
        data += part
    return data


def _taken(pid):
    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return 0


def _allowed(asked):
    """Return the bytes of memory that the process may use in all."""
    return INTERPRETER + asked["text"] + asked["memory"]


def _too_slow(seconds):
    return (
        f"the file takes more than {seconds} seconds to read; allowed is a notebook of usual size. {_REMEDY}"
    )


def _too_much(memory):
    return f"the file takes more than {memory / 2**20:.0f} MB of memory to read; allowed is a notebook of usual size. {_REMEDY}"


_REMEDY = "Does it hold something that does not belong into the lab? Remove that, clear the outputs, and save it again"


# In the process that reads


def main() -> None:
    """Read one notebook for the grader, which is at the other end of standard input."""
    gc.disable()  # nothing lives long here, and searching a large file for reference cycles takes longest of all
    line = socket.socket(fileno=0)
    with line.makefile("rb") as file:
        asked = json.loads(file.readline(2**20))
        given = submission.released(asked["lab"], asked["root"])
        _limit(asked)
        line.sendall(_READY)
        try:
            answer = _packed(_found(file.read(asked["size"]), asked["tasks"], given))
        except MemoryError:
            answer = _packed(_too_much(asked["memory"]))
        line.sendall(answer)


def _packed(found):
    return json.dumps(found, ensure_ascii=False).encode("utf-8", "replace")


def _limit(asked):
    import resource  # which Windows does not have

    bounds = {"CORE": (0, 0), "CPU": (asked["seconds"], asked["seconds"] + 1), "AS": (_allowed(asked),) * 2}
    for name, bound in bounds.items():
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), bound)
        except (AttributeError, OSError, ValueError):  # not every system has every limit
            continue


def _found(content, tasks, given):
    """Return a `Reading` as plain values, or a sentence that says why there is none."""
    try:
        submitted = submission.read(content)
        programs = [submission.program(task, tasks, submitted, given) for task in tasks]
        programs = tuple(replace(program, checksum=fingerprint(program)) for program in programs)
        notes = tuple(note[:LONGEST_SENTENCE] for note in submitted.notes)
        return asdict(
            Reading(programs, submission.written(submitted, given), notes, _signs(submitted, given))
        )
    except MemoryError:
        raise
    except Unreadable as error:
        return str(error)
    except Exception as error:  # caused by something in the file that nobody has thought of
        return f"the file could not be read ({type(error).__name__}: {error})"[:LONGEST_SENTENCE]


def _signs(submitted, given):
    """Return the signs. If looking for them fails, return a single sign that says so, so that the rest is not lost."""
    try:
        return signs(submitted, given)
    except MemoryError:
        raise
    except Exception as error:
        return (f"Looking for signs failed: {type(error).__name__}. Have a look at the notebook yourself.",)
