"""Gradients through a defense that has none, or one that draws, as the judge computes them; and the slips known by them.

The draws of a shift are few, so that each has its own gradient, and a mean over draws is a mixture of these. What the mixture
is, the judge finds by least squares: how often each draw was met. So any order of the passes is right.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from advcourse.labs.checks import Case, Draw, Student
from advcourse.labs.lab8.defended import nearest_level
from advcourse.labs.running import TENSOR
from advcourse.labs.verdicts import Finding

ALIKE = 1e-6  # relative, in float64
LOUD = 1e5  # logits of a linear model so many times as large lie thousands apart
TRIED = 4  # times `draws`: so many passes are looked for, where it was not `draws`


def losses(logits: Tensor, y: Tensor) -> Tensor:
    """Each row's cross-entropy, (N,)."""
    return -logits.log_softmax(1).gather(1, y[:, None])[:, 0]


def gradient(
    f: Callable[[Tensor], Tensor], at: Tensor, y: Tensor, loss: Callable[[Tensor, Tensor], Tensor] = losses
) -> Tensor:
    """The gradient (N, C, H, W) of each image's loss at `at`."""
    at = at.detach().clone().requires_grad_()
    return torch.autograd.grad(loss(f(at), y).sum(), at)[0]


def alike(found: Tensor, expected: Tensor) -> bool:
    """True where all images have the expected gradient, each measured by its own length."""
    apart = (found - expected).flatten(1).norm(dim=1)
    return bool((apart <= ALIKE * expected.flatten(1).norm(dim=1) + 1e-15).all())


def _unexplained(found, expected):
    apart = (found - expected).flatten(1).norm(dim=1) / expected.flatten(1).norm(dim=1)
    share = int((apart > ALIKE).sum())
    return (
        f"The gradient of {share} of {len(found)} images is not what the formula gives; in the worst it is off by "
        f"{apart.max():.2g} of its length. Compare your lines with the formula, one symbol at a time."
    )


def _asked(student, draw, chosen=lambda case: case):
    """A question in float64, its answer, the classifier alone, and the judge's own copy of the whole model."""
    case = chosen(student.task.case(draw).to(torch.float64))
    model = case.victim.build(torch.float64)
    return case, student(case), model[-1], model


def holds_at_large_logits(student: Student, draw: Draw) -> None:
    """Where logits lie thousands apart, and the label's is the smallest, the gradient is that of the cross-entropy too."""
    case = student.task.case(draw, "loud").to(torch.float64)
    still = tuple((kind, 0 if kind == "shift" else number) for kind, number in case.victim.parts)
    case = case.but(replace(case.victim, gain=LOUD, parts=still))
    *parts, f = case.victim.build(torch.float64)
    z = torch.nn.Sequential(*parts)(case["x"])
    y = f(z).argmin(1)
    reply = student.ask(case.but(y=y))
    if reply.kind == TENSOR and alike(reply.value.double(), gradient(f, z, y)):
        return
    told = (
        "Where logits are large, a softmax is 0 to the last digit, and the gradient is not what the formula gives: that of "
        "log(0) is no number, and that of log(p + 1e-8) is 0. Take cross_entropy, or log_softmax(1) of the logits, and no "
        "logarithm of a softmax."
    )
    raise Finding("logarithm of a softmax", told)


# BPDA


def bpda(f: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, bits: int) -> Tensor:
    """The gradient by the quantised image, as if it were that by x."""
    return gradient(f, nearest_level(x, bits), y)


def _own_logit(logits, y):
    return logits.gather(1, y[:, None])[:, 0]


