"""Tables of records, as pandas frames of plain numbers: shares in [0, 1], NaN where nothing succeeded.

An average over successes flatters an attack that succeeds only where it is easy. So each table has the success rate beside the
size, the medians count a failure as infinite, and `common` averages over the images where all attacks of a kind succeed.

A table is made as rows, dictionaries in which an estimate is an `Interval`. `frame` writes one as three numbers, so that they are
columns of CSV and JSON: "success", "success low", "success high".
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from advcourse import metrics
from advcourse.core.intervals import Interval
from advcourse.evaluation.record import Record

Row = dict[str, str | float | Interval]

NORMS = ("L0", "L1", "L2", "Linf")


def success(records: Iterable[Record]) -> pd.DataFrame:
    """The share of successes with Wilson's 95 % interval, and the share of any wrong label, which a targeted attack may miss."""
    return _table(records, _success)


def misclassification(records: Iterable[Record]) -> pd.DataFrame:
    """Success, and the mean confidences over the successes: of the wrong class (ACAC), the true one (ACTC), and NTE."""
    return _table(records, _success, _confidence)


def imperceptibility(records: Iterable[Record]) -> pd.DataFrame:
    """Success, and sizes: medians with failures at infinity, the first in the attack's own norm with a 95 % bootstrap interval.

    The means are over the successes alone.
    """
    return _table(records, _success, _size)


def robustness(records: Iterable[Record]) -> pd.DataFrame:
    """Success, and what is left of it after each transformation, beside the model's clean accuracy under the same one."""
    return _table(records, _success, _survival)


def efficiency(records: Iterable[Record]) -> pd.DataFrame:
    """Success, and its price: seconds and passes for one image, MiB for one batch."""
    return _table(records, _success, _price)


def everything(records: Iterable[Record]) -> pd.DataFrame:
    """All of these in one row a record."""
    return frame(rows_of_everything(records))


def rows_of_everything(records: Iterable[Record]) -> list[Row]:
    """The rows of `everything`."""
    return _rows(records, _success, _confidence, _size, _survival, _price)


def frame(rows: Iterable[Row], index: Sequence[str] | None = None) -> pd.DataFrame:
    """Rows as a pandas frame of plain numbers; `index` names them (default: they are numbered)."""
    return pd.DataFrame([_flat(row) for row in rows], index)


def common(records: Iterable[Record]) -> pd.DataFrame:
    """Attacks of one threat model on one model, on the images where all of them succeed: mean sizes and SSIM there, side by side.

    Over its own successes an attack that reaches only the easy images would look the finest.
    """
    rows = []
    for group in _alike(records):
        shared = _shared(group)
        for record in group:
            chosen = np.isin(record.values["index"], shared)
            means = {
                f"mean {name}": metrics.mean_over_successes(record.values[name], chosen)
                for name in (*NORMS, "SSIM")
            }
            rows.append(
                _head(record) | {"common images": len(shared), "success": record.success_rate} | means
            )
    return pd.DataFrame(rows)


def strongest(records: Iterable[Record]) -> pd.DataFrame:
    """For each model and each budget that an attack was given: the per-image minimum over ALL attacks, never a mean over them.

    An image survives where the model reads it correctly and no attack makes it misread one inside the budget, whatever the attack
    was made for. `accuracy` is the share of the picked images that survive, with Wilson's interval; beside it stands the single
    strongest attack. L0 budgets, which are shares, are left out.
    """
    return frame(rows_of_strongest(records))


def rows_of_strongest(records: Iterable[Record]) -> list[Row]:
    """The rows of `strongest`."""
    rows = []
    for (model, data, *_), group in _by(records, _place).items():
        budgets = {(r.threat_model.norm, r.threat_model.eps) for r in group if r.threat_model.eps is not None}
        for norm, eps in sorted(budget for budget in budgets if budget[0] in ("L1", "L2", "Linf")):
            survive = {record.names.full_attack: survivors(record, norm, eps) for record in group}
            alone = min(survive, key=lambda name: survive[name].sum())
            rows.append(
                {"model": model, "data": data, "norm": norm, "eps": eps, "attacks": len(group)}
                | {"clean accuracy": group[0].clean_accuracy, "strongest attack": alone}
                | {"accuracy under it": float(survive[alone].mean())}
                | {"accuracy": metrics.share_with_interval(np.logical_and.reduce(list(survive.values())))}
            )
    return rows


