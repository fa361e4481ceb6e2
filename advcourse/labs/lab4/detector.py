"""The attacker's win rate against a detector as the judge computes it, and the slips known by their results."""

import math

import torch
from torch import Tensor

from advcourse.labs.checks import Case, Draw, Task
from advcourse.labs.numbers import gives
from advcourse.labs.properties import other_amount

VAST = 1e30  # times as large as scores mostly are


def scores(
    draw: Draw,
    x: Tensor | None,
    clean: int = 150,
    attacks: int = 4,
    n: int = 90,
    fpr: tuple[float, float] = (0.045, 0.046),
) -> dict[str, Tensor | float]:
    """Scores of clean and of attacked images. The first attack is less suspicious than clean images, the others more and more.

    Six images of each attack lie close to the threshold: three below it and three above, before the next clean score.
    """
    shift = torch.tensor([-0.6, 0.2, 0.7, 1.2])[:attacks, None]
    clean_scores = (draw.normal((clean,)) / 2 - 1).exp()
    attacked = (draw.normal((attacks, n)) / 2 + shift - 1).exp()
    fooled = draw.uniform((attacks, n)) < torch.tensor([0.9, 0.6, 0.8, 0.7])[:attacks, None]
    share = draw.number(*fpr)
    order, k = clean_scores.sort(descending=True).values, int(share * clean)
    above = order[k - 1] if k else 2 * order[0] - order[1]
    near = torch.cat([_between(order[k + 1], order[k]), _between(order[k], above)])
    attacked[:, : len(near)], fooled[:, : len(near)] = near, True
    return {"clean_scores": clean_scores, "scores": attacked, "fooled": fooled, "fpr": share}


def _between(low, high):
    return low + torch.tensor([0.1, 0.5, 0.9]) * (high - low)


def many_and_few(task: Task, draw: Draw) -> list[Case]:
    """150 clean scores, 6 of which may be flagged; 30, of which none, one or just two may be; 32, of which exactly two may be.

    The last ones are vast, so that none is above whatever number stands for an attack that has not fooled.
    """
    exact = {**scores(draw, None, clean=32, fpr=(0.04, 0.06)), "fpr": 1 / 16}
    few = (scores(draw, None, clean=30, fpr=share) for share in ((0.01, 0.02), (0.04, 0.06), (0.067, 0.068)))
    vast = {name: VAST * exact[name] for name in ("clean_scores", "scores")}
    return [task.case(draw), *(task.case(draw, **values) for values in (*few, exact | vast))]


def equal_ones(task: Task, draw: Draw) -> tuple[Case]:
    """Clean scores that are equal at the threshold, some attacked ones too."""
    case = task.case(draw, **scores(draw, None, clean=60, fpr=(0.07, 0.08)))
    clean, attacked = ((case[name] * 5).ceil() / 5 for name in ("clean_scores", "scores"))
    return (case.but(clean_scores=clean, scores=attacked),)


def of_three(task: Task, draw: Draw) -> Case:
    return task.case(draw, **scores(draw, None, attacks=3))


def threshold(clean: Tensor, fpr: float) -> Tensor:
    """The smallest of the clean scores above which there is at most the share fpr of them."""
    return clean.double().sort(descending=True).values[math.floor(fpr * len(clean) + 1e-9)]


def _won(case, t, flagged=torch.gt):
    """Win rates (A,) at the threshold t (a number, or one for each attack)."""
    return (case["fooled"] & ~flagged(case["scores"].double(), t)).double().mean(1)


def win_rate(case: Case) -> Tensor:
    return _won(case, threshold(case["clean_scores"], case["fpr"]))


def _with(rule):
    """The slip of another threshold: rule(clean scores, case)."""
    return lambda case: _won(case, rule(case["clean_scores"].double(), case))


def _each_attacks_own(clean, case):
    return torch.stack([threshold(scores, case["fpr"]) for scores in case["scores"]])[:, None]


def _pooled(clean, case):
    return threshold(torch.cat([clean, case["scores"].double().flatten()]), case["fpr"])


def _best_cut(case):
    """A threshold for each attack, where its detection and the false alarms differ most."""
    clean, found = case["clean_scores"].double(), case["scores"].double()
    every = torch.cat([clean, found.flatten()]).sort().values
    gain = (found[:, :, None] > every).double().mean(1) - (clean[:, None] > every).double().mean(0)
    return _won(case, every[gain.argmax(1)][:, None])


def _among_the_fooled(case):
    t = threshold(case["clean_scores"], case["fpr"])
    return (case["fooled"] & (case["scores"] <= t)).sum(1).double() / case["fooled"].sum(1)


def _undetected(case):
    t = threshold(case["clean_scores"], case["fpr"])
    return (case["scores"] <= t).double().mean(1)


def _fooled_or_undetected(case):
    t = threshold(case["clean_scores"], case["fpr"])
    return (case["fooled"] | (case["scores"] <= t)).double().mean(1)


def _silent_or_idle(case):
    t = threshold(case["clean_scores"], case["fpr"])
    return (~case["fooled"] | (case["scores"] <= t)).double().mean(1)


def _detected(case):
    t = threshold(case["clean_scores"], case["fpr"])
    return (case["scores"] > t).double().mean(1)


