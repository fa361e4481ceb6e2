"""Lab 8: get through a defense that draws and rounds.

The judge asks its own copy of the defense, under each of the few moves that it may draw, so that luck plays no part.
"""

from dataclasses import replace

import torch
from torch import Tensor

from advcourse.core.rounding import percent
from advcourse.labs.checks import Student, picture
from advcourse.labs.exercises import Case, Draw, exercise
from advcourse.labs.lab8.defended import Counted, Defended, nearest_level
from advcourse.labs.lab8.gradients import gradient, summed
from advcourse.labs.lab8.questions import FIRST, LAST, DefendedTask, called_afresh, moved_first
from advcourse.labs.properties import (
    other_classes,
    other_shape,
    other_type,
    stays_in_budget,
    stays_in_the_box,
)
from advcourse.labs.running import CRASH
from advcourse.labs.verdicts import Finding

BITS = 3
GAIN, SHARE = 0.5, 0.75  # of what the author's attack gains: on the linear model, and on digits
DIGITS = 16
LINEAR = 2  # linear models
WORSE = 0.1  # less misread than before
APART = 0.1  # cosines of signs nearer than this are not told apart


class ShiftedAndQuantised(DefendedTask):
    """Its model moves the images, then takes grey levels from them."""

    parts = (("shift", 1), ("levels", BITS))


def a_budget(draw: Draw, x: Tensor) -> dict[str, float]:
    """Some ten steps of some draws."""
    return {"eps": draw.number(0.19, 0.21), "steps": 10, "draws": 3}


def ascend(slope, x, eps, steps, box=True, away=1, start=None):
    """Sign steps along slope(x_i), within eps of x and [0, 1]."""
    x_i = x.clone() if start is None else start
    for _ in range(steps):
        x_i = x_i + away * 2.5 * eps / steps * slope(x_i).sign()
        x_i = x_i.clamp(x - eps, x + eps)
        x_i = x_i.clamp(0, 1) if box else x_i
    return x_i.detach()


def soft(levels, z):
    """The levels, straight through."""
    return z + (levels(z) - z).detach()


def under_a_draw(model):
    """Images to logits, the levels straight through; a new draw in each call."""
    shift, levels, f = model
    return lambda x: f(soft(levels, shift(x)))


def under_a_move(model, move):
    """The same under a move that is known."""
    _, levels, f = model
    return lambda x: f(soft(levels, x.roll(move, (2, 3))))


def mean_slope(model, y, draws):
    f = under_a_draw(model)
    return lambda x_i: sum(gradient(f, x_i, y) for _ in range(draws))


@exercise(
    "Get through",
    5,
    a_budget,
    (
        "Tasks 3 and 4 in one: the shift has a gradient and draws, the rounding has none. shift, levels, f = model. In each step "
        "average over `draws` calls of the shift.",
        "One draw: z = shift(x_i); w = z + (levels(z) - z).detach() is levels(z) forward and the identity backward. Then the "
        "gradient of the cross-entropy of f(w) by x_i.",
        "PGD around it: `steps` times x_i = x_i + 2.5 * eps / steps * total.sign(), then clamp to x - eps, x + eps and to [0, "
        "1]. Return it detached.",
    ),
    kind=ShiftedAndQuantised,
)
def get_through(model, x, y, eps, steps, draws):
    return ascend(mean_slope(model, y, draws), x, eps, steps)


@get_through.right
def mean_logits_and_momentum(model, x, y, eps, steps, draws):
    f = under_a_draw(model)
    low, high = (x - eps).clamp(min=0), (x + eps).clamp(max=1)
    x_i, memory = x.clone(), torch.zeros_like(x)
    for _ in range(steps):
        slope = gradient(lambda z: sum(f(z) for _ in range(draws)) / draws, x_i, y)
        memory = 0.5 * memory + slope / slope.abs().sum((1, 2, 3), keepdim=True).clamp(min=1e-30)
        x_i = torch.minimum(torch.maximum(x_i + 2 * eps / steps * memory.sign(), low), high)
    return x_i.detach()