_BPDA_SLIPS = (
    (
        "zero",
        "The gradient is 0 everywhere: it came through g, whose steps have none. Ask for the gradient by g(x), not by x.",
        lambda f, x, y, bits: torch.zeros_like(x),
    ),
    (
        "without g",
        "This is the gradient of f at x: g is left out. Forward the image goes through g, so the gradient is that at g(x).",
        lambda f, x, y, bits: gradient(f, x, y),
    ),
    (
        "minus",
        "The sign is wrong: this gradient leads down the loss. An attack adds the gradient of the cross-entropy.",
        lambda f, x, y, bits: -bpda(f, x, y, bits),
    ),
    (
        "mean over the batch",
        "The losses of all images are averaged, so that an image's gradient is smaller the more there are. Sum them up.",
        lambda f, x, y, bits: bpda(f, x, y, bits) / len(x),
    ),
    (
        "sign",
        "This is the sign of the gradient. Return the gradient itself; an attack may want more than its sign.",
        lambda f, x, y, bits: bpda(f, x, y, bits).sign(),
    ),
    (
        "logit",
        "This is the gradient of the label's logit. Take that of the cross-entropy.",
        lambda f, x, y, bits: gradient(f, nearest_level(x, bits), y, _own_logit),
    ),
    (
        "softmax twice",
        "The softmax is taken twice: cross_entropy wants logits, and takes the softmax itself. Give it f(...) as it is.",
        lambda f, x, y, bits: gradient(lambda z: f(z).softmax(1), nearest_level(x, bits), y),
    ),
    (
        "own answer",
        "This is the gradient of the loss of the model's own answer. The label is y.",
        lambda f, x, y, bits: bpda(f, x, f(nearest_level(x, bits)).argmax(1), bits),
    ),
    (
        "no gradient of the loss",
        "This is the step from x to g(x), and no gradient of the loss. g is taken forward only; then ask f.",
        lambda f, x, y, bits: nearest_level(x, bits) - x,
    ),
)


def passes_straight_through(student: Student, draw: Draw) -> None:
    """The gradient is that of f at g(x)."""
    case, found, f, _ = _asked(student, draw)
    x, y, bits = case["x"], case["y"], case.victim.parts[0][1]
    right = bpda(f, x, y, bits)
    if alike(found, right):
        return
    for key, message, slip in _BPDA_SLIPS:
        if alike(found, slip(f, x, y, bits)):
            raise Finding(key, message)
    raise Finding("formula", _unexplained(found, right))


# EOT


def a_number_of_draws(draw: Draw, x: Tensor) -> dict[str, int]:
    """A prime number: a mean over fewer draws could otherwise pass for one over this many."""
    return {"draws": (19, 23, 29)[draw.integer() % 3]}


def each_draw(
    f: Callable[[Tensor], Tensor], moves: Sequence[tuple[int, int]], x: Tensor, y: Tensor
) -> Tensor:
    """The gradient under each of the moves, (S, N, C, H, W): that at the moved image, moved back."""
    moved = [gradient(f, x.roll(move, (2, 3)), y) for move in moves]
    return torch.stack([g.roll((-down, -right), (2, 3)) for g, (down, right) in zip(moved, moves)])


def mixture(found: Tensor, each: Tensor) -> tuple[Tensor, Tensor]:
    """How much of each draw's gradient is in each image's answer, (N, S), and what is left over, relative, (N,)."""
    columns = each.flatten(2).permute(1, 2, 0)  # (N, pixels, S)
    length = columns.norm(dim=1, keepdim=True)
    wanted = found.flatten(1)[..., None]
    shares = torch.linalg.lstsq(columns / length, wanted).solution
    left = (wanted - columns / length @ shares).flatten(1).norm(dim=1)
    return (shares / length.transpose(1, 2))[..., 0], left / wanted.flatten(1).norm(dim=1)


def _whole(shares, passes):
    """True where each draw was met a whole number of times in so many passes."""
    met = shares * passes
    near = (met - met.round()).abs().max() < 1e-3 and met.min() > -1e-3
    return bool(near and (met.round().sum(1) == passes).all())


def drawn(model: nn.Sequential, passes: int) -> list[tuple[int, int]]:
    """The moves that the defense draws in its first passes, as the student met them who asks for nothing else."""
    shift = model[0]
    generators = [torch.Generator().manual_seed(shift.seed + 7919 * i) for i in range(passes)]
    return [shift._draw(generator) for generator in generators]


def moved_first(case: Case) -> Case:
    """The same question with a shift whose first draw moves the images: they are then not those of no defense."""
    victim = case.victim
    while drawn(victim.build(), 1) == [(0, 0)]:
        victim = replace(victim, drawn=victim.drawn + 1)
    return case.but(victim)


def _of_mean(combine):
    """The gradient of a loss of all draws' logits at once: combine(logits (draws, N, K), y) gives (N,)."""

    def slip(f, moves, x, y):
        x = x.detach().clone().requires_grad_()
        logits = torch.stack([f(x.roll(move, (2, 3))) for move in moves])
        return torch.autograd.grad(combine(logits, y).sum(), x)[0]

    return slip


