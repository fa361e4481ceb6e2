"""One row for each model, one number for each stage of its life: how often an attacker wins, and what it costs.

A column is a function, `column(subject) -> StageResult`. `columns` has some; any other function will do:

    columns = {"evasion": EvasionRate(), "poisoning": wins_of_twenty_targets}
    card = measure_scorecard([Subject("plain", model)], columns)

There is no sum over a row. The stages have different attackers, who need different things, and a model is as weak as its weakest
stage. So each row has its worst cell marked, and nothing else.
"""

import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from torch import nn

from advcourse.core.files import replacing
from advcourse.core.identity import digest
from advcourse.core.inputs import InputError, check_choice, check_range
from advcourse.core.intervals import Interval, printed
from advcourse.lifecycle.poisoned import check_function, form
from advcourse.lifecycle.shadows import Learner, ShadowSet

Checked = TypeVar("Checked")


@dataclass(frozen=True)
class Subject:
    """A model that is measured, and how others like it are made.

    Attributes:
        name: of its row.
        model: images (N, C, H, W) in [0, 1] to logits (N, K), trained.
        learner: `(images, labels, seed) -> net`: trains a net as the model was trained, for columns that need more nets, such as
            the victims of a poisoning; None (default) if that is not known.
        shadows: shadow nets that were trained in the same way, for the column on membership (default None).
    """

    name: str
    model: nn.Module
    learner: Learner | None = None
    shadows: ShadowSet | None = None

    def __post_init__(self):
        check_type(self.name, str, "name")
        check_type(self.model, nn.Module, "model")
        if self.learner is not None:
            check_function(self.learner, "learner", "a function (images, labels, seed) -> net, or None")
        if self.shadows is not None:
            check_type(self.shadows, ShadowSet, "shadows")


@dataclass(frozen=True)
class StageResult:
    """What a column says of a model.

    Attributes:
        value: how often the attacker wins; for a column that measures no attack, how good the model is.
        control: how often one wins without the attack, such as with noise of the same size; None for what is no attack.
        cost: what the attacker needs, in words: "the weights, 40 gradients an image".
    """

    value: Interval
    control: Interval | None
    cost: str

    def __post_init__(self):
        check_type(self.value, Interval, "value")
        if self.control is not None:
            check_type(self.control, Interval, "control")
        check_type(self.cost, str, "cost")


Column = Callable[[Subject], StageResult]


@dataclass(frozen=True)
class ScoreCell:
    """A cell of the card: what was found, and the keys of what it was found with.

    Attributes:
        result: what the column said.
        model: checksum of the model's weights.
        shadows: checksum of the shadow nets' answers; None if there were none.
        column: the column and its settings, as text.
    """

    result: StageResult
    model: str
    shadows: str | None
    column: str

    @property
    def lift(self) -> float:
        """The share of what the control left open that the attack wins, (value - control) / (1 - control), at least 0.

        NaN for what is no attack. Cells of different columns are compared by it, because to win one time in ten is much where
        guessing wins one in a hundred, and nothing where guessing wins as much.
        """
        if self.result.control is None:
            return math.nan
        value, control = self.result.value.value, self.result.control.value
        return max(0.0, (value - control) / (1 - control)) if control < 1 else 0.0