@get_through.right
def without_the_levels(model, x, y, eps, steps, draws):
    shift, _, f = model
    return ascend(mean_slope((shift, lambda z: z, f), y, draws), x, eps, steps)


@get_through.wrong("no gradient")
def through_the_steps(model, x, y, eps, steps, draws):
    return ascend(lambda x_i: sum(gradient(model, x_i, y) for _ in range(draws)), x, eps, steps)


@get_through.wrong("rounded")
def returns_what_f_sees(model, x, y, eps, steps, draws):
    return model[1](get_through(model, x, y, eps, steps, draws)).detach()


@get_through.wrong("ignores the model")
def random_start_and_no_gradient(model, x, y, eps, steps, draws):
    g = torch.Generator().manual_seed(0)
    start = (x + eps * (2 * torch.rand(x.shape, generator=g).to(x) - 1)).clamp(0, 1)
    return ascend(lambda x_i: gradient(model, x_i, y), x, eps, steps, start=start)


@get_through.wrong("defense left out")
def classifier_alone(model, x, y, eps, steps, draws):
    return ascend(lambda x_i: gradient(model[-1], x_i, y), x, eps, steps)


@get_through.wrong("one draw")
def always_moved_the_same_way(model, x, y, eps, steps, draws):
    shift, moved = model[0], model[0](x)
    first = next((move for move in shift.moves if torch.equal(x.roll(move, (2, 3)), moved)), (0, 0))
    return ascend(lambda x_i: gradient(under_a_move(model, first), x_i, y), x, eps, steps)


@get_through.wrong("downhill")
def down(model, x, y, eps, steps, draws):
    return ascend(mean_slope(model, y, draws), x, eps, steps, away=-1)


@get_through.wrong("one step")
def fgsm(model, x, y, eps, steps, draws):
    return (x + eps * mean_slope(model, y, draws * steps)(x).sign()).clamp(0, 1)


@get_through.wrong("weak")
def a_tenth_of_the_budget(model, x, y, eps, steps, draws):
    return get_through(model, x, y, eps / 10, steps, draws)


@get_through.wrong("box")
def unclipped(model, x, y, eps, steps, draws):
    return ascend(mean_slope(model, y, draws), x, eps, steps, box=False)


@get_through.wrong("budget")
def no_projection(model, x, y, eps, steps, draws):
    slope, x_i = mean_slope(model, y, 1), x
    for _ in range(steps):
        x_i = (x_i + 2.5 * eps / steps * slope(x_i).sign()).clamp(0, 1)
    return x_i


@get_through.wrong("units")
def eps_in_levels(model, x, y, eps, steps, draws):
    return get_through(model, x, y, eps / 255, steps, draws)


@get_through.wrong("parameter gradients")
def backward_everywhere(model, x, y, eps, steps, draws):
    f, x_i = under_a_draw(model), x
    for _ in range(steps):
        x_i = x_i.detach().requires_grad_()
        sum(summed(f(x_i), y) for _ in range(draws)).backward()
        x_i = (x_i + 2.5 * eps / steps * x_i.grad.sign()).clamp(x - eps, x + eps).clamp(0, 1)
    return x_i.detach()


@get_through.wrong("crash")
def votes_have_no_gradient(model, x, y, eps, steps, draws):
    def votes(z):
        return sum(model(z).argmax(1) for _ in range(draws))

    return ascend(lambda x_i: torch.autograd.grad(votes(x_i), x_i)[0], x, eps, steps)


@get_through.wrong("too many draws")
def three_times_the_steps(model, x, y, eps, steps, draws):
    return get_through(model, x, y, eps, 3 * steps, draws)


@get_through.wrong("too many draws")
def five_times_the_draws(model, x, y, eps, steps, draws):
    return get_through(model, x, y, eps, steps, 5 * draws)


@get_through.wrong("too many draws")
def always_three_draws(model, x, y, eps, steps, draws):
    return get_through(model, x, y, eps, steps, 3)


