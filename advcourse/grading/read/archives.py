"""List the files of a folder of submissions, those in ZIP archives too. These are read in memory, not unpacked to disk."""

import io
import os
import re
import stat
import unicodedata
import zipfile
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from advcourse.grading.read.submission import LARGEST

ZIP = re.compile(r"\.zip$", re.I)
TOTAL = 2**30  # bytes of all files in a student's archive, unpacked
_DIRECTORY = 8 * 2**20  # bytes of an archive's table of contents, which zipfile reads at once
_ENTRIES = 50_000  # files of one archive
_DEEPEST = 2  # levels: a student's archive inside a download's
_LEVELS = 40  # levels of nested folders
_CHUNK = 2**16
_INNER = 1000, 2**17  # _ENTRIES and _DIRECTORY for an archive inside an archive
_NOISE = {"__macosx", "thumbs.db", "desktop.ini"}


class Refused(ValueError):
    """The archive is not opened. The message says why, as part of a sentence."""


@dataclass(frozen=True)
class File:
    """One file or folder among the submissions.

    Args:
        parts: the names that lead to it from the given folder.
        path: the file on disk; for a file in an archive, that of the archive.
        entries: its number in that archive, and in the archive inside that one.
        changed: when it was last changed, in seconds since 1970.
        size: in bytes.
        folder: whether it is a folder.
    """

    parts: tuple[str, ...]
    path: Path
    entries: tuple[int, ...] = ()
    changed: float = 0.0
    size: int = 0
    folder: bool = False

    @property
    def name(self) -> str:
        return self.parts[-1]

    @property
    def shown(self) -> str:
        """The path as a message can show it."""
        return "/".join(self.parts)

    def read(self, most: int = LARGEST + 1) -> bytes:
        """Return the first `most` bytes. Raises `Refused` if an archive does not give them, and `OSError`."""
        if not self.entries:
            with open(self.path, "rb") as file:
                return file.read(most)
        about = self.path.stat()
        return _inner(_on_disk_opened(self.path, about.st_mtime_ns, about.st_size), self.entries, most)


def files(root: Path | str, told: list[str]) -> list[File]:
    """Return every file and folder below `root`, a folder or ZIP archive. Sentences about what is skipped go into `told`."""
    root = Path(root)
    if root.is_dir():
        return list(_on_disk(root, told))
    return inside(File((), root, changed=root.stat().st_mtime), told)


def inside(archive: File, told: list[str], total: int | None = None) -> list[File]:
    """Return the files and folders in an archive; their parts begin with the archive's own.

    Args:
        archive: the file that holds it.
        told: sentences about what is skipped are appended to it.
        total: the most bytes that all files may have unpacked; None (default): any number.

    Raises:
        Refused: if the archive is not opened.
    """
    if len(archive.entries) >= _DEEPEST:
        raise Refused("it is a ZIP archive inside another one, which is not opened")
    listed = []
    file = io.BytesIO(archive.read()) if archive.entries else open(archive.path, "rb")
    most, directory = _INNER if archive.entries else (_ENTRIES, _DIRECTORY)
    with file, _Opened(file, directory) as opened:
        entries = opened.infolist()
        if len(entries) > most:
            raise Refused(f"the ZIP archive holds {len(entries)} files; allowed are {most}")
        if total and sum(entry.file_size for entry in entries) > total:
            raise Refused(f"the ZIP archive holds more than {total // 2**20} MB; hand in the notebook alone")
        for number, entry in enumerate(entries):
            parts = _parts(_entry_name(entry))
            if parts is None or stat.S_ISLNK(entry.external_attr >> 16):
                what = "a link" if parts else "its path leads out of the archive"
                told.append(f"{'/'.join((*archive.parts, spelled(entry.filename)))}: {what}; passed over.")
            elif len(parts) > _LEVELS:
                told.append(f"{'/'.join(parts)[:100]}: too many folders in each other; passed over.")
            elif parts and not any(map(_is_noise, parts)):
                about = (_time(entry), entry.file_size, entry.is_dir())
                where = ((*archive.parts, *parts), archive.path, (*archive.entries, number))
                listed.append(File(*where, *about))
    return listed


