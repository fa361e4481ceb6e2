"""The reader's guesses on disk, one small file each, and what they tell about the reader's intuition.

They stay on the reader's machine: in the folder $ADVCOURSE_GUESSES, by default ~/.local/share/advcourse/guesses.
"""

import html
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from advcourse.core.errors import InputError
from advcourse.core.files import replacing
from advcourse.core.rounding import percent

FOLDER = "ADVCOURSE_GUESSES"
_KEY = re.compile(r"\d\d/[a-z0-9][a-z0-9-]{0,60}")
_cleared: Counter[str] = Counter()  # how often each chapter's guesses were forgotten while this program runs
_FAR = 0.2  # of the scale: a guess this far off shows that an intuition was wrong


def folder() -> Path:
    """Return the folder that holds the guesses."""
    chosen = os.environ.get(FOLDER)
    return Path(chosen) if chosen else Path.home() / ".local" / "share" / "advcourse" / "guesses"


@contextmanager
def nobodys() -> Iterator[None]:
    """Inside the block, processes that are started find no guesses, and what they keep is thrown away."""
    before = os.environ.get(FOLDER)
    with TemporaryDirectory(prefix="advcourse-guesses-") as empty:
        os.environ[FOLDER] = empty
        try:
            yield
        finally:
            os.environ.pop(FOLDER)
            if before is not None:
                os.environ[FOLDER] = before


def read(key: str) -> dict[str, Any]:
    """Return what is kept under a key, chapter/name; {} if there is nothing, or it cannot be read.

    Raises:
        InputError: the key has another form.
    """
    path = _path(key)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write(key: str, record: dict[str, Any]) -> None:
    """Keep a record under a key. Where the folder can't be written, the guess lasts as long as the notebook runs."""
    path = _path(key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            Path(partial).write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError:
        return


def clear(chapter: str | None = None) -> int:
    """Forget the guesses of a chapter, such as "00" (default: of all chapters); return how many there were."""
    if chapter is not None:
        _check_chapter(chapter)
    _cleared["all" if chapter is None else chapter] += 1
    rooms = (
        [folder() / chapter] if chapter else [path for path in folder().glob("[0-9][0-9]") if path.is_dir()]
    )
    count = sum(len(list(room.glob("*.json"))) for room in rooms)
    for room in rooms:
        shutil.rmtree(room, ignore_errors=True)
    return count


def times_cleared(key: str) -> int:
    """Return how often the guess of a key, chapter/name, was forgotten while this program runs."""
    return _cleared["all"] + _cleared[key.split("/")[0]]


def _check_chapter(chapter):
    if not isinstance(chapter, str) or not re.fullmatch(r"\d\d", chapter):
        raise InputError(f"chapter: got {chapter!r}; allowed are two digits, such as '00'")


class Calibration:
    """How well a chapter was guessed. It shows itself in a notebook.

    Attributes:
        n: number of guesses that were compared with the truth.
        errors: how far each was off, as a share of its scale, by name.
        text: the same in words, with the intuition behind the worst.
    """

    def __init__(self, chapter: str):
        _check_chapter(chapter)
        records = {
            path.stem: read(f"{chapter}/{path.stem}") for path in sorted((folder() / chapter).glob("*.json"))
        }
        told = {name: record for name, record in records.items() if _complete(record)}
        self.errors = {name: float(record["error"]) for name, record in told.items()}
        self.n, self.text = len(told), _in_words(chapter, told, self.errors)

    def __repr__(self):
        return self.text

    def _repr_html_(self):
        return f"<p>{html.escape(self.text)}</p>"


def _complete(record):
    return isinstance(record.get("error"), int | float) and all(
        isinstance(record.get(part), str) for part in ("question", "guess_in_words", "truth_in_words")
    )


def _in_words(chapter, told, errors):
    if not told:
        return (
            f"You have not guessed in chapter {chapter} yet. Go back to a question, keep a guess, and run the cell below it: a "
            "wrong guess is where one learns something."
        )
    near = sum(error <= 0.1 for error in errors.values())
    mean = percent(sum(errors.values()) / len(errors))
    guesses = f"{len(told)} guess{'es' if len(told) != 1 else ''}"
    text = f"Chapter {chapter}: {guesses}, {near} of them right or nearly so; on average {mean} of the scale away."
    worst = max(errors, key=errors.__getitem__)
    if errors[worst] < _FAR:
        return f"{text} None was far off: your intuition holds here."
    record = told[worst]
    said, answer = record["guess_in_words"], record["truth_in_words"]
    text += f" Farthest off: “{record['question']}” You said “{said}”; the answer is “{answer}”."
    return f"{text} {record['intuition']}" if record.get("intuition") else text


def _path(key):
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise InputError(f"key: got {key!r}; allowed is chapter/name, in small letters, such as '00/noise'")
    return folder() / f"{key}.json"
