"""Getting through a defense that draws and rounds, as the judge does it, and what becomes of attacks that do not.

The judge asks its own copy of the defense, under each of the few moves that it may draw, so that luck plays no part.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from advcourse.core.rounding import percent
from advcourse.labs.checks import Case, Draw, Student, picture
from advcourse.labs.lab8.defended import Counted, Defended, nearest_level
from advcourse.labs.lab8.gradients import gradient
from advcourse.labs.lab8.questions import moved_first
from advcourse.labs.running import CRASH
from advcourse.labs.verdicts import Finding

PARTS = (("shift", 1), ("levels", 3))
BITS = 3
GAIN, SHARE = 0.5, 0.75  # of what the judge's attack gains: on the linear model, and on digits
DIGITS = 16
LINEAR = 2  # linear models
WORSE = 0.1  # less misread than before
APART = 0.1  # cosines of signs nearer than this are not told apart


def a_budget(draw: Draw, x: Tensor) -> dict[str, float]:
    return {"eps": draw.number(0.19, 0.21), "steps": 10, "draws": 3}


def misread(victim: Defended, images: Tensor, y: Tensor) -> Tensor:
    """How often the defense does not give the label, over all that its shift may draw: (N,)."""
    return (_each_move(victim, images).argmax(2) != y).double().mean(0)


def _each_move(victim, images):
    """The logits (moves, N, K) under each of the moves."""
    shift, levels, f = victim.build()
    with torch.no_grad():
        return torch.stack([f(levels(images.float().roll(move, (2, 3)))) for move in shift.moves])


def straight_through(
    f: Callable[[Tensor], Tensor], images: Tensor, y: Tensor, move: tuple[int, int]
) -> Tensor:
    """The gradient by images that are moved and then rounded, as if they were moved alone."""
    at = nearest_level(images.roll(move, (2, 3)), BITS)
    return gradient(f, at, y).roll((-move[0], -move[1]), (2, 3))


def through(case: Case, drawn: int) -> Tensor:
    """Sign steps along the mean gradient of `draws` moves, the rounding left out on the way back."""
    victim = replace(case.victim, drawn=drawn)
    shift, _, f = victim.build()
    x, eps, steps = case["x"].float(), case["eps"], case["steps"]
    generator, x_i = torch.Generator().manual_seed(drawn), x
    for _ in range(steps):
        moves = [shift._draw(generator) for _ in range(case["draws"])]
        slope = sum(straight_through(f, x_i, case["y"], move) for move in moves)
        x_i = (x + (x_i + 2.5 * eps / steps * slope.sign() - x).clamp(-eps, eps)).clamp(0, 1)
    return x_i


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
    """A question, the answer, and how often the defense misreads clean images, these, and the judge's."""
    case = student.task.case(draw, "linear", 12, steps=16, draws=4)
    case = moved_first(case.but(x=draw.uniform(case["x"].shape)))
    case = case.but(y=_each_move(case.victim, case["x"]).mean(0).argmax(1))  # what it gives most logits
    images, best = student(case), through(case, draw.integer() // 2)
    rates = [misread(case.victim, seen, case["y"]).mean().item() for seen in (case["x"], images, best)]
    return case, images, rates


def _why(case, images):
    """Key and sentence for an attack that gains too little, by the direction of its changes."""
    shift, _, f = case.victim.build()
    x, y = case["x"], case["y"]
    change = (images.float() - x).sign()
    slopes = torch.stack([straight_through(f, x, y, move) for move in shift.moves])
    along = [(change * slope.sign()).mean().item() for slope in slopes]
    expected = (change * slopes.mean(0).sign()).mean().item()
    best = max(range(len(along)), key=along.__getitem__)
    if expected < -APART:
        return "downhill", "The steps make the model surer: they go down the loss of the label. Go up."
    if along[best] > expected + APART and shift.moves[best] == (0, 0):
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
    reply = student.ask(case.but(replace(case.victim, parts=(("counted", steps * draws), PARTS[1]))))
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
        case = case.but(y=_each_move(case.victim, case["x"]).mean(0).argmin(1))
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
    """On real digits it is nearly as good as the judge's attack, over all draws."""
    case = student.task.case(draw, "mnist-cnn", DIGITS)
    images, y = student(case), case["y"]
    best = through(case, draw.integer() // 2)
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
