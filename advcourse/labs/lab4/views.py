"""What `show` shows for each task: a function of `ask` that gives sentences, a figure, and what kind of figure it is.

`ask(shape, **arguments)` calls the student's function and gives numbers (float64) of that shape.
"""

import numpy as np
import torch

from advcourse import plots
from advcourse.core.inputs import predict
from advcourse.core.rounding import number, percent
from advcourse.data.transformations import JPEG, GaussianBlur, GaussianNoise
from advcourse.labs.lab4 import records
from advcourse.metrics import auc, l2, mean_over_successes
from advcourse.plots.style import new_chart

_DISTANCE = "L2 distance (pixels range from 0 to 1)"


def _listed(row, words):
    """A dictionary in words: "name value, name value"."""
    return ", ".join(f"{name} {words(value)}" for name, value in row.items())


def _rate(ask):
    rows = {}
    for name in ("FGSM 0.3", "LLC 0.3", "ILLC 0.3"):
        result = records.with_old_mistakes(name)
        before = predict(records.model(), result.clean)
        asked = {"clean_logits": before, "logits": result.logits, "y": result.labels}
        rows[name] = {"any error": float(ask((), **asked, target=None))}
        if result.target is not None:
            rows[name]["hits its target"] = float(ask((), **asked, target=result.target))
    sentences = [f"{name}: {_listed(row, percent)}." for name, row in rows.items()]
    figure = plots.bars(rows, "share of the digits that were right before", percentages=True)
    return sentences, figure, "Bars."


def _interval(ask):
    n = torch.tensor([10, 20, 50, 100, 200, 500, 900])
    x, y = records.known(int(n[-1]))
    fooled = ~records.right(records.attacks.FGSM(eps=0.15)(records.model(), x, y), y)
    k = fooled.cumsum(0)[n - 1]
    low, high = ask((2, len(n)), successes=k.double(), n=n.double())
    share = k / n
    figure, axis = new_chart(5.6, 3.0)
    axis.vlines(n, low, high, color=plots.COLOURS[0])
    for values, marker in ((low, "_"), (share, "o"), (high, "_")):
        axis.plot(n, values, marker, color=plots.COLOURS[0], markersize=7)
    axis.axhline(share[-1], color="0.4", linestyle=":", linewidth=1)
    axis.set(xscale="log", xlabel="digits measured", ylabel="share that FGSM fools", ylim=(0, 1))
    axis.set_xticks(n.tolist(), [str(count) for count in n.tolist()])
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    sentences = [
        f"{m} digits: {percent(p)} fooled, your interval is {percent(a)} to {percent(b)}."
        for m, p, a, b in zip(n.tolist(), share, low, high)
    ]
    return sentences, figure, "Rates with intervals that shrink as more digits are measured."


_THREE = ("FGSM 0.05", "DeepFool", "C&W")


def _table():
    """The L2 sizes and the successes (A, N) of three attacks."""
    results = [records.record(name) for name in _THREE]
    return {
        "size": torch.stack([result.distances["L2"] for result in results]),
        "success": torch.stack([result.success for result in results]),
    }


def _median_size(ask):
    table = _table()
    medians = ask((len(_THREE),), **table).tolist()
    at, curves, sentences = np.linspace(0, 3, 61), {}, []
    for name, size, success, median in zip(_THREE, table["size"], table["success"], medians):
        curves[name] = (at, [(success & (size <= a)).double().mean().item() for a in at])
        result = records.record(name)
        passes = round((result.forward_passes + result.backward_passes) / len(size))
        sentences.append(
            f"{name}: {percent(success.double().mean())} fooled, mean size of the successes "
            f"{number(mean_over_successes(size, success))}, your median "
            f"{'infinite' if np.isinf(median) else number(median)}; {passes} passes through the model an image."
        )
    figure = plots.lines(curves, _DISTANCE, "share fooled within it", percentages=True)
    (axis,) = figure.axes
    for line in axis.lines:
        line.set_markevery(6)
    axis.axhline(0.5, color="0.4", linestyle=":", linewidth=1)
    return sentences, figure, "Curves that rise with the distance; only two of them reach one half."


def _on_common(ask):
    table = _table()
    means = ask((len(_THREE),), **table).tolist()
    common = f"the {int(table['success'].all(0).sum())} common images"
    rows = {
        name: {"its own successes": mean_over_successes(size, success), common: mean}
        for name, size, success, mean in zip(_THREE, table["size"], table["success"], means)
    }
    sentences = [f"{name}: {_listed(row, number)}." for name, row in rows.items()]
    return sentences, plots.bars(rows, f"mean {_DISTANCE}"), "Bars of mean sizes."


