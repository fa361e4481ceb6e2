"""Writing files: nobody ever sees half of one, and two who write to one folder do not disturb each other."""

import errno
import hashlib
import os
import platform
import time
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


class WriteError(OSError):
    """A file could not be written: the message names it, the reason, and what to do."""

    def __str__(self):
        remedy = "Free some space" if self.errno in _NO_ROOM else "Make sure that it can be written to"
        return f"{self.filename} cannot be written ({self.strerror}). {remedy}, and try again. Nothing that was there is lost"


class Taken(OSError):
    """Another process is writing to a folder; `strerror` says which one."""


@contextmanager
def replacing(path, mode=0o666, keep=False):
    """A temporary path beside `path`. It becomes `path` when the block ends well, and is removed when it does not.

    The temporary name ends like `path`, so that writers which go by the ending are content. The contents are on the disk before
    `path` changes, so that not even a power failure leaves half of a file.

    Args:
        path: the file to write.
        mode: its permissions, of which the umask takes some away.
        keep: if another process has made `path` in the meantime, leave that one.

    Raises `WriteError` where the file cannot be written; what was at `path` is then as it was.
    """
    path = Path(path)
    with _explained(path):
        partial, held = _begin(path, mode)
    try:
        with _explained(path, partial):
            yield partial
            with open(partial, "rb+") as file:
                os.fsync(file.fileno())  # a network's file system may tell only now that there is no room
            _move(partial, path, keep)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        if held is not None:
            os.close(held)


@contextmanager
def _explained(path, partial=None):
    """Turn an error of the file system about `partial`, or about no file by name, into a `WriteError` about `path`."""
    try:
        yield
    except OSError as error:
        if error.errno is None or (partial and error.filename not in (None, partial, str(partial))):
            raise
        raise WriteError(error.errno, os.strerror(error.errno), str(path)) from error


def _begin(path, mode):
    """Make an empty file with a name of its own beside `path`; returns it, and an open file that holds its lock."""
    while True:
        partial = path.with_name(f"{_UNFINISHED}{_machine()}-{os.urandom(8).hex()}{path.suffix}")
        held = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        if fcntl is None:
            os.close(held)  # Windows renames no file that is open
            return partial, None
        with suppress(OSError):  # a file system without locks
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if partial.exists():
            return partial, held
        os.close(held)  # swept away in the moment before it was locked


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


def sweep(folder):
    """Remove what processes that were killed inside `replacing` left in `folder`, which several machines may share.

    A living process holds a lock on its unfinished file, so one of this machine whose lock is free belongs to nobody. Locks of
    other machines may not be seen here; their files are removed a week after the last change, by the clock of the folder.
    """
    for partial in Path(folder).glob(f"{_UNFINISHED}*"):
        with suppress(OSError):  # it is locked, or already gone, or nothing can be removed here
            if fcntl and partial.name.startswith(f"{_UNFINISHED}{_machine()}-"):
                with open(partial, "rb+") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    partial.unlink()
            elif probe(partial.parent) - partial.stat().st_mtime > _WEEK:
                partial.unlink()


def probe(folder):
    """Make a file in `folder` and remove it. Returns its time, by the clock of that folder. Raises `WriteError`."""
    path = Path(folder) / f"{_UNFINISHED}{_machine()}-{os.urandom(8).hex()}"
    with _explained(folder):
        path.touch(exist_ok=False)
        try:
            return path.stat().st_mtime
        finally:
            path.unlink(missing_ok=True)


@cache
def _machine():
    """A short text that no two running systems share: of the host's name and, where there is one, of the number of its start."""
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        start = ""
    return hashlib.sha256(f"{platform.node()} {start}".encode()).hexdigest()[:12]


@contextmanager
def alone(folder):
    """Inside the block no other process can enter one for the same folder. The lock ends with its process, however that ends.

    Raises `Taken` where another process is in such a block, `WriteError` where the lock's file cannot be written. Where the file
    system knows no locks, the block is entered all the same.
    """
    path = Path(folder) / _LOCK
    if fcntl is None:
        yield
        return
    held = _hold(path)
    try:
        with suppress(OSError):  # who holds it is only told; a full disk is no reason to stop
            os.ftruncate(held, 0)
            os.pwrite(held, f"process {os.getpid()} on {platform.node()}".encode(), 0)
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(held)


def _hold(path):
    """The lock's file, open and locked. Raises `Taken`."""
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
        os.close(held)  # its last holder removed it in the moment before it was locked


def _opened(path):
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:  # another user's: it can be locked all the same
        if not path.exists():
            raise
        return os.open(path, os.O_RDONLY)


def _holder(lock):
    """Who holds the lock, which is told a moment after it is locked. Closes the file."""
    with open(lock, "rb") as file:
        for _ in range(100):
            if who := os.pread(file.fileno(), 1000, 0):
                return who.decode("utf-8", "replace")
            time.sleep(0.01)
    return "its number is not known"


def check_folder(path, name="folder"):
    """Raise `InputError`, which calls it `name`, where no folder at `path` is or can be made to write to. Nothing is made."""
    there = next(place for place in (Path(path), *Path(path).absolute().parents) if place.exists())
    try:
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        probe(there)
    except OSError as error:
        raise InputError(
            f"{name}: got {str(path)!r}; allowed is a folder to write to ({error.strerror})"
        ) from error


def make_folder(path, name="folder"):
    """The folder at `path`, as a `Path`, made with those above it. Raises `InputError` as `check_folder` does."""
    check_folder(path, name)
    Path(path).mkdir(parents=True, exist_ok=True)
    return Path(path)


def check_target(path, name="path"):
    """Raise `InputError`, which calls it `name`, where no file can be written at `path`; what is there stays as it is."""
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        probe(path.parent)
    except OSError as error:
        raise InputError(
            f"{name}: got {str(path)!r}; allowed is a file to write to ({error.strerror})"
        ) from error


def check_between(path, begin, end, name="path"):
    """The text of the file at `path`, which has the lines `begin` and `end`, in this order, and can be replaced.

    Raises `InputError`, which calls it `name`: so it is known before work whose result is to be written there.
    """
    path, allowed = Path(path), f"allowed is a text file with the lines {begin} and {end}, to write between"
    try:
        text = path.read_text(encoding="utf-8")
        probe(path.parent)
    except OSError as error:
        raise InputError(f"{name}: got {str(path)!r} ({error.strerror}); {allowed}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: got {str(path)!r}, which is not in UTF-8; {allowed}") from error
    if not 0 <= text.find(begin) < text.find(end):
        raise InputError(f"{name}: got {str(path)!r}, which lacks them; {allowed}")
    return text


def write_between(path, begin, end, text):
    """Put `text` between the lines `begin` and `end` of the file at `path`, in the place of what is there.

    Raises `InputError` as `check_between` does.
    """
    old = check_between(path, begin, end)
    head, tail = old.split(begin)[0], old.split(end)[1]
    with replacing(path) as partial:
        partial.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")