@get_through.wrong("own answer")
def away_from_its_own_answer(model, x, y, eps, steps, draws):
    return get_through(model, x, model(x).argmax(1), eps, steps, draws)


def comes_back_changed(student: Student, draw: Draw) -> None:
    """The result is neither the image nor the rounded image."""
    case = student.task.case(draw)
    images, x = student(case), case["x"].double()
    if (images - x).abs().max() < 1e-6:
        told = (
            "The images come back as they went in. The gradient through the rounding is 0, and so is every step along it. Put "
            "another gradient in its place: the model is Sequential(shift, levels, f), and BPDA takes levels forward only."
        )
        raise Finding("no gradient", told, picture(case, images, 0))
    if (images - nearest_level(images, BITS)).abs().max() < 1e-6:
        told = (
            "You return images that are rounded already. The defense does that; rounding moves pixels out of the budget. "
            "Return the image before it."
        )
        raise Finding("rounded", told, picture(case, images, 0))


def asks_the_defense(student: Student, draw: Draw) -> None:
    """Another classifier behind the defense gets other images."""
    case = student.task.case(draw, grey=True)
    first, second = student(case), student(case.but(student.task.case(draw, grey=True).victim))
    if torch.equal(first, second):
        told = (
            "Two different models get the very same images: what changed them was no gradient. If your attack starts at random, "
            "it never left its start, for the gradient through the rounding is 0: see task 3."
        )
        raise Finding("ignores the model", told, picture(case, first, 0))


def logits_by_move(victim: Defended, images: Tensor) -> Tensor:
    """The logits (moves, N, K) under each of the moves that the shift may draw."""
    shift, levels, f = victim.build()
    with torch.no_grad():
        return torch.stack([f(levels(images.float().roll(move, (2, 3)))) for move in shift.moves])


def misread(victim: Defended, images: Tensor, y: Tensor) -> Tensor:
    """How often the defense does not give the label, over all that its shift may draw: (N,)."""
    return (logits_by_move(victim, images).argmax(2) != y).double().mean(0)


