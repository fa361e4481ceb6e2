"""Writing files: a reader never sees half a file, and two processes that write to one folder do not interfere."""

import errno
import hashlib
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from advcourse.core.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_UNFINISHED = ".unfinished-"
_LOCK = ".lock"
_WEEK = 7 * 24 * 3600
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


LARGEST = 64 * 2**20  # bytes of a settings file, a table or a page that somebody hands in


class WriteError(OSError):
    """A file could not be written. The message gives the file, the reason, and what to do."""

    def __str__(self):
        remedy = "Free some space" if self.errno in _NO_ROOM else "Make sure that it can be written to"
        return f"{self.filename} cannot be written ({self.strerror}). {remedy}, and try again. Nothing that was there is lost"


class Taken(OSError):
    """Another process is writing to a folder; `strerror` says which process."""


@contextmanager
def replacing(path: Path | str, mode: int = 0o666, keep: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`. It replaces `path` if the block succeeds, and is removed if it fails.

    The temporary name has the same suffix as `path`, for writers that choose the format by it. The contents are flushed to disk
    before `path` changes, so that not even a power failure leaves half a file.

    Args:
        path: the file to write.
        mode: its permissions, which the umask restricts further.
        keep: if another process has created `path` in the meantime, keep that file.

    Raises:
        WriteError: the file cannot be written; `path` is then unchanged.
    """
    path = Path(path)
    with _explained(path):
        partial, held = _begin(path, mode)
    try:
        with _explained(path, partial):
            yield partial
            with open(partial, "rb+") as file:
                os.fsync(file.fileno())  # a network file system may report only now that it is full
            _move(partial, path, keep)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        if held is not None:
            os.close(held)


@contextmanager
def _explained(path, partial=None):
    """Turn a file system error about `partial`, or one that names no file, into a `WriteError` about `path`."""
    try:
        yield
    except OSError as error:
        if error.errno is None or (partial and error.filename not in (None, partial, str(partial))):
            raise
        raise WriteError(error.errno, os.strerror(error.errno), str(path)) from error


def _begin(path, mode):
    """Create an empty file with a unique name beside `path`. Return its path, and the open descriptor that holds its lock."""
    while True:
        partial = path.with_name(f"{_UNFINISHED}{_machine()}-{os.urandom(8).hex()}{path.suffix}")
        held = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        if fcntl is None:
            os.close(held)  # Windows cannot rename an open file
            return partial, None
        with suppress(OSError):  # a file system without locks
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if partial.exists():
            return partial, held
        os.close(held)  # another process swept it before it was locked


def _move(partial, path, keep):
    if not keep:
        os.replace(partial, path)
        return
    try:
        os.link(partial, path)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        if not path.exists():
            os.replace(partial, path)


def sweep(folder: Path | str) -> None:
    """Remove the unfinished files that killed processes left in `folder`, which several machines may share.

    A live process holds a lock on its unfinished file, so a file of this machine whose lock is free is abandoned. Locks of
    other machines may be invisible here, so their files are removed a week after the last change, by the folder's own clock.
    """
    for partial in Path(folder).glob(f"{_UNFINISHED}*"):
        with suppress(OSError):  # locked, already gone, or in a folder where nothing can be removed
            if fcntl and partial.name.startswith(f"{_UNFINISHED}{_machine()}-"):
                with open(partial, "rb+") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    partial.unlink()
            elif probe(partial.parent) - partial.stat().st_mtime > _WEEK:
                partial.unlink()


def probe(folder: Path | str) -> float:
    """Create a file in `folder` and remove it; return its modification time by the folder's clock. Raises `WriteError`."""
    path = Path(folder) / f"{_UNFINISHED}{_machine()}-{os.urandom(8).hex()}"
    with _explained(folder):
        path.touch(exist_ok=False)
        try:
            return path.stat().st_mtime
        finally:
            path.unlink(missing_ok=True)


@cache
def _machine():
    """Return a short text that identifies this running system: a hash of the host name and, if there is one, its boot id."""
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        start = ""
    return hashlib.sha256(f"{platform.node()} {start}".encode()).hexdigest()[:12]


@contextmanager
def alone(folder: Path | str) -> Iterator[None]:
    """Lock `folder`: while the block runs, no other process can enter such a block for the same folder.

    The lock is released when its process ends, however it ends. On a file system without locks, the block is entered anyway.

    Raises:
        Taken: another process is in such a block.
        WriteError: the lock file cannot be written.
    """
    path = Path(folder) / _LOCK
    if fcntl is None:
        yield
        return
    held = _hold(path)
    try:
        with suppress(OSError):  # the holder's name is only for messages; a full disk is no reason to stop
            os.ftruncate(held, 0)
            os.pwrite(held, f"process {os.getpid()} on {platform.node()}".encode(), 0)
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(held)


def _hold(path):
    """Open and lock the lock file; return its descriptor. Raises `Taken`."""
    for tries_left in range(100)[::-1]:
        with _explained(path):
            held = _opened(path)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not tries_left or os.path.samestat(os.fstat(held), path.stat()):
                return held
        except BlockingIOError as error:
            raise Taken(errno.EAGAIN, _holder(held), str(path.parent)) from error
        except FileNotFoundError:
            pass
        except OSError:  # a file system without locks
            return held
        os.close(held)  # its last holder removed it before it was locked here


def _opened(path):
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:  # another user's file, which can still be locked
        if not path.exists():
            raise
        return os.open(path, os.O_RDONLY)


def _holder(lock):
    """Return who holds the lock, waiting a moment for the holder to write it there. Closes the file."""
    with open(lock, "rb") as file:
        for _ in range(100):
            if who := os.pread(file.fileno(), 1000, 0):
                return who.decode("utf-8", "replace")
            time.sleep(0.01)
    return "an unknown process"


def contents(path: Path | str, most: int = LARGEST) -> bytes:
    """Return the bytes of the file `path`. Raises `OSError`, also for more than `most` bytes: a device may never end."""
    with open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return content


def check_folder(path: Path | str, name: str = "folder") -> None:
    """Raise `InputError`, naming the argument `name`, unless `path` is a writable folder or one that can be made. Makes none."""
    try:
        there = next(place for place in (Path(path), *Path(path).absolute().parents) if place.exists())
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        probe(there)
    except OSError as error:
        raise InputError(
            f"{name}: got {str(path)!r}; allowed is a folder to write to ({error.strerror})"
        ) from error


def make_folder(path: Path | str, name: str = "folder") -> Path:
    """Make the folder `path` with its parents, and return it as a `Path`. Raises `InputError` as `check_folder` does."""
    check_folder(path, name)
    Path(path).mkdir(parents=True, exist_ok=True)
    return Path(path)


def check_target(path: Path | str, name: str = "path") -> None:
    """Raise `InputError`, naming the argument `name`, if no file can be written at `path`. An existing file is unchanged."""
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        probe(path.parent)
    except OSError as error:
        raise InputError(
            f"{name}: got {str(path)!r}; allowed is a file to write to ({error.strerror})"
        ) from error


def check_between(path: Path | str, begin: str, end: str, name: str = "path") -> str:
    """Return the text of the file `path`, after checking that `write_between` can write to it.

    Called before the work whose result is to be written there, so that a mistake shows early.

    Raises:
        InputError: the file cannot be read or replaced, or lacks the lines `begin` and `end`, in this order. The message calls
            it `name`.
    """
    path, allowed = Path(path), f"allowed is a text file with the lines {begin} and {end}, to write between"
    try:
        text = contents(path).decode("utf-8").replace("\r\n", "\n")
        probe(path.parent)
    except OSError as error:
        raise InputError(f"{name}: got {str(path)!r} ({error.strerror}); {allowed}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: got {str(path)!r}, which is not in UTF-8; {allowed}") from error
    if not 0 <= text.find(begin) < text.find(end):
        raise InputError(f"{name}: got {str(path)!r}, which lacks them; {allowed}")
    return text


def write_between(path: Path | str, begin: str, end: str, text: str) -> None:
    """Replace what stands between the lines `begin` and `end` of the file `path` with `text`.

    Raises:
        InputError: as for `check_between`.
    """
    old = check_between(path, begin, end)
    head, tail = old.split(begin)[0], old.split(end)[1]
    with replacing(path) as partial:
        partial.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")
