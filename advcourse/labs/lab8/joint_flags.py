"""Lab 8: several detectors, one promise."""

import math

import numpy as np
import torch
from torch import Tensor

from advcourse.labs.comparing import NUMBERS, gives
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab8.questions import FIRST, LAST
from advcourse.labs.properties import other_amount


def detectors(
    draw: Draw,
    x: Tensor | None,
    clean: int = 160,
    n: int = 300,
    share: tuple[float, float] = (0.092, 0.0933),
    number: int = 3,
) -> dict[str, Tensor | float]:
    """Clean and attacked scores of so many detectors, each on a scale of its own; many lie around the thresholds."""
    scale = torch.tensor([1.0, 20.0, 0.05, 5.0])[:number, None]
    clean_scores = (draw.normal((number, clean)) / 2).exp()
    low = clean_scores.quantile(0.5, dim=1, keepdim=True)
    attacked = low * draw.uniform((number, n))
    fpr = draw.number(*share)
    ordered = clean_scores.sort(dim=1, descending=True).values
    own_number = n // number
    for d in range(number):  # the scores of a detector's own images lie between its largest clean ones
        own = slice(d * own_number, (d + 1) * own_number)
        place = (draw.uniform((own_number,)) * 0.4 * clean).long()
        above = 0.1 + 0.8 * draw.uniform((own_number,))
        attacked[d, own] = torch.lerp(ordered[d, place], ordered[d, place + 1], above)
        attacked[d, own][0] = 2 * ordered[d, 0]
    few = attacked[:, ::10]
    attacked[:, ::10] = few.amax(1, keepdim=True).expand_as(few).where(draw.uniform(few.shape) < 0.5, few)
    return {"clean_scores": scale * clean_scores, "scores": scale * attacked, "fpr": fpr}


def cut(clean, share):
    """(D, 1): above it lies at most the share of each row."""
    k = int(share * clean.shape[1])
    return clean.sort(dim=1, descending=True).values[:, k : k + 1]


@exercise(
    "Several detectors, one promise",
    4,
    detectors,
    (
        "D, M = clean_scores.shape. Each detector may flag at most the share fpr / D of the M clean images: how many are that?",
        "ordered = clean_scores.sort(dim=1, descending=True).values. Above ordered[:, k] lie at most k scores, so k = "
        "int(fpr / D * M), which may be 0.",
        "threshold = ordered[:, k : k + 1], (D, 1); return (scores > threshold).any(0).",
    ),
    shape=lambda case: (case["scores"].shape[1],),
    numbers="whole",
)
def joint_flags(clean_scores, scores, fpr):
    return (scores > cut(clean_scores, fpr / len(clean_scores))).any(0)


@joint_flags.slip(
    "budget spent by each",
    "Each detector flags the share fpr of its own. Together they flag up to D times as much, for clean images that "
    "one finds odd need not be those of another. Each has fpr / D.",
)
def each_the_whole(clean_scores, scores, fpr):
    return (scores > cut(clean_scores, fpr)).any(0)


@joint_flags.slip(
    "as if independent",
    "Each detector flags the share 1 - (1 - fpr)^(1 / D) of its own. That keeps the promise only if the detectors err "
    "independently, which nobody has promised; fpr / D keeps it in any case.",
)
def sidaks_share(clean_scores, scores, fpr):
    return (scores > cut(clean_scores, 1 - (1 - fpr) ** (1 / len(clean_scores)))).any(0)


@joint_flags.slip(
    "all must agree",
    "An image is flagged only where all detectors flag it. One is enough: any(0), not all(0).",
)
def every_one(clean_scores, scores, fpr):
    return of_each_detector(clean_scores, scores, fpr).all(0)


@joint_flags.slip(
    "one scale for all",
    "The scores of different detectors are sorted together, or compared with each other, so that the one with the largest "
    "numbers decides alone. Each has a scale, and a threshold, of its own.",
)
def pooled(clean_scores, scores, fpr):
    return (scores > cut(clean_scores.reshape(1, -1), fpr / len(clean_scores))).any(0)