def by_the_author(case: Case, draw: Draw) -> Tensor:
    """The images of the author's answer, to a defense that draws other moves."""
    return called_afresh(get_through, case.but(replace(case.victim, drawn=draw.integer() // 2)))


def survives_fresh_draws(student: Student, draw: Draw) -> None:
    """On linear models, where each draw wants another change, it gains over all of them."""
    tried = [_on_a_linear_model(student, draw) for _ in range(LINEAR)]
    before, theirs, ours = (sum(rates) / LINEAR for rates in zip(*(rates for _, _, rates in tried)))
    if theirs - before >= GAIN * (ours - before):
        return
    case, images, _ = min(tried, key=lambda row: row[2][1] - row[2][2])
    told = (
        f"Over all that it may draw, the defense misreads {percent(theirs)}; without an attack {percent(before)}, under a right "
        f"one {percent(ours)}."
    )
    key, why = _why(case, images)
    if key == "weak":
        leaves_what_is_misread(student, draw)
    raise Finding(key, f"{told} {why}", picture(case, images, 0))


def _on_a_linear_model(student, draw):
    """A question, the answer, and how often the defense misreads clean images, these, and the author's."""
    case = student.task.case(draw, "linear", 12, steps=16, draws=4)
    case = moved_first(case.but(x=draw.uniform(case["x"].shape)))
    case = case.but(y=logits_by_move(case.victim, case["x"]).mean(0).argmax(1))  # what it gives most logits
    images, best = student(case), by_the_author(case, draw)
    rates = [misread(case.victim, seen, case["y"]).mean().item() for seen in (case["x"], images, best)]
    return case, images, rates


def _why(case, images):
    """Key and sentence for an attack that gains too little, by the direction of its changes."""
    model = case.victim.build()
    x, y, moves = case["x"], case["y"], model[0].moves
    change = (images.float() - x).sign()
    slopes = torch.stack([gradient(under_a_move(model, move), x, y) for move in moves])
    along = [(change * slope.sign()).mean().item() for slope in slopes]
    expected = (change * slopes.mean(0).sign()).mean().item()
    best = max(range(len(along)), key=along.__getitem__)
    if expected < -APART:
        return "downhill", "The steps make the model surer: they go down the loss of the label. Go up."
    if along[best] > expected + APART and moves[best] == (0, 0):
        return "defense left out", (
            "Your change is made for the classifier alone, for images that nobody has moved. Ask the whole defense for its "
            "gradient, with fresh draws."
        )
    if along[best] > expected + APART:
        return "one draw", (
            "Your change is made for one draw of the shift. The next one is another: call the shift anew for each gradient, and "
            "average."
        )
    if abs(expected) < APART:
        return (
            "no direction",
            "The changes have nothing to do with any gradient of the loss. Where do they come from?",
        )
    return "weak", "The direction is right, but too few of the steps, or of the budget, are used."


def keeps_to_its_draws(student: Student, draw: Draw) -> None:
    """It asks for no more gradients than `steps` steps of `draws` draws take."""
    steps, draws = 4, 2
    case = student.task.case(draw, steps=steps, draws=draws)
    _, levels = case.victim.parts
    reply = student.ask(case.but(replace(case.victim, parts=(("counted", steps * draws), levels))))
    if reply.kind == CRASH and Counted.TOLD in reply.detail:
        told = (
            f"steps is {steps} and draws is {draws}, and the shift is asked for more than {steps * draws} draws with a gradient. "
            "Take `steps` steps, and `draws` draws for each."
        )
        raise Finding("too many draws", told)
    student.images(reply, case)


def leaves_what_is_misread(student: Student, draw: Draw) -> None:
    """Images with labels that the defense does not give are no better read afterwards."""
    for _ in range(50):  # until the defense is sure of its answers: near a draw both ways look alike
        case = student.task.case(draw, "linear", 20, classes=2)
        case = case.but(x=draw.uniform(case["x"].shape))
        case = case.but(y=logits_by_move(case.victim, case["x"]).mean(0).argmin(1))
        before = misread(case.victim, case["x"], case["y"]).mean().item()
        if before > 0.9:
            break
    images = student(case)
    after = misread(case.victim, images, case["y"]).mean().item()
    if after >= before - WORSE:
        return
    told = (
        f"Of images with labels that the defense does not give, it misreads {percent(before)} before the attack and "
        f"{percent(after)} after it: the steps lead away from what the model answers. Lead away from the label y."
    )
    raise Finding("own answer", told, picture(case, images, 0))


def breaks_digits(student: Student, draw: Draw) -> None:
    """On real digits it is nearly as good as the author's answer, over all draws."""
    case = student.task.case(draw, "mnist-cnn", DIGITS)
    images, y = student(case), case["y"]
    best = by_the_author(case, draw)
    theirs, ours = (misread(case.victim, found, y) for found in (images, best))
    if theirs.mean() >= SHARE * ours.mean():
        return
    worst = int((ours - theirs).argmax())
    told = f"The defense misreads {percent(theirs.mean())} of the attacked digits; a right attack gets to {percent(ours.mean())}."
    moved = (images - case["x"].double()).abs()
    clipped = (images < 1e-6) | (images > 1 - 1e-6)
    if ((moved > case["eps"] - 1e-5) | clipped).double().mean() > 0.99:
        why = "Every pixel is at the end of its budget, as after one large step. Take `steps` of them, each smaller."
        raise Finding("one step", f"{told} {why}", picture(case, images, worst))
    raise Finding(
        "too weak",
        f"{told} Does the attack use its steps, its draws and its whole budget?",
        picture(case, images, worst),
    )


get_through.checks(
    *FIRST,
    other_classes,
    comes_back_changed,
    asks_the_defense,
    stays_in_the_box,
    stays_in_budget(),
    survives_fresh_draws,
    keeps_to_its_draws,
    leaves_what_is_misread,
    breaks_digits,
    other_type,
    other_shape,
    *LAST,
)