_SLIPS = (
    (
        "tuned on each attack",
        "Each attack has a threshold of its own, made from its scores. Whoever defends does not know which attack will come: "
        "fix one, on clean_scores.",
        _with(_each_attacks_own),
    ),
    (
        "best cut",
        "Each attack has the threshold that suits it best. Whoever defends does not know which attack will come: fix one, on "
        "clean_scores.",
        _best_cut,
    ),
    (
        "pooled",
        "Attacked images take part in the threshold. It comes from clean_scores alone, before any attack.",
        _with(_pooled),
    ),
    (
        "wrong end",
        "The threshold is at the wrong end of the clean scores: nearly all clean images are flagged. High scores are suspicious.",
        _with(lambda clean, case: -threshold(-clean, case["fpr"])),
    ),
    (
        "low scores flagged",
        "You flag the lowest scores. High ones are suspicious: flagged is what lies above the threshold.",
        lambda case: _won(case, -threshold(-case["clean_scores"], case["fpr"]), torch.lt),
    ),
    (
        "wins when flagged",
        "You count what is fooled and flagged. A flagged image is caught: the attacker wins where it is not.",
        lambda case: _won(case, threshold(case["clean_scores"], case["fpr"]), torch.le),
    ),
    (
        "no need to fool",
        "Attacks count that pass unnoticed, but fool nobody. The attacker wins where the model is fooled and the detector "
        "silent.",
        _undetected,
    ),
    (
        "a large number",
        "Where scores are larger still, attacks count that have not fooled: a large number stands for them, and the threshold "
        "may be larger. Use torch.inf, or fooled & (scores <= threshold).",
        lambda case: win_rate(case) if case["scores"].max() < VAST / 1e3 else _silent_or_idle(case),
    ),
    (
        "either will do",
        "An image counts that fools or passes unnoticed. The attacker needs both.",
        _fooled_or_undetected,
    ),
    (
        "among the fooled",
        "You divide by the images that fool. Then an attack that seldom fools looks as good as one that always does. Divide by "
        "all.",
        _among_the_fooled,
    ),
    (
        "no detector",
        "This is the share that fools. The detector plays no part in it.",
        lambda case: case["fooled"].double().mean(1),
    ),
    (
        "detection rate",
        "This is the share that is flagged: the detector's view. Count the attacker's wins.",
        _detected,
    ),
    (
        "defender's view",
        "This is the share that the attacker does not win: 1 minus the answer.",
        lambda case: 1 - win_rate(case),
    ),
    (
        "percentage",
        "fpr is a share: 0.05 is 5 %. You read it as a percentage, so that next to nothing is flagged.",
        _with(lambda clean, case: threshold(clean, case["fpr"] / 100)),
    ),
    (
        "fixed cut",
        "The threshold is 0.5, whatever the scores. It comes from clean_scores and fpr.",
        _with(lambda clean, case: 0.5),
    ),
    (
        "everything flagged",
        "Of so few clean images that int(fpr * n) is 0, all are flagged: values[-0] is the first one, the smallest. Sort "
        "downwards, and take values[int(fpr * n)].",
        _with(lambda clean, case: clean.sort().values[-int(case["fpr"] * len(clean))]),
    ),
    (
        "one too few",
        "One clean image more can be flagged, and the share is still at most fpr: your threshold is the next larger score.",
        _with(
            lambda clean, case: clean.sort(descending=True).values[max(int(case["fpr"] * len(clean)) - 1, 0)]
        ),
    ),
    (
        "one image less",
        'Your threshold goes by n - 1 clean images, as a quantile does (numpy\'s method="higher" too). Where fpr * n is just '
        "above a whole number, one image too few is flagged: take values[int(fpr * n)].",
        _with(
            lambda clean, case: clean.sort(descending=True).values[int(case["fpr"] * (len(clean) - 1) + 1e-9)]
        ),
    ),
    (
        "less than fpr",
        "Where fpr * n is a whole number, so many clean images may be flagged: at most the share fpr, not less than it.",
        _with(
            lambda clean, case: clean.sort(descending=True).values[
                max(math.ceil(case["fpr"] * len(clean) - 1e-9) - 1, 0)
            ]
        ),
    ),
    *(
        (
            "promise broken",
            "More than the share fpr of the clean images is flagged, by one image: fpr * n must be rounded down. "
            "(torch.quantile sets a threshold between two scores.) Take the smallest clean score above which lies at most the "
            "share fpr.",
            _with(lambda clean, case, how=how: clean.quantile(1 - case["fpr"], interpolation=how)),
        )
        for how in ("linear", "lower", "nearest")
    ),
)

_EQUAL_SLIPS = (
    (
        "flagged at the threshold",
        "An image whose score equals the threshold is flagged. Flagged is only what lies above it; else many clean images that "
        "share a score are flagged at once.",
        lambda case: _won(case, threshold(case["clean_scores"], case["fpr"]), torch.ge),
    ),
)

WIN_RATE = (
    other_amount("It works for four attacks and fails for three.", of_three),
    gives(win_rate, _SLIPS, cases=many_and_few),
    gives(win_rate, _EQUAL_SLIPS, cases=equal_ones),
)