@joint_flags.slip(
    "wrong end",
    "The thresholds come from the small end: nearly all clean images lie above them. Sort with descending=True.",
)
def sorted_upwards(clean_scores, scores, fpr):
    k = int(fpr / len(clean_scores) * clean_scores.shape[1])
    return (scores > clean_scores.sort(dim=1).values[:, k : k + 1]).any(0)


@joint_flags.slip(
    "everything flagged",
    "Where int(fpr / D * M) is 0, nearly everything is flagged: values[-0] is the first, the smallest score. (MagNet's own "
    "code does so.) Sort downwards, and take values[int(fpr / D * M)].",
)
def magnets_index(clean_scores, scores, fpr):
    k = int(fpr / len(clean_scores) * clean_scores.shape[1])
    return (scores > clean_scores.sort(dim=1).values[:, -k][:, None]).any(0)


@joint_flags.slip(
    "one too few",
    "Each detector could flag one clean image more, and would still be within fpr / D: your thresholds are one score "
    "too high.",
)
def kth_largest(clean_scores, scores, fpr):
    k = max(int(fpr / len(clean_scores) * clean_scores.shape[1]), 1)
    return (scores > clean_scores.topk(k, dim=1).values[:, -1:]).any(0)


def above_quantile(clean_scores, scores, fpr, interpolation):
    share = 1 - fpr / len(clean_scores)
    return (scores > clean_scores.quantile(share, 1, True, interpolation=interpolation)).any(0)


@joint_flags.slip(
    "promise broken",
    "A detector flags more than the share fpr / D of its clean images, by one: fpr / D * M must be rounded down. "
    "(torch.quantile sets a threshold between two scores.) Take the smallest clean score above which lies at most that "
    "share.",
)
def torch_quantile(clean_scores, scores, fpr):
    return above_quantile(clean_scores, scores, fpr, "linear")


@joint_flags.slip("promise broken")
def lower_quantile(clean_scores, scores, fpr):
    return above_quantile(clean_scores, scores, fpr, "lower")


@joint_flags.slip("promise broken")
def nearest_quantile(clean_scores, scores, fpr):
    return above_quantile(clean_scores, scores, fpr, "nearest")


@joint_flags.slip("promise broken")
def middle_quantile(clean_scores, scores, fpr):
    return above_quantile(clean_scores, scores, fpr, "midpoint")


@joint_flags.slip(
    "tuned on the attack",
    "The thresholds come from the attacked scores. Whoever defends has seen clean images alone: take clean_scores.",
)
def from_the_attack(clean_scores, scores, fpr):
    return joint_flags(scores, scores, fpr)


@joint_flags.slip("passed", "True stands where an image passes. Flagged is what lies above a threshold.")
def not_flagged(clean_scores, scores, fpr):
    return ~joint_flags(clean_scores, scores, fpr)


@joint_flags.slip(
    "percentage",
    "fpr is a share: 0.05 is 5 %. You read it as a percentage, so that next to nothing is flagged.",
)
def out_of_a_hundred(clean_scores, scores, fpr):
    return joint_flags(clean_scores, scores, fpr / 100)


@joint_flags.slip(
    "first detector alone",
    "Only the first detector counts. An image is flagged where any of them flags it.",
)
def first_row(clean_scores, scores, fpr):
    return of_each_detector(clean_scores, scores, fpr)[0]


@joint_flags.slip(
    "always three",
    "fpr is divided by 3, however many detectors there are. Divide by their number: len(clean_scores).",
)
def a_third_of_the_promise(clean_scores, scores, fpr):
    return (scores > cut(clean_scores, fpr / 3)).any(0)


@joint_flags.slip("majority", "An image is flagged where most detectors flag it. One is enough.")
def most_of_them(clean_scores, scores, fpr):
    return of_each_detector(clean_scores, scores, fpr).double().mean(0) > 0.5


