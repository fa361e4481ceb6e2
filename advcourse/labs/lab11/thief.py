"""What the judge of lab 11 asks of a thief. It holds the victim, counts its questions, and keeps what was asked."""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from advcourse import data
from advcourse.core.rounding import percent
from advcourse.labs.checks import Student
from advcourse.labs.exercises import Case, Draw
from advcourse.labs.lab11.nets import Hidden
from advcourse.labs.lab11.sets import digits, trained
from advcourse.labs.running import Reply
from advcourse.labs.verdicts import Finding
from advcourse.labs.victims import BlackBox

POOL, UNSEEN, BUDGET = 600, 400, 300
LEARNT = 1500  # digits that the victim learned from
LEAST = 0.75  # agreement with the victim
SMALL = 0.34  # of the budget: fewer different questions than that are hardly any
FEW, RARE = 7, 0.03  # classes that got more than this share of the answers; the whole pool gives ten


@lru_cache(maxsize=8)
def victim_of(seed: int) -> nn.Module:
    """A net that reads digits, and calls the classes by names of its own: what is a 3 to us may be its class 7."""
    draw = Draw(seed)
    x, y = digits(draw, LEARNT)
    names = draw.uniform((10,)).argsort()
    return trained(x, names[y], draw.integer())


def a_victim(
    draw: Draw, x: None = None, budget: int = 40, pool: int = 200, unseen: int = 100, seed: int = 0
) -> dict[str, Any]:
    """The victim of a seed, a pool of digits sorted by what they show, and digits that nobody has seen."""
    images, labels = data.load("mnist-5k", "test").pick(pool + unseen, draw.integer())
    order = labels[:pool].sort(stable=True).indices
    net = victim_of(seed)
    return {
        "model": BlackBox(Hidden("hidden", net=net), budget, labels=True),
        "pool": images[:pool][order],
        "unseen": images[pool:],
        "budget": budget,
    }


def asked(case: Case) -> Tensor:
    """All images that the victim of a case was asked, (Q, 1, 28, 28)."""
    seen = case.victim.victim.asked
    return torch.cat(seen) if seen else torch.zeros(0, 1, 28, 28)


def asks_within_its_budget(student: Student, draw: Draw) -> None:
    """It asks about no more images than the budget allows, in all calls together.

    Asked first: a function that asks for more is stopped by an error, and is to hear why.
    """
    for budget in (40, 110):
        reply = student.ask(student.task.case(draw, budget=budget))
        _counted(reply, budget)


def _counted(reply: Reply, budget: int) -> None:
    if reply.asked > budget:
        told = (
            f"The model was asked about {reply.asked} images, and the budget is {budget}. Each image counts, not each call; so "
            "do your first ones, and those that were asked before. What is beyond the budget is refused, and counts too."
        )
        raise Finding("budget", told)


def agrees(student: Student, draw: Draw) -> None:
    """On unseen digits, which it does not ask about, the copy says what a fresh victim says, three times of four or more."""
    case = student.task.case(draw, budget=BUDGET, pool=POOL, unseen=UNSEEN, seed=draw.integer())
    reply = student.ask(case)
    _counted(reply, BUDGET)
    found, questions = student.images(reply, case), asked(case)
    if not reply.asked:
        told = "The model was never asked: model(images) gives its classes, shape (N,)."
        raise Finding("never asked", told)
    if ((found < 0) | (found > 9) | (found != found.round())).any():
        told = f"Return class numbers, 0 to 9, as the model does. Yours reach from {found.min():g} to {found.max():g}."
        raise Finding("no class", told)
    known = int((_apart(questions, case["unseen"]) < 1e-3).sum())
    if known:
        told = (
            f"{known} of your questions are about images of `unseen`. A copy is judged by what nobody has asked about: ask "
            "about the pool alone."
        )
        raise Finding("asks about the test", told)
    _agreement(case, found, questions)


def _agreement(case, found, questions):
    net = case.victim.victim.net
    share = (net(case["unseen"]).argmax(1) == found).double().mean().item()
    if share >= LEAST:
        return
    told = f"Your copy agrees with the victim on {percent(share)} of {UNSEEN} unseen digits; {percent(LEAST)} is demanded."
    different = len(questions.unique(dim=0))
    if different < SMALL * BUDGET:
        why = f"You ask about {different} different images, and the budget is {BUDGET}. Use it."
        raise Finding("hardly asked", f"{told} {why}")
    if _apart(questions, case["pool"]).median() > _usual(case["pool"]):
        why = (
            "Your questions look like no digit. Of noise the victim says something as well, and it tells nothing about digits: "
            "data beat "
            "cleverness. Ask about the pool."
        )
        raise Finding("questions of another kind", f"{told} {why}")
    shares = net(questions).argmax(1).bincount(minlength=10) / len(questions)
    classes = int((shares > RARE).sum())
    if classes <= FEW:
        why = (
            f"Nearly all of your questions got one of {classes} answers; there are ten classes. The pool is sorted: draw from "
            "it at random."
        )
        raise Finding("a few kinds", f"{told} {why}")
    raise Finding("agreement", f"{told} Does the copy learn until it repeats the answers that it was given?")


def _apart(images, others):
    """How far each image is from the nearest of the others."""
    return torch.cdist(
        images.flatten(1), others.flatten(1), compute_mode="donot_use_mm_for_euclid_dist"
    ).amin(1)


def _usual(pool):
    """How far digits are from their nearest neighbours in the pool, at most."""
    apart = torch.cdist(pool.flatten(1), pool.flatten(1))
    return apart.fill_diagonal_(torch.inf).amin(1).max()
