"""The result of grading one submission, as plain data that JSON can keep."""

import json
import unicodedata
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Self, get_origin

from advcourse.grading.read.submission import Written
from advcourse.labs.verdicts import repeat

SYNTAX = "syntax"  # the key of an answer that Python cannot read
WEAK = "weak isolation"
BUBBLEWRAP = "bubblewrap"


@dataclass(frozen=True)
class TaskResult:
    """The verdict on one task.

    Args:
        task: the task's name.
        title: its heading.
        outcome, message, key, seed, trace: see `advcourse.labs.verdicts.Verdict`.
        points: the points it got, of `possible`.
        picture: a PNG in base64, or "".
        alt: the picture in words.
        advice: a sentence about other answers that this one calls, or "".
        answer: a checksum of the answer, see `advcourse.grading.read.likeness`, or "".
    """

    task: str
    title: str
    outcome: str
    message: str
    points: int
    possible: int
    seed: int
    key: str = ""
    trace: str = ""
    picture: str = ""
    alt: str = ""
    advice: str = ""
    answer: str = ""

    @property
    def again(self) -> str:
        """The line for the lab's notebook that repeats the check; "" if there is nothing to repeat."""
        return "" if self.key == SYNTAX else repeat(self.outcome, self.task, self.seed)


@dataclass(frozen=True)
class Report:
    """All results for one submission.

    Args:
        student: whose it is.
        lab: such as "lab1".
        digest: SHA-256 of the file, in hex.
        isolation: "bubblewrap" or "weak isolation".
        tasks: one `TaskResult` per task.
        written: the written questions with the student's answers.
        notes: sentences for the student about the file.
        signs: sentences for the instructor alone, about what is worth a look; they cost no points.
        error: why the file could not be read, or "".
        seconds: how long grading took.
    """

    student: str
    lab: str
    digest: str
    isolation: str
    tasks: tuple[TaskResult, ...] = ()
    written: tuple[Written, ...] = ()
    notes: tuple[str, ...] = ()
    signs: tuple[str, ...] = ()
    error: str = ""
    seconds: float = 0.0

    @property
    def points(self) -> int:
        """The points of the tasks graded by program; never more than `possible`."""
        return min(sum(task.points for task in self.tasks), self.possible)

    @property
    def possible(self) -> int:
        """The most that the tasks graded by program can give."""
        return sum(task.possible for task in self.tasks)

    def as_json(self) -> str:
        """Return the report as JSON text; `from_json` reads it again."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the report in a text from `as_json`. Raises `ValueError` for any other text."""
        try:
            values = json.loads(text)
            if set(values) != {field.name for field in fields(cls)}:
                raise ValueError("other fields than a report's")
            values["tasks"] = tuple(TaskResult(**task) for task in values["tasks"])
            values["written"] = tuple(Written(**question) for question in values["written"])
            report = cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
        except (TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"no report: {error}") from error
        for part in (report, *report.tasks, *report.written):
            _check_kinds(part)
        return report


def by_name(reports: Iterable[Report]) -> list[Report]:
    """Return the reports sorted by student, whatever the capitals and the ways to write an accent."""
    return sorted(reports, key=lambda report: unicodedata.normalize("NFC", report.student).casefold())


def _check_kinds(part):
    """Raise `ValueError` unless the values of a dataclass have the types that its fields declare."""
    for field in fields(part):
        kind, value = get_origin(field.type) or field.type, getattr(part, field.name)
        texts = field.type != tuple[str, ...] or all(isinstance(one, str) for one in value)
        if not (isinstance(value, int | float if kind is float else kind) and texts):
            raise ValueError(f"no report: {field.name} is {type(value).__name__}")