@joint_flags.slip(
    "flagged at the threshold",
    "An image whose score equals a threshold is flagged. Flagged is only what lies above it; else all clean images that "
    "share that score are flagged, and the promise is broken.",
)
def ties_flagged(clean_scores, scores, fpr):
    return (scores >= cut(clean_scores, fpr / len(clean_scores))).any(0)


@joint_flags.right
def with_topk(clean_scores, scores, fpr):
    d, m = clean_scores.shape
    threshold = clean_scores.topk(math.floor(fpr / d * m) + 1, dim=1).values[:, -1:]
    return (scores - threshold > 0).sum(0).clamp(max=1)


@joint_flags.right
def with_numpys_higher_quantile(clean_scores, scores, fpr):
    flagged = torch.zeros(scores.shape[1], device=scores.device)
    for clean, row in zip(clean_scores, scores):
        share = fpr / len(clean_scores)
        threshold = np.quantile(clean.cpu().numpy(), 1 - share, method="higher")
        flagged = torch.maximum(flagged, (row > float(threshold)).float())
    return flagged


@joint_flags.right
def tries_every_threshold(clean_scores, scores, fpr):
    rows = []
    for clean, row in zip(clean_scores, scores):
        above = (clean[:, None] > clean).double().mean(0)
        rows.append(row > clean[above <= fpr / len(clean_scores)].min())
    return torch.stack(rows).any(0)


@joint_flags.wrong("promise broken")
def rounded_up(clean_scores, scores, fpr):
    k = math.ceil(fpr / len(clean_scores) * clean_scores.shape[1])
    return (scores > clean_scores.sort(dim=1, descending=True).values[:, k : k + 1]).any(0)


@joint_flags.wrong("formula")
def mean_plus_two_deviations(clean_scores, scores, fpr):
    return (scores > (clean_scores.mean(1) + 2 * clean_scores.std(1))[:, None]).any(0)


@joint_flags.wrong("shape")
def of_each_detector(clean_scores, scores, fpr):
    return scores > cut(clean_scores, fpr / len(clean_scores))


@joint_flags.wrong("type")
def a_list(clean_scores, scores, fpr):
    return joint_flags(clean_scores, scores, fpr).tolist()


@joint_flags.wrong("input")
def sorted_in_place(clean_scores, scores, fpr):
    clean_scores[:] = clean_scores.sort(dim=1, descending=True).values
    return joint_flags(clean_scores, scores, fpr)


@joint_flags.wrong("crash")
def share_for_an_index(clean_scores, scores, fpr):
    k = fpr / len(clean_scores) * clean_scores.shape[1]
    return (scores > clean_scores.sort(dim=1).values[:, k]).any(0)


@joint_flags.wrong("other amount")
def three_detectors(clean_scores, scores, fpr):
    above = scores > cut(clean_scores, fpr / 3)
    return above[0] | above[1] | above[2]


def many_and_few(task: Task, draw: Draw) -> tuple[Case, ...]:
    """160 clean images, 4 of which each of three detectors may flag, or 16 each of two; and 30, of which none may be."""
    others = ({"clean": 30, "share": (0.053, 0.06)}, {"share": (0.2115, 0.2124), "number": 2})
    return task.case(draw), *(task.case(draw, **detectors(draw, None, **how)) for how in others)


def two_detectors(task: Task, draw: Draw) -> Case:
    """One detector fewer than otherwise."""
    return task.case(draw, **detectors(draw, None, number=2))


def equal_ones(task: Task, draw: Draw) -> Case:
    """Scores of which many are equal: the clean ones at the threshold, and attacked ones with them."""
    case = task.case(draw)
    step = torch.tensor([0.25, 5.0, 0.0125])[:, None]
    clean, attacked = ((case[name] / step).ceil() * step for name in ("clean_scores", "scores"))
    return case.but(clean_scores=clean, scores=attacked)


joint_flags.checks(
    *FIRST,
    other_amount("It works for three detectors and fails for two.", two_detectors),
    gives(joint_flags, by=NUMBERS, make=many_and_few),
    gives(joint_flags, by=NUMBERS, make=equal_ones, keys=("flagged at the threshold",)),
    *LAST,
)
