"""Tables of records, as pandas frames of plain numbers: shares in [0, 1], NaN if nothing succeeded.

An average over successes flatters an attack that succeeds only on easy images. So each table has the success rate beside the
size, medians count failures as infinite, and `common` averages over the images on which all comparable attacks succeed.

A table is first made as rows: dictionaries in which an estimate is an `Interval`. `frame` turns each estimate into three
numbers, which become columns of CSV and JSON: "success", "success low", "success high".
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
    """Success rate with Wilson's 95 % interval, and the share of any wrong label (a targeted attack may miss its target)."""
    return _table(records, _success)


def misclassification(records: Iterable[Record]) -> pd.DataFrame:
    """Success, and means over the successes: confidence in the wrong class (ACAC) and in the true one (ACTC), and NTE."""
    return _table(records, _success, _confidence)


def imperceptibility(records: Iterable[Record]) -> pd.DataFrame:
    """Success, and sizes.

    The medians count failures as infinite; the first median is in the attack's own norm and has a 95 % bootstrap interval. The
    means are over the successes only.
    """
    return _table(records, _success, _size)


def robustness(records: Iterable[Record]) -> pd.DataFrame:
    """Success, the share of it that survives each transformation, and the model's clean accuracy after the same one."""
    return _table(records, _success, _survival)


def efficiency(records: Iterable[Record]) -> pd.DataFrame:
    """Success, and the costs: seconds and passes for one image, MiB for one batch."""
    return _table(records, _success, _price)


def everything(records: Iterable[Record]) -> pd.DataFrame:
    """All of the tables above, in one row for each record."""
    return frame(rows_of_everything(records))


def rows_of_everything(records: Iterable[Record]) -> list[Row]:
    """Return the rows of `everything`."""
    return _rows(records, _success, _confidence, _size, _survival, _price)


def frame(rows: Iterable[Row], index: Sequence[str] | None = None) -> pd.DataFrame:
    """Return rows as a pandas frame of plain numbers; `index` names them (default: they are numbered)."""
    return pd.DataFrame([_flat(row) for row in rows], index)


def common(records: Iterable[Record]) -> pd.DataFrame:
    """Mean sizes and SSIM of attacks with one threat model on one model, over the images on which all of them succeed.

    Without this restriction, an attack that succeeds only on easy images would have the smallest mean size.
    """
    rows = []
    for group in _alike(records):
        shared = _shared(group)
        for record in group:
            chosen = np.isin(record.values["index"], shared)
            means = {f"mean {name}": _mean(record.values[name], chosen) for name in (*NORMS, "SSIM")}
            rows.append(
                _head(record) | {"common images": len(shared), "success": record.success_rate} | means
            )
    return pd.DataFrame(rows)


def strongest(records: Iterable[Record]) -> pd.DataFrame:
    """For each model, channel and budget of any attack: the per-image minimum over ALL its attacks, never a mean over them.

    An image survives if the model classifies it correctly and no attack makes the model misclassify it inside the budget,
    whatever the attack was made for. `accuracy` is the share of the picked images that survive, with Wilson's interval; beside
    it is the single strongest attack. Attacks that are judged on photographs, channel "physical", are counted among
    themselves, since what fools a photograph need not fool the model that reads the pixels, and the other way round. L0
    budgets are left out, because they are shares.
    """
    return frame(rows_of_strongest(records))


def rows_of_strongest(records: Iterable[Record]) -> list[Row]:
    """Return the rows of `strongest`."""
    rows = []
    for (model, data, *_, channel), group in _by(records, _place_and_channel).items():
        budgets = {(r.threat_model.norm, r.threat_model.eps) for r in group if r.threat_model.eps is not None}
        for norm, eps in sorted(budget for budget in budgets if budget[0] in ("L1", "L2", "Linf")):
            survive = {record.names.full_attack: survivors(record, norm, eps) for record in group}
            alone = min(survive, key=lambda name: survive[name].sum())
            rows.append(
                {"model": model, "data": data, "channel": channel, "norm": norm, "eps": eps}
                | {"attacks": len(group)}
                | {"clean accuracy": group[0].clean_accuracy, "strongest attack": alone}
                | {"accuracy under it": float(survive[alone].mean())}
                | {"accuracy": metrics.share_with_interval(np.logical_and.reduce(list(survive.values())))}
            )
    return rows


def least(records: Iterable[Record]) -> pd.DataFrame:
    """For each model and each threat model without a budget: the smallest change of each image over all attacks.

    `minimum` is the median of these changes, in which failures count as infinite, with its 95 % bootstrap interval; beside it
    is the attack with the smallest median.
    """
    return frame(rows_of_least(records))


def rows_of_least(records: Iterable[Record]) -> list[Row]:
    """Return the rows of `least`."""
    free = [record for record in records if record.threat_model.eps is None and len(record)]
    rows = []
    for group in _by(free, lambda record: (*_place(record), record.threat_model)).values():
        reached = [np.where(record.success, record.size, math.inf) for record in group]
        medians = [float(np.median(sizes)) for sizes in reached]
        # All attacked the same images: those that the model classifies correctly.
        best = np.minimum.reduce(reached)
        rows.append(
            _head(group[int(np.argmin(medians))])
            | {"attacks": len(group), "median size": min(medians)}
            | {"minimum": metrics.median_with_interval(best, np.isfinite(best))}
        )
    return rows


def survivors(record: Record, norm: str, eps: float) -> np.ndarray:
    """Return which picked images are classified correctly if only changes of at most `eps` in `norm` count, (picked,) bool."""
    values = record.values
    # In float32 the largest change may exceed the budget by rounding, and a sum over pixels by a little more.
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
    """Return the names of model and data, and their identities, since a name can be used twice."""
    return record.names.model, record.names.data, record.identity["model"], record.identity["data"]


def _place_and_channel(record):
    return *_place(record), record.threat_model.channel


def _alike(records):
    """Return the groups of records that differ only in the attack, as lists of two or more."""
    groups = _by(records, lambda record: (*_place(record), record.threat_model))
    return [group for group in groups.values() if len(group) > 1]


def _shared(group):
    """Return the indices of the images on which all attacks of the group succeed."""
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
    return sizes | {f"mean {name}": _mean(record.values[name], record.success) for name in means}


def _mean(values, chosen):
    """Return the mean of the chosen values; NaN if none of all values is a number, as the SSIM of what is no picture."""
    return math.nan if np.isnan(values).all() else metrics.mean_over_successes(values, chosen)


def _survival(record):
    values, row = record.values, {"successes": int(record.success.sum())}
    for name in record.transformations:
        row[f"{name}: survival"] = metrics.share_with_interval(values[f"success {name}"][record.success])
        right = np.ones(len(record), dtype=bool)  # only images that are classified correctly are attacked
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
