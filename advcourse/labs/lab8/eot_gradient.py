"""Lab 8: a gradient where each pass is another.

The draws of a shift are few, so that each has its own gradient, and a mean over draws is a mixture of these. What the mixture
is, the judge finds by least squares: how often each draw was met. So any order of the passes is right.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, nll_loss

from advcourse.labs.checks import Student
from advcourse.labs.comparing import explains
from advcourse.labs.exercises import Case, Draw, exercise
from advcourse.labs.lab8.gradients import (
    gradient,
    kept_off_zero,
    of_ten_classes,
    own_logit,
    softmax_twice,
    summed,
)
from advcourse.labs.lab8.questions import (
    ALIKE,
    FIRST,
    GRADIENTS,
    LAST,
    DefendedTask,
    called_afresh,
    holds_at_large_logits,
    in_float64,
    moved_first,
)
from advcourse.labs.properties import other_classes, other_shape, other_type
from advcourse.labs.verdicts import Finding

TRIED = 4  # times `draws`: so many passes are looked for, where it was not `draws`


class Shifted(DefendedTask):
    """Its model moves the images first, another way in each pass."""

    parts = (("shift", 1),)


def a_number_of_draws(draw: Draw, x: Tensor) -> dict[str, int]:
    """A prime number: a mean over fewer draws could otherwise pass for one over this many."""
    return {"draws": (19, 23, 29)[draw.integer() % 3]}


@exercise(
    "A gradient where each pass is another",
    4,
    a_number_of_draws,
    (
        "A loop of `draws` passes. Each calls the model once for the batch, takes the loss, and adds its gradient to a sum.",
        'In the loop: x_i = x.clone().requires_grad_(); the gradient of cross_entropy(model(x_i), y, reduction="sum") by x_i. '
        "No argmax anywhere: it has no gradient.",
        "total = torch.zeros_like(x) before the loop, total = total + torch.autograd.grad(loss, x_i)[0] in it, and return total "
        "/ draws.",
    ),
    kind=Shifted,
)
def eot_gradient(model, x, y, draws):
    return sum(gradient(model, x, y) for _ in range(draws)) / draws


def nowhere(case: Case, found: Tensor) -> bool:
    """Whether no pixel has a gradient."""
    return not found.any()


@eot_gradient.slip(
    "zero",
    "The gradient is 0 everywhere. Answers and votes are steps, and steps have none: average losses, not argmax.",
    test=nowhere,
)
def of_the_votes(model, x, y, draws):
    x = x.detach().clone().requires_grad_()
    answers = torch.stack([model(x).argmax(1) for _ in range(draws)])
    lost = (answers != y).to(x.dtype).mean() + 0 * x.sum()
    return torch.autograd.grad(lost, x)[0]


@eot_gradient.slip(
    "loss of the mean logits",
    "The logits are averaged, and the loss is taken once. That makes a good attack too, but here the losses are averaged: "
    "take the loss of each draw, then the mean.",
)
def mean_logits(model, x, y, draws):
    return gradient(lambda x: sum(model(x) for _ in range(draws)) / draws, x, y)


@eot_gradient.slip(
    "loss of the mean probabilities",
    "The probabilities are averaged, and the loss is taken once. Where all draws are sure, its gradient vanishes. Take the "
    "loss of each draw, then the mean.",
)
def mean_probabilities(model, x, y, draws):
    x = x.detach().clone().requires_grad_()
    p = sum(model(x).softmax(1) for _ in range(draws)) / draws
    return torch.autograd.grad(nll_loss(p.log(), y, reduction="sum"), x)[0]


@eot_gradient.slip(
    "mean of signs",
    "The signs of the gradients are averaged: each draw has one vote for each pixel, however little the pixel matters to it. "
    "Average the gradients themselves.",
)
def signs_averaged(model, x, y, draws):
    return sum(gradient(model, x, y).sign() for _ in range(draws)) / draws


@eot_gradient.slip("sign", "This is the sign of the mean gradient. Return the mean itself.")
def sign_of_the_mean(model, x, y, draws):
    return eot_gradient(model, x, y, draws).sign()


@eot_gradient.slip("logit", "This is the gradient of the label's logit. Take that of the cross-entropy.")
def of_the_labels_logit(model, x, y, draws):
    return sum(gradient(model, x, y, own_logit) for _ in range(draws)) / draws


@eot_gradient.slip(
    "softmax twice",
    "The softmax is taken twice: cross_entropy wants logits, and takes the softmax itself. Give it model(...) as it is.",
)
def probabilities_as_logits(model, x, y, draws):
    return sum(gradient(model, x, y, softmax_twice) for _ in range(draws)) / draws


@eot_gradient.slip(
    "without the defense",
    "This is the gradient of the classifier at x: the defense draws nothing. Ask the whole model.",
)
def classifier_alone(model, x, y, draws):
    return gradient(model[-1], x, y)


@eot_gradient.right
def gradient_of_the_mean(model, x, y, draws):
    x = x.detach().clone().requires_grad_()
    loss = sum(summed(model(x), y) for _ in range(draws)) / draws
    loss.backward(inputs=[x])
    return x.grad.detach()


@eot_gradient.right
def mean_log_probabilities(model, x, y, draws):
    x = x.detach().clone().requires_grad_()
    log_p = torch.stack([model(x).log_softmax(1) for _ in range(draws)]).mean(0)
    return torch.autograd.grad(nll_loss(log_p, y, reduction="sum"), x)[0]


@eot_gradient.right
def image_by_image(model, x, y, draws):
    return torch.cat([eot_gradient(model, x[i : i + 1], y[i : i + 1], draws) for i in range(len(x))])


@eot_gradient.right
def asks_for_the_answer_first(model, x, y, draws):
    model(x)
    return eot_gradient(model, x, y, draws)


@eot_gradient.wrong("one draw")
def copies_in_one_batch(model, x, y, draws):
    copies = x.repeat(draws, 1, 1, 1)
    return gradient(model, copies, y.repeat(draws)).view(draws, *x.shape).mean(0)


@eot_gradient.wrong("one draw")
def of_fresh_copies(model, x, y, draws):
    return sum(gradient(copy.deepcopy(model), x, y) for _ in range(draws)) / draws


@eot_gradient.wrong("minus")
def down(model, x, y, draws):
    return -eot_gradient(model, x, y, draws)


@eot_gradient.wrong("not divided")
def added_up(model, x, y, draws):
    return sum(gradient(model, x, y) for _ in range(draws))


@eot_gradient.wrong("mean over the batch")
def mean_loss(model, x, y, draws):
    return sum(gradient(model, x, y, cross_entropy) for _ in range(draws)) / draws


@eot_gradient.wrong("other number of draws")
def always_ten(model, x, y, draws):
    return eot_gradient(model, x, y, 10)


@eot_gradient.wrong("other number of draws")
def one_draw_less(model, x, y, draws):
    return eot_gradient(model, x, y, draws - 1)


@eot_gradient.wrong("weights")
def running_mean(model, x, y, draws):
    mean = gradient(model, x, y)
    for _ in range(draws - 1):
        mean = 0.9 * mean + 0.1 * gradient(model, x, y)
    return mean


@eot_gradient.wrong("weights")
def each_of_length_1(model, x, y, draws):
    found = [gradient(model, x, y) for _ in range(draws)]
    return sum(g / g.flatten(1).norm(dim=1).view(-1, 1, 1, 1) for g in found) / draws


@eot_gradient.wrong("formula")
def at_noisy_images(model, x, y, draws):
    g = torch.Generator().manual_seed(0)
    noisy = (x + 0.1 * torch.randn(x.shape, generator=g).to(x)).clamp(0, 1)
    return eot_gradient(model, noisy, y, draws)


@eot_gradient.wrong("formula")
def of_its_own_answers(model, x, y, draws):
    return sum(gradient(model, x, model(x).argmax(1)) for _ in range(draws)) / draws


@eot_gradient.wrong("crash")
def argmax_has_no_gradient(model, x, y, draws):
    x = x.detach().clone().requires_grad_()
    lost = sum((model(x).argmax(1) != y).to(x.dtype).sum() for _ in range(draws))
    return torch.autograd.grad(lost, x)[0]


@eot_gradient.wrong("input flags")
def flags_left(model, x, y, draws):
    x.requires_grad_()
    loss = sum(summed(model(x), y) for _ in range(draws)) / draws
    return torch.autograd.grad(loss, x)[0]


@eot_gradient.wrong("other classes")
def ten_classes(model, x, y, draws):
    return sum(gradient(model, x, y, of_ten_classes) for _ in range(draws)) / draws


@eot_gradient.wrong("logarithm of a softmax")
def kept_off_0(model, x, y, draws):
    return sum(gradient(model, x, y, kept_off_zero) for _ in range(draws)) / draws


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


FROM_THE_FIRST_DRAW = replace(GRADIENTS, called=called_afresh)


def averages_fresh_draws(student: Student, draw: Draw) -> None:
    """The answer is the mean of `draws` gradients, each of a draw of its own."""
    case = moved_first(in_float64(student.task, draw))
    found = student(case)
    for slip in eot_gradient.slips:
        if explains(slip, case, found, FROM_THE_FIRST_DRAW):
            raise Finding(slip.key, slip.message)
    shift, f = case.victim.build(torch.float64)
    shares, left = mixture(found, each_draw(f, shift.moves, case["x"], case["y"]))
    if (left > ALIKE).any():
        raise FROM_THE_FIRST_DRAW.differs(case, found, called_afresh(eot_gradient, case))
    _explain(shares, case["draws"], len(found))


def _whole(shares, passes):
    """True where each draw was met a whole number of times in so many passes."""
    met = shares * passes
    near = (met - met.round()).abs().max() < 1e-3 and met.min() > -1e-3
    return bool(near and (met.round().sum(1) == passes).all())


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


eot_gradient.checks(
    *FIRST,
    other_classes,
    averages_fresh_draws,
    holds_at_large_logits,
    other_type,
    other_shape,
    *LAST,
)