def _similarity(ask):
    x, changed = records.changes_of_one_length()
    images = torch.cat([x, *changed.values()])
    clean = x.expand_as(images).clone()
    values = dict(zip(["clean", *changed], ask((len(images),), x=clean, x_adv=images).tolist()))
    sentences = [
        f"Each changed digit is {number(l2(clean, images)[1:].mean())} away from the first, in L2.",
        f"Your similarities: {_listed(values, number)}.",
    ]
    figure = plots.grid(images, [f"{name}\n{number(value)}" for name, value in values.items()])
    return sentences, figure, "A digit and changed copies of it."


_TRANSFORMATIONS = (GaussianNoise(0.1), JPEG(90), GaussianBlur(1.0), GaussianBlur(2.0))


def _destruction(ask):
    n = 100
    x, y = records.known(n)
    clean = {"clean": records.right(x, y), "clean_after": _after(x, y)}
    rows = {change.name: {} for change in _TRANSFORMATIONS}
    for name in ("FGSM 0.3", "PGD 0.15", "C&W"):
        images = records.record(name, n).images
        attacked = {"attacked": records.right(images, y), "attacked_after": _after(images, y)}
        destroyed, accuracy = ask((2, len(rows)), **clean, **attacked)
        for row, share in zip(rows.values(), destroyed.tolist()):
            row[f"{name} destroyed"] = share
    for row, share in zip(rows.values(), accuracy.tolist()):
        row["clean digits right"] = share
    sentences = [f"{change}: {_listed(row, percent)}." for change, row in rows.items()]
    return sentences, plots.bars(rows, "share of the digits", percentages=True), "Bars."


def _after(images, y):
    """Where the model is right after each transformation, (T, N)."""
    return torch.stack([records.right(change(images), y) for change in _TRANSFORMATIONS])


_BUDGETS = (0.05, 0.1, 0.125, 0.15, 0.175, 0.2, 0.25)
_SHOWN = 3  # which budget the sentence is about


def _worst_case(ask):
    results, eps = records.against_eps(_BUDGETS), torch.tensor(_BUDGETS)

    def accuracy(results):
        right = torch.stack([~result.success for result in results])
        size = torch.stack([result.distances["Linf"] for result in results])
        clean = torch.ones_like(right[0])  # known digits: the model gets all of them right
        return ask(tuple(eps.shape), clean=clean, right=right, size=size, eps=eps)

    curves = {name: accuracy(found) for name, found in results.items()}
    curves["their mean"] = torch.stack(list(curves.values())).mean(0)
    curves["all: worst case"] = accuracy([result for found in results.values() for result in found])
    told = _listed({name: values[_SHOWN] for name, values in curves.items()}, percent)
    figure = plots.accuracy_against_eps({name: (eps, values) for name, values in curves.items()})
    return [f"Accuracy at eps = {_BUDGETS[_SHOWN]}: {told}."], figure, "Curves that fall as eps grows."


_DETECTED = ("FGSM 0.3", "PGD 0.3", "C&W", "C&W (confidence 10)")
_RATES = (0.01, 0.02, 0.05, 0.1, 0.2)


def _win_rate(ask):
    clean = records.suspicion(records.digits()[0][500:])
    results = [records.record(name, 100) for name in _DETECTED]
    scores = torch.stack([records.suspicion(result.images) for result in results])
    asked = {"clean_scores": clean, "scores": scores, "fooled": torch.stack([r.success for r in results])}
    won = torch.stack([ask((len(results),), **asked, fpr=rate) for rate in _RATES]).T
    sentences = [
        f"{name}: AUC {number(auc(clean, row))}; the attacker wins {percent(wins[0])} at a false positive rate of 1 %, "
        f"{percent(wins[2])} at 5 %."
        for name, row, wins in zip(_DETECTED, scores, won)
    ]
    curves = {name: (_RATES, wins) for name, wins in zip(_DETECTED, won)}
    labels = "false positive rate (share of clean digits that is flagged)", "attacker's win rate"
    return sentences, plots.lines(curves, *labels, percentages=True), "Curves that fall as more is flagged."


VIEWS = {
    "rate": _rate,
    "interval": _interval,
    "median_size": _median_size,
    "on_common": _on_common,
    "similarity": _similarity,
    "destruction": _destruction,
    "worst_case": _worst_case,
    "win_rate": _win_rate,
}
