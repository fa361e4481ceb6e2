"""Ensemble adversarial training as the judge computes it, source by source, and the slips known by their results."""

from typing import Any

import torch
from torch import Tensor, nn

from advcourse.labs.checks import Case, Draw, Student
from advcourse.labs.lab7.attacked import PARTLY, answer, in_mode, losses, uphill
from advcourse.labs.lab7.losses import (
    alike,
    learning,
    rule_followed,
    rule_in_logarithms,
    rule_unexplained,
    told,
)
from advcourse.labs.numbers import near
from advcourse.labs.running import CRASH
from advcourse.labs.verdicts import Finding
from advcourse.labs.victims import Victim

SEEDS = 40  # three sources: one of them stays away 40 times by chance in one of three million checks
FEW_SEEDS = (
    28  # a draw from three sources brings up the third with one of these, but in one of 80 thousand checks
)
OTHERS, DRAWS, MOST = 24, 48, 12  # of 25 sources one comes up 12 times of 48 in one of two million checks
REPEATED = 12  # a draw that ignores the seed repeats these by chance in one of half a million checks


def two_others(draw: Draw, x: Tensor) -> dict[str, Any]:
    """Two static networks, a budget, and a seed."""
    shape = tuple(x.shape[1:])
    static = tuple(Victim(kind, draw.integer(), shape) for kind in ("plain", "smooth"))
    return {"static": static, "eps": draw.number(0.1, 0.3), "seed": draw.integer() // 2}


def eat(
    model: nn.Module,
    case: Case,
    s: int,
    *,
    labels: str = "source",
    training: bool = False,
    kind: type[nn.Module] = nn.Module,
    learns: bool = True,
    away: int = 1,
    joined: bool = True,
    clipped: bool = True,
    soft: bool = False,
) -> Tensor:
    """The loss with source number `s`, the model itself being the last. What follows serves the slips."""
    x, y, nets = case["x"], case["y"], [*_nets(case), model]
    source = nets[s]
    y_s = {"source": lambda: answer(source, x, kind), "true": lambda: y, "model": lambda: answer(model, x)}[
        labels
    ]()
    with in_mode(source, training and source is model, kind):
        attacked = x + away * case["eps"] * uphill(source, x, y_s)
    attacked = attacked.clamp(0, 1) if clipped else attacked
    with in_mode(model, learns):
        if joined:
            logits = model(torch.cat([x, attacked]))
            return losses(logits.softmax(1) if soft else logits, torch.cat([y, y])).mean()
        return (losses(model(x), y).mean() + losses(model(attacked), y).mean()) / 2


def _nets(case):
    return [victim.build(torch.float64) for victim in case["static"]]


def _sources(case):
    return range(len(case["static"]) + 1)


def _eat(**how):
    return lambda model, case, s: eat(model, case, s, **how)


def _attacked_alone(model, case, s):
    x, nets = case["x"], [*_nets(case), model]
    attacked = (x + case["eps"] * _own_step(nets[s], x)).clamp(0, 1)
    return losses(model(attacked), case["y"]).mean()


def _own_step(source, x):
    with in_mode(source, False):
        return uphill(source, x, answer(source, x))


def _all_sources(model, case, s):
    x, nets = case["x"], [*_nets(case), model]
    batch = torch.cat([x, *((x + case["eps"] * _own_step(net, x)).clamp(0, 1) for net in nets)])
    return losses(model(batch), case["y"].repeat(1 + len(nets))).mean()


def _mean_of_sources(model, case, s):
    return torch.stack([eat(model, case, source) for source in _sources(case)]).mean()


_ALL = (
    "all sources",
    "All sources attack every batch. Draw one of them for each batch, from the generator with this seed.",
)

_SLIPS = (
    (
        "label leaks",
        "The step climbs the loss of the true labels y. So it tells the label to the model, which learns to read it off the "
        "perturbation. Climb the loss of the source's own answers, source(x).argmax(1).",
        _eat(labels="true"),
    ),
    (
        "another's answer",
        "The step on a static network climbs the loss of what the learning model answers. Each source is attacked at its own "
        "answer.",
        _eat(labels="model"),
    ),
    (
        "source in training mode",
        "Where the model itself is the source, it is attacked in training mode. Put it into eval mode for its answer and the "
        "attack, and back before the loss.",
        _eat(training=True),
    ),
    (*PARTLY, _eat(kind=nn.BatchNorm2d)),
    (*PARTLY, _eat(kind=nn.Dropout)),
    (
        "loss in eval mode",
        "The loss is taken in eval mode. Put the mode back before the loss, not after it.",
        _eat(learns=False),
    ),
    (
        "softmax twice",
        "The softmax is taken twice: cross_entropy wants logits, and takes the softmax itself. Give it model(...) as it is.",
        _eat(soft=True),
    ),
    (
        "downhill",
        "The step makes the source surer of its answer. Go up the gradient of the loss.",
        _eat(away=-1),
    ),
    (
        "no clip",
        "The attacked images are not clipped to [0, 1]: x_adv.clamp(0, 1).",
        _eat(clipped=False),
    ),
    (
        "two passes",
        "Clean and attacked images go through the model one after the other. Each pass has statistics of its own in batch "
        "normalisation: give the model one batch of twice the size.",
        _eat(joined=False),
    ),
    (
        "attacked images alone",
        "This is the loss of the attacked images alone. Half of it is that of the clean ones.",
        _attacked_alone,
    ),
    (
        "clean images alone",
        "This is the loss of the clean images alone. Half of it is that of the attacked ones.",
        lambda model, case, s: losses(model(case["x"]), case["y"]).mean(),
    ),
    (
        "sum of both",
        "The two losses are added up. Take their mean.",
        lambda model, case, s: 2 * eat(model, case, s),
    ),
    (
        "sum of both",
        "The two losses are added up. Take their mean.",
        lambda model, case, s: 2 * eat(model, case, s, joined=False),
    ),
    (*_ALL, _all_sources),
    (*_ALL, _mean_of_sources),
)


def _with_sources(case, rule):
    return [rule_followed(case, lambda model, case, s=s: rule(model, case, s)) for s in _sources(case)]


def _explained(answer, known):
    return any(all(alike(answer, loss)) for loss in known)


def follows_its_source(student: Student, draw: Draw) -> None:
    """Each of many losses is that of one of the sources; all of them come up, and the same seed brings up the same."""
    case = learning(student.task, draw, n=4).to(torch.float64)
    found = [told(student, case.but(seed=case["seed"] + i)) for i in range(SEEDS)]
    right = _with_sources(case, eat)
    strange = [answer for answer in found if not _explained(answer, right)]
    if strange:
        raise _slip(case, strange, right)
    seen = [_nearest(right, answer) for answer in found]
    again = [told(student, case.but(seed=case["seed"] + i)) for i in range(REPEATED)]
    if [_nearest(right, answer) for answer in again] != seen[:REPEATED]:
        message = (
            "The same seed draws another source each time. Draw from torch.Generator().manual_seed(seed)."
        )
        raise Finding("not repeatable", message)
    _all_come_up(seen, len(right))
    if seen == (seen[: len(right)] * SEEDS)[:SEEDS]:
        message = (
            "The sources take turns as the seed counts up. Draw: torch.randint(number, (), generator=...), the generator being "
            "seeded with it."
        )
        raise Finding("taken in turn", message)


def _nearest(right, answer):
    return min(range(len(right)), key=lambda s: abs(right[s][0] - answer[0]))


def _slip(case, strange, right):
    """The finding for losses that no source explains."""
    for key, message, slip in _SLIPS:
        known = _with_sources(case, slip)
        if all(_explained(answer, known) for answer in strange):
            return Finding(key, message)
    nearest = [right[_nearest(right, answer)] for answer in strange]
    return rule_unexplained(strange, nearest, [alike(*pair) for pair in zip(strange, nearest)])


def _all_come_up(seen, number):
    absent = set(range(number)) - set(seen)
    if len(absent) == number - 1:
        message = f"{SEEDS} seeds bring up one and the same source. Draw it: torch.randint(number, (), generator=...)."
        raise Finding("no draw", message)
    if number - 1 in absent:
        message = "The model itself is never the source. It is one of them, beside the static ones."
        raise Finding("never itself", message)
    if absent:
        message = (
            f"static[{min(absent)}] is never the source. Draw from all of the static networks and the model."
        )
        raise Finding("one left out", message)


def counts_its_sources(student: Student, draw: Draw) -> None:
    """With one static network and the model itself, no draw asks for a third source."""
    case = student.task.case(draw)
    case = case.but(static=case["static"][:1])
    for i in range(FEW_SEEDS):
        reply = student.ask(case.but(seed=case["seed"] + i))
        if reply.kind == CRASH:
            message = (
                "It works for two static networks and fails for one. Is the number of sources written down somewhere? It is "
                f"len(static) + 1. The error: {reply.detail.splitlines()[-1]}"
            )
            raise Finding("other amount", message)


def draws_evenly(student: Student, draw: Draw) -> None:
    """Of many sources the model itself comes up no more often than the others."""
    case = learning(student.task, draw, n=2, shape=(1, 6, 6)).to(torch.float64)
    static = tuple(Victim("linear", draw.integer(), (1, 6, 6)) for _ in range(OTHERS))
    case = case.but(static=static)
    itself, _ = rule_followed(case, lambda model, case: eat(model, case, OTHERS))
    times = sum(bool(near(student(case.but(seed=case["seed"] + i)), itself)) for i in range(DRAWS))
    if times >= MOST:
        message = (
            f"Beside {OTHERS} static networks the model itself is the source of {times} of {DRAWS} batches. It is one source "
            "among the others, and as likely as each of them: draw once from all."
        )
        raise Finding("not uniform", message)


EAT = (
    counts_its_sources,
    follows_its_source,
    draws_evenly,
    rule_in_logarithms(lambda model, case: eat(model, case, 0), change=lambda case: {"eps": 0.0}),
)