def _of_each(rule):
    """A mean over the draws of something else: rule(f, moved, y), moved back."""

    def slip(f, moves, x, y):
        found = [rule(f, x.roll(move, (2, 3)), y).roll((-move[0], -move[1]), (2, 3)) for move in moves]
        return torch.stack(found).mean(0)

    return slip


def _expected(f, moves, x, y):
    return _of_each(gradient)(f, moves, x, y)


_EOT_SLIPS = (
    (
        "loss of the mean logits",
        "The logits are averaged, and the loss is taken once. That makes a good attack too, but here the losses are averaged: "
        "take the loss of each draw, then the mean.",
        _of_mean(lambda logits, y: losses(logits.mean(0), y)),
    ),
    (
        "loss of the mean probabilities",
        "The probabilities are averaged, and the loss is taken once. Where all draws are sure, its gradient vanishes. Take the "
        "loss of each draw, then the mean.",
        _of_mean(lambda logits, y: -logits.softmax(2).mean(0).gather(1, y[:, None])[:, 0].log()),
    ),
    (
        "mean of signs",
        "The signs of the gradients are averaged: each draw has one vote for each pixel, however little the pixel matters to it. "
        "Average the gradients themselves.",
        _of_each(lambda f, moved, y: gradient(f, moved, y).sign()),
    ),
    (
        "sign",
        "This is the sign of the mean gradient. Return the mean itself.",
        lambda f, moves, x, y: _expected(f, moves, x, y).sign(),
    ),
    (
        "logit",
        "This is the gradient of the label's logit. Take that of the cross-entropy.",
        _of_each(lambda f, moved, y: gradient(f, moved, y, _own_logit)),
    ),
    (
        "softmax twice",
        "The softmax is taken twice: cross_entropy wants logits, and takes the softmax itself. Give it model(...) as it is.",
        _of_each(lambda f, moved, y: gradient(lambda z: f(z).softmax(1), moved, y)),
    ),
    (
        "without the defense",
        "This is the gradient of the classifier at x: the defense draws nothing. Ask the whole model.",
        lambda f, moves, x, y: gradient(f, x, y),
    ),
)


def averages_fresh_draws(student: Student, draw: Draw) -> None:
    """The answer is the mean of `draws` gradients, each of a draw of its own."""
    case, found, f, model = _asked(student, draw, moved_first)
    x, y, draws = case["x"], case["y"], case["draws"]
    if not found.abs().max():
        told = "The gradient is 0 everywhere. Answers and votes are steps, and steps have none: average losses, not argmax."
        raise Finding("zero", told)
    moves = drawn(model, draws)
    for key, message, slip in _EOT_SLIPS:
        if alike(found, slip(f, moves, x, y)):
            raise Finding(key, message)
    shares, left = mixture(found, each_draw(f, model[0].moves, x, y))
    if (left > ALIKE).any():
        raise Finding("formula", _unexplained(found, _expected(f, moves, x, y)))
    _explain(shares, draws, len(x))


def _explain(shares, draws, n):
    """A finding where the answer is a mixture of the draws' gradients, but not the mean over `draws` of them."""
    if _whole(shares / shares.sum(1, keepdim=True), 1):
        told = (
            f"All {draws} draws are the same one. The defense draws once in each pass, for the whole batch, so copies in one "
            "batch all meet the same draw: call the model anew for each."
        )
        raise Finding("one draw", told)
    if _whole(shares, draws):
        return
    if _whole(-shares, draws):
        told = "The sign is wrong: this gradient leads down the loss. An attack adds the gradient of the cross-entropy."
        raise Finding("minus", told)
    if _whole(shares / draws, draws):
        told = f"The {draws} gradients are added up. Divide by draws: the length of a step must not depend on them."
        raise Finding("not divided", told)
    if _whole(shares * n, draws):
        told = f"The losses of all {n} images are averaged too, so that a gradient is smaller the more there are. Sum them up."
        raise Finding("mean over the batch", told)
    for passes in range(1, TRIED * draws):
        if _whole(shares, passes):
            told = f"This is the mean over {passes} draws, and `draws` is {draws}."
            raise Finding("other number of draws", told)
    told = "The draws do not weigh the same. Add up one gradient for each of `draws` passes, and divide by draws."
    raise Finding("weights", told)