def spelled(name: str) -> str:
    """Return a name of the file system as text, in composed letters.

    Undecodable bytes and invisible characters are replaced by their numbers, so that different names stay different.
    """
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    letters = (letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    return unicodedata.normalize("NFC", "".join(letters))


def _is_noise(name):
    return name.startswith(".") or name.casefold() in _NOISE


def _on_disk(root, told):
    for folder, below, names in os.walk(root, onerror=lambda error: told.append(f"{error}")):
        for name in sorted([*below, *names]):
            path = Path(folder, name)
            parts = tuple(map(spelled, path.relative_to(root).parts))
            try:
                about = path.lstat()
            except OSError as error:  # it was removed since the folder was listed
                told.append(f"{'/'.join(parts)}: {error.strerror}; passed over.")
                continue
            kind = about.st_mode
            proper = (stat.S_ISREG(kind) or stat.S_ISDIR(kind)) and len(parts) <= _LEVELS
            if _is_noise(name) or not proper:
                if not _is_noise(name):
                    deep = len(parts) > _LEVELS
                    what = "a link" if stat.S_ISLNK(kind) else "too deep" if deep else "no file"
                    told.append(f"{'/'.join(parts)}: {what}; passed over.")
                if name in below:
                    below.remove(name)
                continue
            yield File(parts, path, (), about.st_mtime, about.st_size, stat.S_ISDIR(kind))


# One archive


class _Bounded:
    """A file that refuses to be read in pieces larger than an archive's table of contents may be."""

    def __init__(self, file, most):
        self._file, self._most = file, most
        self.seek, self.tell, self.seekable = file.seek, file.tell, lambda: True

    def read(self, size=-1):
        content = self._file.read(min(size, self._most + 1) if size >= 0 else self._most + 1)
        if len(content) > self._most:
            raise Refused("the ZIP archive holds too many files")
        return content


class _Opened(zipfile.ZipFile):
    """An archive that raises `Refused` for errors of all kinds."""

    def __init__(self, file, directory=_DIRECTORY):
        self._below = file
        try:
            super().__init__(_Bounded(file, directory))
        except Refused:
            raise
        except Exception as error:  # zipfile raises many kinds for what is damaged
            raise Refused(f"the ZIP archive cannot be opened ({_why(error)}); pack it again") from error

    def close(self):
        super().close()
        self._below.close()


@lru_cache(maxsize=1)
def _on_disk_opened(path, changed, size):
    """Return the archive at `path`, kept open: a class's notebooks are read from it one after the other."""
    return _Opened(open(path, "rb"))  # is closed with the archive


def _inner(archive, entries, most):
    number, *below = entries
    content = _unpacked(archive, number, LARGEST + 1 if below else most)
    if not below:
        return content
    with _Opened(io.BytesIO(content)) as inner:
        return _inner(inner, below, most)


def _unpacked(archive, number, most):
    if number >= len(archive.infolist()):
        raise Refused("the ZIP archive has changed since it was looked at")
    entry = archive.infolist()[number]
    name = spelled(entry.filename)
    if entry.flag_bits & 1:
        raise Refused(f"{name} in the ZIP archive is encrypted; pack it again without a password")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Refused(f"{name} in the ZIP archive is packed by a rare method; pack it again in the usual way")
    pieces, left = [], most
    try:
        with archive.open(entry) as file:
            while left > 0 and (piece := file.read(min(left, _CHUNK))):
                pieces.append(piece)
                left -= len(piece)
    except Exception as error:  # zipfile raises many kinds for what is damaged
        raise Refused(f"{name} in the ZIP archive is damaged ({_why(error)}); pack it again") from error
    return b"".join(pieces)


def _why(error):
    return spelled(str(error) or type(error).__name__)[:200]


def _entry_name(entry):
    """Return the name of an entry. A name that is UTF-8 but not marked as such, as a Mac writes it, is read as UTF-8."""
    name = entry.orig_filename
    if not entry.flag_bits & 0x800:
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            pass  # keep the name that zipfile has decoded
    return name


def _parts(name):
    """Return the names in an entry's path, as text; None if it leads out of the archive."""
    name = name.partition("\0")[0].replace("\\", "/")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or re.match(r"[a-zA-Z]:", name):
        return None
    return tuple(map(spelled, parts))


def _time(entry):
    try:
        return datetime(*entry.date_time).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
