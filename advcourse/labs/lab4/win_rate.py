"""Lab 4: the attacker's win rate against a detector."""

import math

import numpy as np
import torch
from torch import Tensor

from advcourse.labs.comparing import NUMBERS, gives
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab4.questions import FIRST, LAST
from advcourse.labs.properties import other_amount

VAST = 1e30  # times as large as scores mostly are


def drawn_scores(
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
    scores = (draw.normal((attacks, n)) / 2 + shift - 1).exp()
    fooled = draw.uniform((attacks, n)) < torch.tensor([0.9, 0.6, 0.8, 0.7])[:attacks, None]
    share = draw.number(*fpr)
    order, k = clean_scores.sort(descending=True).values, int(share * clean)
    above = order[k - 1] if k else 2 * order[0] - order[1]
    between = torch.tensor([0.1, 0.5, 0.9])
    near = torch.cat([a + between * (b - a) for a, b in ((order[k + 1], order[k]), (order[k], above))])
    scores[:, : len(near)], fooled[:, : len(near)] = near, True
    return {"clean_scores": clean_scores, "scores": scores, "fooled": fooled, "fpr": share}


def cut(values, fpr):
    return values.sort(descending=True).values[int(fpr * len(values))]


def won(fooled, silent):
    return (fooled & silent).double().mean(1)


@exercise(
    "Fooled, and not noticed",
    4,
    drawn_scores,
    (
        "How many of the n clean images may be flagged? At most fpr * n, so int(fpr * n). If k scores lie above the threshold, "
        "which place has it among the sorted ones?",
        "threshold = clean_scores.sort(descending=True).values[int(fpr * n)]: k scores stand before it, and are flagged.",
        "won = fooled & (scores <= threshold); return won.double().mean(1): for each attack the share of all its images.",
    ),
    shape=lambda case: (len(case["scores"]),),
)
def win_rate(clean_scores, scores, fooled, fpr):
    return won(fooled, scores <= cut(clean_scores, fpr))


@win_rate.slip(
    "tuned on each attack",
    "Each attack has a threshold of its own, made from its scores. Whoever defends does not know which attack will come: fix "
    "one, on clean_scores.",
)
def one_for_each_attack(clean_scores, scores, fooled, fpr):
    return won(fooled, scores <= torch.stack([cut(row, fpr) for row in scores])[:, None])


@win_rate.slip(
    "best cut",
    "Each attack has the threshold that suits it best. Whoever defends does not know which attack will come: fix one, on "
    "clean_scores.",
)
def youden(clean_scores, scores, fooled, fpr):
    every = torch.cat([clean_scores, scores.flatten()]).sort().values
    flagged = (scores[:, :, None] > every).double().mean(1)
    gain = flagged - (clean_scores[:, None] > every).double().mean(0)
    return won(fooled, scores <= every[gain.argmax(1)][:, None])


@win_rate.slip(
    "pooled",
    "Attacked images take part in the threshold. It comes from clean_scores alone, before any attack.",
)
def all_scores_together(clean_scores, scores, fooled, fpr):
    return win_rate(torch.cat([clean_scores, scores.flatten()]), scores, fooled, fpr)


@win_rate.slip(
    "wrong end",
    "The threshold is at the wrong end of the clean scores: nearly all clean images are flagged. High scores are suspicious.",
)
def sorted_upwards(clean_scores, scores, fooled, fpr):
    return won(fooled, scores <= clean_scores.sort().values[int(fpr * len(clean_scores))])


@win_rate.slip(
    "low scores flagged",
    "You flag the lowest scores. High ones are suspicious: flagged is what lies above the threshold.",
)
def flagged_below(clean_scores, scores, fooled, fpr):
    return win_rate(-clean_scores, -scores, fooled, fpr)


@win_rate.slip(
    "wins when flagged",
    "You count what is fooled and flagged. A flagged image is caught: the attacker wins where it is not.",
)
def not_forgotten(clean_scores, scores, fooled, fpr):
    return won(fooled, scores > cut(clean_scores, fpr))


@win_rate.slip(
    "no need to fool",
    "Attacks count that pass unnoticed, but fool nobody. The attacker wins where the model is fooled and the detector silent.",
)
def fooled_unused(clean_scores, scores, fooled, fpr):
    return (scores <= cut(clean_scores, fpr)).double().mean(1)


@win_rate.slip(
    "a large number",
    "Where scores are larger still, attacks count that have not fooled: a large number stands for them, and the threshold may be "
    "larger. Use torch.inf, or fooled & (scores <= threshold).",
)
def failures_at_999(clean_scores, scores, fooled, fpr):
    return (torch.where(fooled, scores, 999.0) <= cut(clean_scores, fpr)).double().mean(1)


@win_rate.slip("either will do", "An image counts that fools or passes unnoticed. The attacker needs both.")
def or_instead_of_and(clean_scores, scores, fooled, fpr):
    return (fooled | (scores <= cut(clean_scores, fpr))).double().mean(1)


@win_rate.slip(
    "among the fooled",
    "You divide by the images that fool. Then an attack that seldom fools looks as good as one that always does. Divide by all.",
)
def over_the_fooled(clean_scores, scores, fooled, fpr):
    return (fooled & (scores <= cut(clean_scores, fpr))).sum(1) / fooled.sum(1)


@win_rate.slip("no detector", "This is the share that fools. The detector plays no part in it.")
def success_rate(clean_scores, scores, fooled, fpr):
    return fooled.double().mean(1)


@win_rate.slip(
    "detection rate", "This is the share that is flagged: the detector's view. Count the attacker's wins."
)
def true_positives(clean_scores, scores, fooled, fpr):
    return (scores > cut(clean_scores, fpr)).double().mean(1)


@win_rate.slip("defender's view", "This is the share that the attacker does not win: 1 minus the answer.")
def what_is_left(clean_scores, scores, fooled, fpr):
    return 1 - win_rate(clean_scores, scores, fooled, fpr)


@win_rate.slip(
    "percentage",
    "fpr is a share: 0.05 is 5 %. You read it as a percentage, so that next to nothing is flagged.",
)
def out_of_a_hundred(clean_scores, scores, fooled, fpr):
    return win_rate(clean_scores, scores, fooled, fpr / 100)


@win_rate.slip("fixed cut", "The threshold is 0.5, whatever the scores. It comes from clean_scores and fpr.")
def one_half(clean_scores, scores, fooled, fpr):
    return won(fooled, scores <= 0.5)


@win_rate.slip(
    "everything flagged",
    "Of so few clean images that int(fpr * n) is 0, all are flagged: values[-0] is the first one, the smallest. Sort downwards, "
    "and take values[int(fpr * n)].",
)
def counted_from_the_end(clean_scores, scores, fooled, fpr):
    return won(fooled, scores <= clean_scores.sort().values[-int(fpr * len(clean_scores))])


@win_rate.slip(
    "one too few",
    "One clean image more can be flagged, and the share is still at most fpr: your threshold is the next larger score.",
)
def largest_k(clean_scores, scores, fooled, fpr):
    k = max(int(fpr * len(clean_scores)), 1)
    return won(fooled, scores <= clean_scores.topk(k).values[-1])


@win_rate.slip(
    "one image less",
    'Your threshold goes by n - 1 clean images, as a quantile does (numpy\'s method="higher" too). Where fpr * n is just above a '
    "whole number, one image too few is flagged: take values[int(fpr * n)].",
)
def place_among_n_minus_1(clean_scores, scores, fooled, fpr):
    place = int(fpr * (len(clean_scores) - 1))
    return won(fooled, scores <= clean_scores.sort(descending=True).values[place])


@win_rate.slip(
    "less than fpr",
    "Where fpr * n is a whole number, so many clean images may be flagged: at most the share fpr, not less than it.",
)
def strictly_below(clean_scores, scores, fooled, fpr):
    allowed = [t for t in clean_scores if (clean_scores > t).double().mean() < fpr]
    return won(fooled, scores <= min(allowed))


@win_rate.slip(
    "promise broken",
    "More than the share fpr of the clean images is flagged, by one image: fpr * n must be rounded down. (torch.quantile sets a "
    "threshold between two scores.) Take the smallest clean score above which lies at most the share fpr.",
)
def torch_quantile(clean_scores, scores, fooled, fpr):
    return won(fooled, scores <= clean_scores.quantile(1 - fpr))


@win_rate.slip("promise broken")
def torch_quantile_rounded_down(clean_scores, scores, fooled, fpr):
    return won(fooled, scores <= clean_scores.quantile(1 - fpr, interpolation="lower"))


@win_rate.slip("promise broken")
def torch_quantile_rounded(clean_scores, scores, fooled, fpr):
    return won(fooled, scores <= clean_scores.quantile(1 - fpr, interpolation="nearest"))


@win_rate.slip(
    "flagged at the threshold",
    "An image whose score equals the threshold is flagged. Flagged is only what lies above it; else many clean images that share "
    "a score are flagged at once.",
)
def ties_flagged(clean_scores, scores, fooled, fpr):
    return won(fooled, scores < cut(clean_scores, fpr))


@win_rate.right
def tries_every_threshold(clean_scores, scores, fooled, fpr):
    allowed = [t for t in clean_scores.tolist() if float((clean_scores > t).double().mean()) <= fpr]
    threshold, rates = min(allowed), []
    for row, hits in zip(scores.tolist(), fooled.tolist()):
        rates.append(sum(hit and not score > threshold for score, hit in zip(row, hits)) / len(row))
    return torch.tensor(rates, device=scores.device)


@win_rate.right
def with_topk(clean_scores, scores, fooled, fpr):
    threshold = clean_scores.topk(math.floor(fpr * len(clean_scores)) + 1).values[-1]
    return (fooled & ~(scores > threshold)).sum(1) / scores.shape[1]


@win_rate.right
def failures_at_infinity(clean_scores, scores, fooled, fpr):
    return (torch.where(fooled, scores, torch.inf) <= cut(clean_scores, fpr)).double().mean(1)


@win_rate.wrong("a large number")
def failures_at_a_billion(clean_scores, scores, fooled, fpr):
    return (torch.where(fooled, scores, 1e9) <= cut(clean_scores, fpr)).double().mean(1)


@win_rate.wrong("one image less")
def with_numpys_higher_quantile(clean_scores, scores, fooled, fpr):
    threshold = np.quantile(clean_scores.cpu().numpy(), 1 - fpr, method="higher")
    return won(fooled, scores <= float(threshold))


@win_rate.wrong("formula")
def mean_plus_two_deviations(clean_scores, scores, fooled, fpr):
    return won(fooled, scores <= clean_scores.mean() + 2 * clean_scores.std())


@win_rate.wrong("shape")
def one_number(clean_scores, scores, fooled, fpr):
    return win_rate(clean_scores, scores, fooled, fpr).mean()


@win_rate.wrong("type")
def a_list_of_rates(clean_scores, scores, fooled, fpr):
    return win_rate(clean_scores, scores, fooled, fpr).tolist()


@win_rate.wrong("input")
def sorted_in_place(clean_scores, scores, fooled, fpr):
    clean_scores[:] = clean_scores.sort(descending=True).values
    return won(fooled, scores <= clean_scores[int(fpr * len(clean_scores))])


@win_rate.wrong("crash")
def share_for_an_index(clean_scores, scores, fooled, fpr):
    return won(fooled, scores <= clean_scores.sort(descending=True).values[fpr * len(clean_scores)])


@win_rate.wrong("other amount")
def four_attacks(clean_scores, scores, fooled, fpr):
    threshold = cut(clean_scores, fpr)
    return torch.stack([(fooled[a] & (scores[a] <= threshold)).double().mean() for a in range(4)])


def three_attacks(task: Task, draw: Draw) -> Case:
    return task.case(draw, **drawn_scores(draw, None, attacks=3))


def many_and_few(task: Task, draw: Draw) -> list[Case]:
    """150 clean scores, 6 of which may be flagged; 30, of which none, one or just two may be; 32, of which exactly two may be.

    The last ones are vast, so that none is above whatever number stands for an attack that has not fooled.
    """
    exact = {**drawn_scores(draw, None, clean=32, fpr=(0.04, 0.06)), "fpr": 1 / 16}
    few = (drawn_scores(draw, None, clean=30, fpr=of) for of in ((0.01, 0.02), (0.04, 0.06), (0.067, 0.068)))
    vast = {name: VAST * exact[name] for name in ("clean_scores", "scores")}
    return [task.case(draw), *(task.case(draw, **values) for values in (*few, exact | vast))]


def equal_ones(task: Task, draw: Draw) -> Case:
    """Clean scores that are equal at the threshold, some attacked ones too."""
    case = task.case(draw, **drawn_scores(draw, None, clean=60, fpr=(0.07, 0.08)))
    clean, attacked = ((case[name] * 5).ceil() / 5 for name in ("clean_scores", "scores"))
    return case.but(clean_scores=clean, scores=attacked)


win_rate.checks(
    *FIRST,
    other_amount("It works for four attacks and fails for three.", three_attacks),
    gives(win_rate, NUMBERS, make=many_and_few),
    gives(win_rate, NUMBERS, ("flagged at the threshold",), make=equal_ones),
    *LAST,
)