def least(records: Iterable[Record]) -> pd.DataFrame:
    """For each model and each threat model without a budget: the per-image minimum over its attacks, of the changes' sizes.

    `minimum` is the median of the smallest change that any of them found for each image, failures at infinity, with its 95 %
    bootstrap interval; beside it stands the attack of the smallest median.
    """
    return frame(rows_of_least(records))


def rows_of_least(records: Iterable[Record]) -> list[Row]:
    """The rows of `least`."""
    free = [record for record in records if record.threat_model.eps is None and len(record)]
    rows = []
    for group in _by(free, lambda record: (*_place(record), record.threat_model)).values():
        reached = [np.where(record.success, record.size, math.inf) for record in group]
        medians = [float(np.median(sizes)) for sizes in reached]
        best = np.minimum.reduce(
            reached
        )  # all attacked the same images: those that the model reads correctly
        rows.append(
            _head(group[int(np.argmin(medians))])
            | {"attacks": len(group), "median size": min(medians)}
            | {"minimum": metrics.median_with_interval(best, np.isfinite(best))}
        )
    return rows


def survivors(record: Record, norm: str, eps: float) -> np.ndarray:
    """Which of the picked images, (picked,) bool, are read correctly unless the change is larger than `eps` in `norm`."""
    values = record.values
    # A float32 pixel holds the budget to an ulp, and a sum of them to a little more.
    fooled = values["wrong"] & (values[norm] <= eps * (1 + 1e-5) + 1e-7)
    right = np.zeros(record.picked, dtype=bool)
    right[values["index"][~fooled]] = True
    return right


def _by(records, key):
    groups = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return groups


def _place(record):
    """Model and data by name, and, since a name can be given twice, by what they are."""
    return record.names.model, record.names.data, record.identity["model"], record.identity["data"]


def _alike(records):
    """The records that differ in nothing but the attack, as lists of two or more."""
    groups = _by(records, lambda record: (*_place(record), record.threat_model))
    return [group for group in groups.values() if len(group) > 1]


def _shared(group):
    """The places of the images where all attacks of the group succeed."""
    return sorted(
        set.intersection(*(set(record.values["index"][record.success].tolist()) for record in group))
    )


def _table(records, *parts):
    return frame(_rows(records, *parts))


def _rows(records, *parts):
    rows = []
    for record in records:
        rows.append(_head(record) | {"images": len(record)})
        for part in parts:
            rows[-1] |= part(record)
    return rows


def _flat(row):
    flat = {}
    for name, value in row.items():
        if isinstance(value, Interval):
            flat |= {name: value.value, f"{name} low": value.low, f"{name} high": value.high}
        else:
            flat[name] = value
    return flat


def _head(record):
    names = record.names
    where = {"model": names.model, "data": names.data, "attack": names.full_attack}
    return where | {"threat model": record.threat_model.name}


def _success(record):
    wrong = record.values["wrong"]
    return {
        "success": metrics.share_with_interval(record.success),
        "any wrong label": float(wrong.mean()) if len(wrong) else math.nan,
    }


def _confidence(record):
    names = ("wrong confidence", "true confidence", "noise tolerance")
    return {name: metrics.mean_over_successes(record.values[name], record.success) for name in names}


def _size(record):
    def median(values):
        return metrics.median_with_failures(values, record.success)

    sizes = {"median size": metrics.median_with_interval(record.size, record.success)}
    sizes |= {f"median {norm}": median(record.values[norm]) for norm in NORMS}
    means = (*NORMS, "SSIM", "PSD")
    return sizes | {
        f"mean {name}": metrics.mean_over_successes(record.values[name], record.success) for name in means
    }


def _survival(record):
    values, row = record.values, {"successes": int(record.success.sum())}
    for name in record.transformations:
        row[f"{name}: survival"] = metrics.share_with_interval(values[f"success {name}"][record.success])
        right = np.ones(len(record), dtype=bool)  # only such images are attacked
        row[f"{name}: destruction rate"] = metrics.destruction_rate(
            right, ~values["wrong"], ~values[f"wrong {name}"]
        )
        row[f"{name}: clean accuracy"] = record.clean[name]
    return row


def _price(record):
    cost = record.efficiency
    return {
        "seconds": cost.seconds,
        "forward passes": cost.forward_passes,
        "backward passes": cost.backward_passes,
        "memory MiB": cost.memory,
    }
