"""The matrix of attacks x defenses: how accurate each defense of the zoo is under common attacks and attacks made for it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from advcourse import models
from advcourse.attacks import CWL2, EAD, FGSM, JSMA, PGD, RFGSM, UMIFGSM, StAdv, Transfer
from advcourse.core.files import write_between
from advcourse.core.inputs import InputError, check_choice, check_range
from advcourse.core.intervals import printed
from advcourse.core.rounding import number, percent
from advcourse.evaluation.cells import Cell, Conditions, DataSource, ModelSource
from advcourse.evaluation.record import Record
from advcourse.evaluation.tables import frame, survivors
from advcourse.metrics import median_with_failures, share_with_interval
from advcourse.zoo import deployed

ADAPTIVE = "adaptive: "  # prefix of the names of attacks that were made for one defense
BEGIN, END = "<!-- matrix: made by `advcourse matrix --write docs/defenses.md` -->", "<!-- matrix ends -->"


@dataclass(frozen=True)
class Deployed:
    """Function that returns the deployed module of a defense.

    Two of these are equal if their names are equal, so that a model is loaded only once for all its cells.
    """

    name: str

    def __call__(self) -> nn.Module:
        """Load the module."""
        return deployed.load(self.name)


def common() -> dict:
    """Return the attacks that every defense has to meet, by name, all within `EPS` in L-infinity.

    The last, "transfer", uses a network of the attacker's own, and knows nothing about the defense.
    """
    multi_step = PGD(deployed.EPS, steps=40)
    return {
        "FGSM": FGSM(deployed.EPS),
        "R+FGSM": RFGSM(deployed.EPS),
        "U-MI-FGSM": UMIFGSM(deployed.EPS),
        "PGD": multi_step,
        "transfer": Transfer(multi_step, models.load("mnist-cnn")),
    }


def other_norms() -> dict:
    """Return the attacks in other norms than L-infinity, for networks. They seek the smallest change in their own norm."""
    return {"C&W L2": CWL2(), "EAD": EAD(), "stAdv": StAdv(), "JSMA": JSMA()}


def cells(images: int = 100, seed: int = 0, defenses: Sequence[str] | None = None) -> list[Cell]:
    """Return the cells of the matrix: each defense under the common attacks and its own, networks also under other norms.

    The common attacks differentiate the model that an attacker sees who does not know of any defense:
    `deployed.DeployedDefense.seen`.

    Args:
        images: number of held-out digits, at least 1 (default 100).
        seed: seed by which they are drawn (default 0).
        defenses: names in the zoo (default None: all).

    Returns:
        the cells.

    Raises:
        InputError: a defense is unknown, or a number is out of range.
    """
    check_range(images, "images", 1, integer=True)
    check_range(seed, "seed", 0, integer=True)
    chosen = deployed.names() if defenses is None else defenses
    digits, how = DataSource("mnist-5k", images=images, seed=seed), Conditions(transformations=(), pictures=0)
    result = []
    for name in chosen:
        defense = deployed.DEFENSES[check_choice(name, "defenses", deployed.names())]
        attacks = {known: _as_seen(attack, defense) for known, attack in common().items()}
        attacks |= {ADAPTIVE + own: attack for own, attack in defense.adaptive.items()}
        attacks |= other_norms() if defense.is_network else {}
        source = ModelSource(name, build=Deployed(name))
        result += [Cell(title, attack, source, digits, how) for title, attack in attacks.items()]
    return result


def _as_seen(attack, defense):
    plain = defense.seen is deployed.itself or isinstance(attack, Transfer)
    return attack if plain else Transfer(attack, defense.seen)


def accuracies(records: Iterable[Record]) -> pd.DataFrame:
    """Return the share of the digits that each defense classifies correctly, clean and under each attack within `deployed.EPS`.

    Args:
        records: the measured cells.

    Returns:
        a frame with a row for each defense. "adaptive" is the accuracy under the strongest of its own attacks. "minimum" is
            the share of the digits that withstand every attack in the table, image by image, with Wilson's 95 % interval in
            "minimum low" and "minimum high".
    """
    rows = _accuracies(records)
    return frame(rows.values(), list(rows))


def _accuracies(records):
    """Return the rows of `accuracies` by the names of the defenses."""
    rows, shared = {}, tuple(common())
    for name, group in _by_defense(records).items():
        left = {r.names.attack: survivors(r, "Linf", deployed.EPS) for r in group}
        row = {"clean": group[0].clean_accuracy}
        row |= {attack: float(left[attack].mean()) for attack in shared if attack in left}
        own = {attack: float(kept.mean()) for attack, kept in left.items() if attack.startswith(ADAPTIVE)}
        if own:
            strongest = min(own, key=own.get)
            row |= {"adaptive": own[strongest], "by": strongest.removeprefix(ADAPTIVE)}
        rows[name] = row | {"minimum": share_with_interval(np.logical_and.reduce(list(left.values())))}
    return rows


def sizes(records: Iterable[Record]) -> pd.DataFrame:
    """Return the median size of the smallest change that fools each network, in which failures count as infinite.

    Args:
        records: the measured cells.

    Returns:
        a frame with a row for each network: C&W in L2, EAD in its own measure, stAdv in its flow loss, JSMA in changed pixels.
    """
    rows, known = {}, tuple(other_norms())
    for name, group in _by_defense(records).items():
        others = [r for r in group if r.names.attack in known]
        if others:
            rows[name] = {r.names.attack: median_with_failures(r.size, r.success) for r in others}
    return pd.DataFrame.from_dict(rows, orient="index")


def as_markdown(records: Sequence[Record]) -> str:
    """Return both tables as Markdown for the docs. Accuracies are rounded to percentage points, sizes to two digits.

    Raises:
        InputError: there are no records.
    """
    if not records:
        raise InputError("records: got none; allowed is at least one, as `run(defended.cells())` gives")
    rows, others = _accuracies(records), sizes(records)
    shares = pd.DataFrame.from_dict(rows, orient="index").drop(columns=["by", "minimum"], errors="ignore")
    table = shares.map(lambda share: "" if pd.isna(share) else percent(share))
    table["minimum"] = [printed(row["minimum"]) for row in rows.values()]
    table["strongest adaptive attack"] = [row.get("by", "") for row in rows.values()]
    images = records[0].picked
    parts = [
        f"{images} held-out digits, L∞ ≤ {deployed.EPS:g}: the share that is read correctly; for the minimum also the number of "
        "digits, and the 95 % interval.",
        _table(table),
        "The median size of the smallest change that fools the model, in each attack's own measure; `inf` if half of the attacks "
        "fail.",
    ]
    return "\n\n".join(
        [*parts, _table(others.map(lambda size: number(size, 2) if np.isfinite(size) else "inf"))]
    )


def write(path: Path | str, records: Sequence[Record]) -> None:
    """Write the tables between the markers of the Markdown file at `path`.

    Raises:
        InputError: the file has no such markers, or can't be written.
    """
    write_between(path, BEGIN, END, as_markdown(records))


def _table(frame):
    lines = [f"| defense | {' | '.join(frame.columns)} |", "|---" * (len(frame.columns) + 1) + "|"]
    for name, row in frame.iterrows():
        lines.append(f"| {deployed.DEFENSES[name].title} | {' | '.join(row)} |")
    return "\n".join(lines)


def _by_defense(records):
    groups = {}
    for record in records:
        groups.setdefault(record.names.model, []).append(record)
    return groups