@dataclass(frozen=True)
class Scorecard:
    """The cells: name of a model -> name of a column -> `ScoreCell`. A column that does not apply to a model has no cell."""

    rows: dict[str, dict[str, ScoreCell]]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns, in their order."""
        return tuple(dict.fromkeys(name for row in self.rows.values() for name in row))

    def cell(self, row: str, column: str) -> ScoreCell:
        """Return one cell.

        Raises:
            InputError: there is none.
        """
        check_choice(row, "row", tuple(self.rows))
        return self.rows[row][check_choice(column, "column", tuple(self.rows[row]))]

    def worst(self, row: str) -> str | None:
        """Return the column in which the attacker gains most over the control, by `ScoreCell.lift`; None if nobody gains."""
        cells = self.rows[check_choice(row, "row", tuple(self.rows))]
        lifts = {name: cell.lift for name, cell in cells.items() if cell.lift > 0}
        return max(lifts, key=lifts.get) if lifts else None

    def lines(self) -> list[dict[str, str]]:
        """Return the card as text, one dictionary a row, with "model" first; the worst cell of a row ends with " (!)"."""
        table = []
        for name, row in self.rows.items():
            texts = {column: printed(cell.result.value) for column, cell in row.items()}
            worst = self.worst(name)
            marked = {key: f"{text} (!)" if key == worst else text for key, text in texts.items()}
            table.append({"model": name} | {key: marked.get(key, "n/a") for key in self.columns})
        return table

    def holds(self, subject: Subject, column: str, again: Column, within: float) -> bool:
        """Measure one cell again; return whether the result is what stands in the card.

        Args:
            subject: the model, of the row of its name.
            column: the name of the column.
            again: the column itself.
            within: how far the two values may lie apart, in [0, 1]. Another processor rounds differently.

        Raises:
            InputError: there is no such cell, or the card was made with other weights or settings.
        """
        within = check_range(within, "within", 0, 1)
        check_type(subject, Subject, "subject")
        check_function(again, "again", "a column, such as CleanAccuracy(data)")
        cell = self.cell(subject.name, column)
        model, shadows = _keys(subject)
        if model != cell.model or shadows not in (None, cell.shadows):
            raise InputError(
                f"subject: got other weights or shadow nets than those of the card's row {subject.name!r}; measure the "
                f"card again"
            )
        if described(again) != cell.column:
            raise InputError(
                f"again: got {described(again)}; allowed is the card's own column, {cell.column}, with the same settings"
            )
        return abs(again(subject).value.value - cell.result.value.value) <= within

    def save(self, path: str | os.PathLike) -> None:
        """Write the card as JSON, whole or not at all."""
        content = {name: {key: asdict(cell) for key, cell in row.items()} for name, row in self.rows.items()}
        with replacing(Path(path)) as partial:
            partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def measure_scorecard(
    subjects: Sequence[Subject], columns: Mapping[str, Column], tell: Callable[[str], None] | None = None
) -> Scorecard:
    """Measure each model in each column.

    A column that does not apply to a subject, for instance because it has no shadow nets, raises `NotApplicable`, and the cell is
    left out.

    Args:
        subjects: the models, each with a name of its own.
        columns: name -> column.
        tell: is called with a line for each cell (default None).

    Raises:
        InputError: no subjects or columns, or two subjects of one name.
    """
    if not isinstance(subjects, Sequence) or isinstance(subjects, str) or not isinstance(columns, Mapping):
        raise InputError(
            f"subjects and columns: got {form(subjects)} and {form(columns)}; allowed are a list, and a dictionary name -> column"
        )
    names = [check_type(subject, Subject, "subjects").name for subject in subjects]
    for name, column in columns.items():
        check_function(column, f"columns[{name!r}]", "a function of a Subject")
    if tell is not None:
        check_function(tell, "tell", "a function of a line, or None")
    if not names or len(set(names)) < len(names) or not columns:
        raise InputError(
            f"subjects: got {names or 'none'}; allowed are one or more, each with a name of its own, and columns"
        )
    rows = {}
    for subject in subjects:
        rows[subject.name] = {}
        for name, column in columns.items():
            try:
                result = column(subject)
            except NotApplicable:
                continue
            check_type(result, StageResult, f"columns[{name!r}]: the result")
            rows[subject.name][name] = ScoreCell(result, *_keys(subject), described(column))
            if tell:
                tell(f"{subject.name}, {name}: {printed(result.value)}")
    return Scorecard(rows)


def check_type(value: Checked, kind: type[Checked], name: str) -> Checked:
    """Return `value`; `InputError` unless it is an instance of the class `kind`."""
    if not isinstance(value, kind):
        raise InputError(f"{name}: got {form(value)}; allowed is {kind.__name__}")
    return value


class NotApplicable(InputError):
    """A column cannot be measured on this subject."""


def described(column: Column) -> str:
    """Return a column as text: a function's name, or the class with its settings. Where it lies in memory does not count."""
    name = getattr(column, "__qualname__", None)
    return f"{column.__module__}.{name}" if name else re.sub(r" at 0x[0-9a-f]+", "", repr(column))


def load_scorecard(path: str | os.PathLike) -> Scorecard:
    """Read a card that `Scorecard.save` wrote.

    Raises:
        InputError: the file is missing or damaged.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"path: got {form(path)}; allowed is the name of a file")
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        rows = {name: {key: _cell(**cell) for key, cell in row.items()} for name, row in content.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"file {path} is missing or damaged ({error}); measure the card again") from error
    return Scorecard(rows)


def _cell(result, **keys):
    control = result["control"] and Interval(**result["control"])
    return ScoreCell(StageResult(Interval(**result["value"]), control, result["cost"]), **keys)


def _keys(subject):
    """The checksums of the model's weights and of the shadow nets' answers."""
    shadows = subject.shadows
    told = None if shadows is None else digest([shadows.logits, shadows.members])
    return digest(subject.model.state_dict().values()), told
