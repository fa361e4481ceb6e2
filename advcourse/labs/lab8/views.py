"""What `show` shows for each task: a function of `ask` that gives sentences, a figure, and what kind of figure it is.

`ask(shape, victim, **arguments)` calls the student's function and gives numbers (float64) of that shape.
"""

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from advcourse import attacks, data, plots
from advcourse.core.inputs import predict
from advcourse.core.rounding import number, percent
from advcourse.labs.lab8.defended import Defended, Squeezer
from advcourse.labs.lab8.eot_gradient import each_draw
from advcourse.labs.lab8.gradients import gradient
from advcourse.labs.measuring import known_digits
from advcourse.labs.victims import Victim
from advcourse.metrics import auc

MODEL = Victim("mnist-cnn")
SQUEEZERS = (Squeezer("levels"), Squeezer("median"), Squeezer("blur"))
DETECTORS = ("one bit", "median", "blur")
PASSES = 20


@cache
def model() -> nn.Module:
    return MODEL.build()


def behind(*parts: tuple[str, int]) -> Defended:
    return Defended("mnist-cnn", parts=parts, drawn=1)


def right(x: Tensor, y: Tensor) -> Tensor:
    """The share of the images that the model gets right."""
    return (predict(model(), x).argmax(1) == y).double().mean()


def _listed(row, words):
    """A dictionary in words: "name value, name value"."""
    return ", ".join(f"{name} {words(value)}" for name, value in row.items())


# Transform


def _quantise(ask):
    x, y = known_digits(MODEL, 100)
    budgets, rows, pictures = (0.1, 0.2, 0.3), {}, {}
    for eps in budgets:
        attacked = attacks.PGD(eps=eps, steps=10)(model(), x, y)
        seen = {"as it is": attacked}
        for bits in (1, 2, 3):
            seen[f"{bits} bit{'s' * (bits > 1)}"] = ask(x.shape, x=attacked, bits=bits).float().clamp(0, 1)
        rows[f"eps = {eps}"] = {name: right(images, y) for name, images in seen.items()}
        if eps == 0.2:
            pictures = {name: images[3] for name, images in seen.items()}
    moved = {name: (images - x[3]).abs().max() for name, images in pictures.items()}
    sentences = [f"{name}: right {_listed(row, percent)}." for name, row in rows.items()]
    sentences.append(
        f"Largest change of the digit in the picture, for which PGD had 0.2: {_listed(moved, number)}."
    )
    figure = plots.grid(
        torch.stack([x[3], *pictures.values()]), ["clean", *(f"PGD 0.2\n{name}" for name in pictures)]
    )
    return sentences, figure, "A clean digit, and the attacked one with fewer and fewer grey levels."


def _thermometer(ask):
    x, y = known_digits(MODEL, 20)
    attacked, levels = attacks.PGD(eps=0.1, steps=10)(model(), x, y), 8
    shape = (len(x), levels, *x.shape[2:])
    clean, changed = (ask(shape, x=images, levels=levels) for images in (x, attacked))
    flips = (clean != changed).double()
    sentences = [
        f"PGD with eps = 0.1 changes {percent((attacked != x).double().mean())} of the pixels, and {percent(flips.mean())} of "
        f"the switches; those of the digit in the picture, switch by switch: "
        f"{', '.join(percent(share) for share in flips[3].mean((1, 2)))}."
    ]
    pictures = torch.cat([attacked[3:4], changed[3, :, None].float().clamp(0, 1)])
    titles = ["PGD 0.1", *(f"switch {l}" for l in range(levels))]
    return (
        sentences,
        plots.grid(pictures, titles, columns=9),
        "An attacked digit, and its switches as pictures.",
    )


_BUDGETS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)


def _bpda_gradient(ask):
    x, y = known_digits(MODEL, 50)
    victim = behind(("levels", 2))
    defense = victim.build()

    def accuracy(eps, slope, steps=8):
        x_i = x
        for _ in range(steps):
            x_i = (x_i + 2.5 * eps / steps * slope(x_i).sign()).clamp(x - eps, x + eps).clamp(0, 1)
        return (predict(defense, x_i).argmax(1) == y).double().mean()

    ways = {
        "through the rounding": lambda x_i: gradient(defense, x_i, y),
        "by your gradient": lambda x_i: ask(x.shape, victim, x=x_i, y=y).float(),
    }
    curves = {name: (_BUDGETS, [accuracy(eps, slope) for eps in _BUDGETS]) for name, slope in ways.items()}
    sentences = [
        f"PGD {name} leaves {_listed(dict(zip((f'at {eps}' for eps in _BUDGETS), found)), percent)}."
        for name, (_, found) in curves.items()
    ]
    return sentences, plots.accuracy_against_eps(curves), "Accuracy curves."


def _eot_gradient(ask):
    x, y = known_digits(MODEL, 20)
    reach, numbers = 2, (1, 3, 10, 30, 100)
    victim = behind(("shift", reach))
    defense = victim.build()
    expected = each_draw(defense[-1], defense[0].moves, x, y).mean(0).flatten(1).double()

    def cosine(found):
        return torch.nn.functional.cosine_similarity(found.flatten(1).double(), expected).mean()

    along = [cosine(ask(x.shape, victim, x=x, y=y, draws=draws)) for draws in numbers]
    alone = cosine(gradient(defense[-1], x, y))
    sentences = [
        f"Cosine with the gradient of all {(2 * reach + 1) ** 2} shifts together: "
        f"{_listed(dict(zip((f'{n} draws' for n in numbers), along)), number)}; of the classifier's own gradient "
        f"{number(alone)}."
    ]
    curves = {"your mean gradient": (numbers, along), "classifier alone": (numbers, [alone] * len(numbers))}
    figure = plots.lines(curves, "draws", "cosine with the expected gradient")
    (axis,) = figure.axes
    axis.set(xscale="log")
    axis.set_xticks(numbers, [str(n) for n in numbers])
    axis.minorticks_off()
    return sentences, figure, "A curve that rises with the number of draws."


