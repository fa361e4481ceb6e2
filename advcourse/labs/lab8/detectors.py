"""Feature squeezing's score, and several detectors together, as the judge computes them; and the slips known by their results."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from advcourse.labs.checks import Case, Draw, Task
from advcourse.labs.lab8.defended import Squeezer
from advcourse.labs.numbers import gives
from advcourse.labs.properties import other_amount


def squeezers(draw: Draw, x: Tensor, number: int = 3) -> dict[str, tuple[Squeezer, ...]]:
    """So many squeezers, up to four, in a fresh order."""
    shape, bits = tuple(x.shape[1:]), 1 + draw.integer() % 2
    all_four = [
        Squeezer("levels", bits=bits, shape=shape),
        Squeezer("median"),
        Squeezer("blur"),
        Squeezer("levels", bits=3 - bits, shape=shape),
    ]
    some, first = all_four[:number], draw.integer() % number
    return {"squeezers": tuple(some[first:] + some[:first])}


def two_questions(task: Task, draw: Draw) -> tuple[Case, Case]:
    """With three squeezers, and with four, the last of which moves the first image most, and the first not least."""
    three, four = (_with_squeezers(task, draw, number).to(torch.float64) for number in (3, 4))
    least, *others = _moved(four).abs().sum(-1)[:, 0].argsort().tolist()
    return three, four.but(squeezers=tuple(four["squeezers"][i] for i in (others[0], least, *others[1:])))


def _with_squeezers(task, draw, number):
    case = task.case(draw, n=8)
    return case.but(**squeezers(draw, case["x"], number))


def two_squeezers(task: Task, draw: Draw) -> Case:
    return _with_squeezers(task, draw, 2)


def _answers(case):
    """The logits (N, K) of the images as they are, and (J, N, K) of the squeezed ones."""
    f, x = case.victim.build(torch.float64), case["x"].double()
    squeezed = [squeezer.build(torch.float64)(x) for squeezer in case["squeezers"]]
    with torch.no_grad():
        return f(x), torch.stack([f(image) for image in squeezed])


def _moved(case, of=lambda z: z.softmax(-1)):
    """By how much each squeezer moves each class, (J, N, K)."""
    plain, squeezed = _answers(case)
    return of(squeezed) - of(plain)


def score(case: Case) -> Tensor:
    return _moved(case).abs().sum(-1).amax(0)


def _by(rule, **how):
    return lambda case: rule(_moved(case, **how))


def _between_squeezed(case):
    _, squeezed = _answers(case)
    p = squeezed.softmax(-1)
    return (p[:, None] - p[None]).abs().sum(-1).amax((0, 1))


def _one_after_the_other(case):
    f, x = case.victim.build(torch.float64), case["x"].double()
    image = x
    for squeezer in case["squeezers"]:
        image = squeezer.build(torch.float64)(image)
    with torch.no_grad():
        return (f(image).softmax(1) - f(x).softmax(1)).abs().sum(1)


def _of_images(case):
    x = case["x"].double()
    moved = [squeezer.build(torch.float64)(x) - x for squeezer in case["squeezers"]]
    return torch.stack([change.flatten(1).abs().sum(1) for change in moved]).amax(0)


def _changes_of_answer(case):
    plain, squeezed = _answers(case)
    return (squeezed.argmax(-1) != plain.argmax(-1)).double().amax(0)


def _of_top(case):
    plain, squeezed = _answers(case)
    top = plain.argmax(1)[None, :, None].expand(len(squeezed), -1, 1)
    return (squeezed.softmax(-1).gather(2, top) - plain.softmax(-1).gather(1, top[0])).abs()[..., 0].amax(0)


_SCORE_SLIPS = (
    (
        "logits",
        "The distance is that of the logits. Two answers that are equally sure may have very different logits: compare "
        "probabilities, softmax(1).",
        _by(lambda moved: moved.abs().sum(-1).amax(0), of=lambda z: z),
    ),
    (
        "log-probabilities",
        "The distance is that of the log-probabilities, where classes that nobody thinks of weigh most. Compare probabilities.",
        _by(lambda moved: moved.abs().sum(-1).amax(0), of=lambda z: z.log_softmax(-1)),
    ),
    (
        "mean over squeezers",
        "The distances are averaged over the squeezers. One squeezer that raises the alarm is then outvoted: take the largest.",
        _by(lambda moved: moved.abs().sum(-1).mean(0)),
    ),
    (
        "sum over squeezers",
        "The distances are added up over the squeezers. Take the largest of them.",
        _by(lambda moved: moved.abs().sum(-1).sum(0)),
    ),
    (
        "smallest",
        "You take the smallest distance: an attack needs to fool one squeezer only. Take the largest.",
        _by(lambda moved: moved.abs().sum(-1).amin(0)),
    ),
    (
        "first squeezer alone",
        "Only the first squeezer counts. Compare with each of them, and take the largest distance.",
        _by(lambda moved: moved.abs().sum(-1)[0]),
    ),
    (
        "first three alone",
        "Only the first three squeezers count, and there may be more. Compare with each of them.",
        _by(lambda moved: moved[:3].abs().sum(-1).amax(0)),
    ),
    (
        "last squeezer alone",
        "Only the last squeezer counts. Is the distance overwritten in the loop? Take the largest of all.",
        _by(lambda moved: moved.abs().sum(-1)[-1]),
    ),
    (
        "L2",
        "This is the L2 distance. The score is the L1 distance: the sum of absolute values.",
        _by(lambda m: m.norm(dim=-1).amax(0)),
    ),
    (
        "largest class",
        "Only the class that moves most counts. L1 is the sum over all classes.",
        _by(lambda moved: moved.abs().amax(-1).amax(0)),
    ),
    (
        "mean over classes",
        "The absolute differences are averaged over the classes. L1 is their sum, which reaches from 0 to 2.",
        _by(lambda moved: moved.abs().mean(-1).amax(0)),
    ),
    (
        "half",
        "This is half of the L1 distance. The score reaches from 0 to 2.",
        _by(lambda moved: moved.abs().sum(-1).amax(0) / 2),
    ),
    (
        "signed sum",
        "The differences are added up with their signs. Two softmaxes both sum to 1, so that this is always 0. Take abs() first.",
        lambda case: torch.zeros(len(case["x"]), dtype=torch.float64),
    ),
    (
        "among themselves",
        "The squeezed images are compared with each other. Compare each with the image as it is.",
        _between_squeezed,
    ),
    (
        "one after the other",
        "The squeezers work one after the other on the same image. Each has the image as it came.",
        _one_after_the_other,
    ),
    (
        "images",
        "This says how far the images move. Ask how far the model's probabilities do.",
        _of_images,
    ),
    (
        "answers",
        "This says whether the answer changes. The score is finer: how far the probabilities move.",
        _changes_of_answer,
    ),
    (
        "largest of each class",
        "The largest change is taken for each class before the sum, so that different squeezers have a part in one "
        "distance. Each squeezer has one distance: sum over the classes first, then take the largest.",
        _by(lambda moved: moved.abs().amax(0).sum(-1)),
    ),
    (
        "softmax over the batch",
        "The softmax runs over the images of the batch, dim 0. Each image has probabilities of its own: softmax(1).",
        _by(lambda moved: moved.abs().sum(-1).amax(0), of=lambda z: z.softmax(-2)),
    ),
    (
        "top class alone",
        "Only the class that the model sees counts. L1 is the sum over all classes.",
        _of_top,
    ),
)

SCORE = (
    other_amount("It works for three squeezers and fails for two.", two_squeezers),
    gives(score, _SCORE_SLIPS, least=1e-9, cases=two_questions),
)


# Several detectors


def parts(
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
    for d in range(
        number
    ):  # each detector has a share of the images, whose scores lie between its largest clean ones
        own = slice(d * own_number, (d + 1) * own_number)
        place = (draw.uniform((own_number,)) * 0.4 * clean).long()
        above = 0.1 + 0.8 * draw.uniform((own_number,))
        attacked[d, own] = torch.lerp(ordered[d, place], ordered[d, place + 1], above)
        attacked[d, own][0] = 2 * ordered[d, 0]
    few = attacked[:, ::10]
    attacked[:, ::10] = few.amax(1, keepdim=True).expand_as(few).where(draw.uniform(few.shape) < 0.5, few)
    return {"clean_scores": scale * clean_scores, "scores": scale * attacked, "fpr": fpr}


def many_and_few(task: Task, draw: Draw) -> tuple[Case, ...]:
    """160 clean images, 4 of which each of three detectors may flag, or 16 each of two; and 30, of which none may be."""
    others = ({"clean": 30, "share": (0.04, 0.06)}, {"share": (0.2115, 0.2124), "number": 2})
    return task.case(draw), *(task.case(draw, **parts(draw, None, **how)) for how in others)


def two_detectors(task: Task, draw: Draw) -> Case:
    return task.case(draw, **parts(draw, None, number=2))


def equal_ones(task: Task, draw: Draw) -> tuple[Case]:
    """Scores of which many are equal: the clean ones at the threshold, and attacked ones with them."""
    case = task.case(draw)
    step = torch.tensor([0.25, 5.0, 0.0125])[:, None]
    clean, attacked = ((case[name] / step).ceil() * step for name in ("clean_scores", "scores"))
    return (case.but(clean_scores=clean, scores=attacked),)


def _cut(clean, share):
    """For each detector the smallest clean score (D, 1) above which lies at most the share of its clean scores."""
    allowed = math.floor(share * clean.shape[1] + 1e-9)
    return clean.sort(dim=1, descending=True).values[:, allowed : allowed + 1]


def _scores(case):
    return case["clean_scores"].double(), case["scores"].double(), case["fpr"]


def flags(
    case: Case, cut: Callable | None = None, flagged: Callable = torch.gt, joined: Callable = torch.any
) -> Tensor:
    """Which images are flagged, (N,). `cut(clean, scores, fpr, D)`, `flagged` and `joined` serve the slips."""
    clean, scores, fpr = _scores(case)
    cut = cut or (lambda clean, scores, fpr, d: _cut(clean, fpr / d))
    return joined(flagged(scores, cut(clean, scores, fpr, len(clean))), 0).double()


def _with(**how):
    return lambda case: flags(case, **how)


def _cut_at(rule):
    return _with(cut=rule)


def _pooled(clean, scores, fpr, d):
    return _cut(clean.reshape(1, -1), fpr / d)


_FLAG_SLIPS = (
    (
        "budget spent by each",
        "Each detector flags the share fpr of its own. Together they flag up to D times as much, for clean images that "
        "one finds odd need not be those of another. Each has fpr / D.",
        _cut_at(lambda clean, scores, fpr, d: _cut(clean, fpr)),
    ),
    (
        "as if independent",
        "Each detector flags the share 1 - (1 - fpr)^(1 / D) of its own. That keeps the promise only if the detectors err "
        "independently, which nobody has promised; fpr / D keeps it in any case.",
        _cut_at(lambda clean, scores, fpr, d: _cut(clean, 1 - (1 - fpr) ** (1 / d))),
    ),
    (
        "all must agree",
        "An image is flagged only where all detectors flag it. One is enough: any(0), not all(0).",
        _with(joined=torch.all),
    ),
    (
        "one scale for all",
        "The scores of different detectors are sorted together, or compared with each other, so that the one with the largest "
        "numbers decides alone. Each has a scale, and a threshold, of its own.",
        _cut_at(_pooled),
    ),
    (
        "wrong end",
        "The thresholds come from the small end: nearly all clean images lie above them. Sort with descending=True.",
        _cut_at(
            lambda clean, scores, fpr, d: clean.sort(1).values[:, int(fpr / d * clean.shape[1])][:, None]
        ),
    ),
    (
        "everything flagged",
        "Where int(fpr / D * M) is 0, nearly everything is flagged: values[-0] is the first, the smallest score. (MagNet's own "
        "code does so.) Sort downwards, and take values[int(fpr / D * M)].",
        _cut_at(
            lambda clean, scores, fpr, d: clean.sort(1).values[:, -int(fpr / d * clean.shape[1])][:, None]
        ),
    ),
    (
        "one too few",
        "Each detector could flag one clean image more, and would still be within fpr / D: your thresholds are one score "
        "too high.",
        _cut_at(lambda clean, scores, fpr, d: _one_higher(clean, fpr / d)),
    ),
    *(
        (
            "promise broken",
            "A detector flags more than the share fpr / D of its clean images, by one: fpr / D * M must be rounded down. "
            "(torch.quantile sets a threshold between two scores.) Take the smallest clean score above which lies at most that "
            "share.",
            _cut_at(
                lambda clean, scores, fpr, d, how=how: clean.quantile(1 - fpr / d, 1, True, interpolation=how)
            ),
        )
        for how in ("linear", "lower", "nearest", "midpoint")
    ),
    (
        "tuned on the attack",
        "The thresholds come from the attacked scores. Whoever defends has seen clean images alone: take clean_scores.",
        _cut_at(lambda clean, scores, fpr, d: _cut(scores, fpr / d)),
    ),
    (
        "passed",
        "True stands where an image passes. Flagged is what lies above a threshold.",
        lambda case: 1 - flags(case),
    ),
    (
        "percentage",
        "fpr is a share: 0.05 is 5 %. You read it as a percentage, so that next to nothing is flagged.",
        _cut_at(lambda clean, scores, fpr, d: _cut(clean, fpr / d / 100)),
    ),
    (
        "first detector alone",
        "Only the first detector counts. An image is flagged where any of them flags it.",
        _with(joined=lambda above, axis: above[0]),
    ),
    (
        "always three",
        "fpr is divided by 3, however many detectors there are. Divide by their number: len(clean_scores).",
        _cut_at(lambda clean, scores, fpr, d: _cut(clean, fpr / 3)),
    ),
    (
        "majority",
        "An image is flagged where most detectors flag it. One is enough.",
        _with(joined=lambda above, axis: above.double().sum(axis) > len(above) / 2),
    ),
)

_EQUAL_SLIPS = (
    (
        "flagged at the threshold",
        "An image whose score equals a threshold is flagged. Flagged is only what lies above it; else all clean images that "
        "share that score are flagged, and the promise is broken.",
        _with(flagged=torch.ge),
    ),
)


def _one_higher(clean, share):
    allowed = max(math.floor(share * clean.shape[1]) - 1, 0)
    return clean.sort(dim=1, descending=True).values[:, allowed : allowed + 1]


FLAGS = (
    other_amount("It works for three detectors and fails for two.", two_detectors),
    gives(flags, _FLAG_SLIPS + _EQUAL_SLIPS, cases=many_and_few),
    gives(flags, _EQUAL_SLIPS, cases=equal_ones),
)