# Vote


def _region_votes(ask):
    x, y = known_digits(MODEL, 20)
    kinds = {
        "clean": x,
        "C&W": attacks.CWL2()(model(), x, y),
        "PGD 0.3": attacks.PGD(eps=0.3, steps=10)(model(), x, y),
    }
    radii, voters = (0.01, 0.1, 0.2, 0.3, 0.4), 50
    cube = 2 * torch.rand((voters, *x.shape[1:]), generator=torch.Generator().manual_seed(0)) - 1
    curves, sentences = {}, []
    for name, images in kinds.items():
        votes = [
            ask((len(x), 10), behind(("at most", 256)), x=images, noise=radius * cube, most=256)
            for radius in radii
        ]
        share = [(found * one_hot(y, 10)).sum(1).mean() / voters for found in votes]
        won = (votes[3].argmax(1) == y).double().mean()
        curves[name] = (radii, share)
        sentences.append(
            f"{name}: at radius {radii[3]} the true class has {percent(share[3])} of the votes, and wins for {percent(won)} of "
            "the digits."
        )
    figure = plots.lines(
        curves, "radius of the noise (pixels range from 0 to 1)", "votes for the true class", percentages=True
    )
    return sentences, figure, "Curves over the radius."


# Detect

_ATTACKS = {
    "FGSM 0.3": attacks.FGSM(eps=0.3),
    "PGD 0.3": attacks.PGD(eps=0.3, steps=10),
    "C&W": attacks.CWL2(),
    "C&W (confidence 10)": attacks.CWL2(confidence=10),
}


def _squeeze_score(ask):
    x, y = known_digits(MODEL, 150)
    clean = ask((len(x),), MODEL, squeezers=SQUEEZERS, x=x)
    threshold = clean.sort(descending=True).values[int(0.05 * len(clean))]
    rows, sentences = {}, []
    for name, attack in _ATTACKS.items():
        scores = ask((50,), MODEL, squeezers=SQUEEZERS, x=attack(model(), x[:50], y[:50]))
        flagged = (scores > threshold).double().mean()
        rows[name] = {"AUC": auc(clean, scores), "flagged at 5 % false alarms": flagged}
        sentences.append(f"{name}: AUC {number(rows[name]['AUC'])}, {percent(flagged)} flagged.")
    return sentences, plots.bars(rows, "share, or area under the curve"), "Bars."


def _joint_flags(ask):
    x, _ = data.load("mnist-5k", "test").pick(1000)
    with torch.no_grad():
        p = model()(x).double().softmax(1)
        moved = [(model()(s.build()(x)).double().softmax(1) - p).abs().sum(1) for s in SQUEEZERS]
    validation, others = torch.stack(moved).split(500, 1)
    rows = {}
    for fpr in (0.02, 0.05, 0.1):
        alone = [
            ask((500,), clean_scores=validation[d : d + 1], scores=others[d : d + 1], fpr=fpr)
            for d in range(3)
        ]
        row = {name: flags.mean() for name, flags in zip(DETECTORS, alone)}
        row["any of the three"] = torch.stack(alone).amax(0).mean()
        row["your joint flags"] = ask((500,), clean_scores=validation, scores=others, fpr=fpr).mean()
        rows[f"fpr = {fpr}"] = row
    sentences = [
        f"{name}: of 500 other clean digits are flagged {_listed(row, percent)}."
        for name, row in rows.items()
    ]
    return sentences, plots.bars(rows, "clean digits that are flagged", percentages=True), "Bars."


# Get through


def _get_through(ask):
    x, y = known_digits(MODEL, 30)
    eps, steps, draws = 0.2, 20, 5
    victim = behind(("shift", 1), ("levels", 3))
    yours = ask(x.shape, victim, x=x, y=y, eps=eps, steps=steps, draws=draws).float()
    yours = yours.clamp(x - eps, x + eps).clamp(0, 1)
    naive = attacks.PGD(eps=eps, steps=steps)(victim.build(), x, y)
    alone = attacks.PGD(eps=eps, steps=steps)(model(), x, y)
    rows = {"no attack": x, "PGD through the defense": naive, "PGD on the classifier": alone, "yours": yours}
    accuracy = {}
    for name, images in rows.items():
        defense = Defended("mnist-cnn", parts=victim.parts, drawn=99).build()
        with torch.no_grad():
            seen = torch.stack([defense(images).argmax(1) for _ in range(PASSES)])
        accuracy[name] = (seen == y).double().mean()
    sentences = [f"The defense is right, over {PASSES} fresh draws: {_listed(accuracy, percent)}."]
    seen = [f"seen as {label}" for label in seen.mode(0).values[:8].tolist()]
    return sentences, plots.grid(yours[:8], seen), f"Eight attacked digits, {', '.join(seen)}."


VIEWS = {
    "quantise": _quantise,
    "thermometer": _thermometer,
    "bpda_gradient": _bpda_gradient,
    "eot_gradient": _eot_gradient,
    "region_votes": _region_votes,
    "squeeze_score": _squeeze_score,
    "joint_flags": _joint_flags,
    "get_through": _get_through,
}
