"""The losses of adversarial training as the judge computes them, and the slips known by their numbers and gradients."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from advcourse.labs.checks import Case, Draw, Task
from advcourse.labs.lab7.losses import learning, rule_in_logarithms, rule_trains_as, two_learning


def losses(logits: Tensor, y: Tensor) -> Tensor:
    """Each row's cross-entropy, (N,)."""
    return -logits.log_softmax(1).gather(1, y[:, None])[:, 0]


@contextmanager
def in_mode(model: nn.Module, training: bool, kind: type[nn.Module] = nn.Module) -> Iterator[None]:
    """The model in this mode, or its layers of this kind alone, and afterwards in the one that it had."""
    was = [(layer, layer.training) for layer in model.modules()]
    for layer, _ in was:
        if isinstance(layer, kind):
            layer.training = training
    try:
        yield
    finally:
        for layer, mode in was:
            layer.training = mode


def uphill(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The sign of the gradient of each image's loss, in the mode that the model is in."""
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(losses(model(x), y).sum(), x)[0].sign()


def answer(model: nn.Module, x: Tensor, kind: type[nn.Module] = nn.Module) -> Tensor:
    """The classes (N,) that the model gives with its layers of this kind in eval mode."""
    with in_mode(model, False, kind), torch.no_grad():
        return model(x).argmax(1)


# Adversarial examples alone


def near_start(draw: Draw, x: Tensor) -> dict[str, Tensor | float]:
    """A budget, a step so long that the last point is not always the best, and a random point of the ball."""
    eps = draw.number(0.1, 0.2)
    start = (x + eps * (2 * draw.uniform(x.shape) - 1)).clamp(0, 1)
    return {"start": start, "eps": eps, "alpha": round(1.2 * eps, 3), "steps": 4 + draw.integer() % 3}


def iterates(
    model: nn.Module,
    case: Case,
    *,
    start: str = "start",
    labels: Callable[[nn.Module, Tensor], Tensor] | None = None,
    training: bool = False,
    kind: type[nn.Module] = nn.Module,
    away: int = 1,
    budget: bool = True,
) -> list[Tensor]:
    """All points that PGD comes through, the start among them."""
    x, eps = case["x"], case["eps"]
    found = [case[start]]
    y = case["y"] if labels is None else labels(model, x)
    for _ in range(case["steps"]):
        with in_mode(model, training, kind):
            x_i = found[-1] + away * case["alpha"] * uphill(model, found[-1], y)
        x_i = x + (x_i - x).clamp(-eps, eps) if budget else x_i
        found.append(x_i.clamp(0, 1))
    return found


def pat(
    model: nn.Module,
    case: Case,
    learns: bool = True,
    clean: float = 0.0,
    which: int = -1,
    soft: bool = False,
    **how: Any,
) -> Tensor:
    """The loss of PGD's last iterates. What follows `case` serves the slips."""
    x_i = iterates(model, case, **how)[which]
    with in_mode(model, learns):
        logits = model(x_i).softmax(1) if soft else model(x_i)
        loss = losses(logits, case["y"]).mean()
        return loss if not clean else (1 - clean) * loss + clean * losses(model(case["x"]), case["y"]).mean()


def _pat(**how):
    return lambda model, case: pat(model, case, **how)


def _together(model, case):
    y = case["y"]
    return losses(model(torch.cat([case["x"], iterates(model, case)[-1]])), torch.cat([y, y])).mean()


def _clean(model, case):
    return losses(model(case["x"]), case["y"]).mean()


def _largest(of):
    """The largest mean loss of the points of(x, iterates)."""

    def slip(model, case):
        points = of(case["x"], iterates(model, case))
        return torch.stack([losses(model(x_i), case["y"]).mean() for x_i in points]).max()

    return slip


def _best_batch(model, case):
    """The loss of that iterate whose mean loss is the largest in eval mode."""
    found = iterates(model, case)
    with in_mode(model, False), torch.no_grad():
        values = torch.stack([losses(model(x_i), case["y"]).mean() for x_i in found])
    return losses(model(found[int(values.argmax())]), case["y"]).mean()


def _best(model, case):
    """Each image's iterate of the largest loss."""
    found = torch.stack(iterates(model, case))
    with in_mode(model, False), torch.no_grad():
        values = torch.stack([losses(model(x_i), case["y"]) for x_i in found])
    chosen = one_hot(values.argmax(0), len(found)).T[..., None, None, None].bool()
    return losses(model(torch.where(chosen, found, 0.0).sum(0)), case["y"]).mean()


_HALF = (
    "clean images too",
    "Half of the loss is that of the clean images. The loss of Madry et al. is that of the adversarial ones alone; the "
    "mixture buys clean accuracy with robustness.",
)

_BEST = (
    "best iterate",
    "Of several points you take the one of the largest loss, for each image or for the batch. That makes an attack stronger; the "
    "training of Madry et al. takes the last iterate, whatever its loss.",
)

PARTLY = (
    "partly in training mode",
    "In the attack only some layers are in eval mode. Batch normalisation and dropout both work otherwise in training mode: "
    "model.eval() switches all of them.",
)

_PAT_SLIPS = (
    (
        "attack in training mode",
        "The attack asks the model in training mode, where each batch has statistics of its own, and every step moves the "
        "running ones. Switch to model.eval() before the attack, and back before the loss.",
        _pat(training=True),
    ),
    (*PARTLY, _pat(kind=nn.BatchNorm2d)),
    (*PARTLY, _pat(kind=nn.Dropout)),
    (
        "loss in eval mode",
        "The attack is made in eval mode, and the loss is taken in it too. Put the mode back before the loss, not after it.",
        _pat(learns=False),
    ),
    (
        "softmax twice",
        "The softmax is taken twice: cross_entropy wants logits, and takes the softmax itself. Give it model(...) as it is.",
        _pat(soft=True),
    ),
    (
        "clean loss",
        "This is the loss of the clean images. Give the model the attacked ones.",
        _clean,
    ),
    (*_HALF, _pat(clean=0.5)),
    (*_HALF, _together),
    (
        "from the image",
        "The attack starts at x. There the loss of a trained model is flat. Start at `start`.",
        _pat(start="x"),
    ),
    (
        "start alone",
        "This is the loss at the start, before any step. Take the last iterate: climb(...)[-1].",
        _pat(which=0),
    ),
    (
        "one step",
        "This is the loss after the first step. Take the last iterate: climb(...)[-1].",
        _pat(which=1),
    ),
    (
        "last but one",
        "This is the loss of the last iterate but one. climb gives steps + 1 points, for the start is one: the last is [-1].",
        _pat(which=-2),
    ),
    (*_BEST, _best),
    (*_BEST, _best_batch),
    (*_BEST, _largest(lambda x, found: found)),
    (*_BEST, _largest(lambda x, found: (found[0], found[-1]))),
    (*_BEST, _largest(lambda x, found: (x, found[-1]))),
    (*_BEST, _largest(lambda x, found: found[-2:])),
    (
        "own answer",
        "The attack climbs the loss of the model's own answers. Here it climbs that of the labels y.",
        _pat(labels=answer),
    ),
    (
        "downhill",
        "The attack makes the loss smaller, so that the model learns from images that help it. Go up the gradient.",
        _pat(away=-1),
    ),
    (
        "no budget",
        "The iterates leave the ball of size eps around x. Clip each to [x - eps, x + eps], then to [0, 1].",
        _pat(budget=False),
    ),
)


def two_lengths(task: Task, draw: Draw) -> tuple[Case, Case, Case]:
    """Some steps, and one more, each more than five; and a model where the last iterate is the worst of all."""
    some, more = two_learning(task, draw)
    steps = some["steps"] + 2
    return some.but(steps=steps), more.but(steps=steps + 1), over_the_ridge(task, draw)


def over_the_ridge(task: Task, draw: Draw) -> Case:
    """Images just below a ridge, and high: the first step crosses it, and beyond it the loss is next to 0."""
    case = learning(task, draw, "ridge", n=3, classes=2)
    eps, along = draw.number(0.05, 0.1), case.victim.build().slopes[0].detach().view(1, *case["x"].shape[1:])
    x = 0.5 + (0.35 + 0.1 * draw.uniform((3, 1, 1, 1))) * along
    start = x - 0.1 * eps * along
    x[:, 0, 0, 0], start[:, 0, 0, 0] = 0.5 - 0.5 * eps, 0.5 - 0.3 * eps
    x[:, -1, -1, -1] = start[:, -1, -1, -1] = 0.0
    alpha = round(1.2 * eps, 3)
    return case.but(x=x, y=torch.zeros(3, dtype=torch.long), start=start, eps=eps, alpha=alpha)


def no_attack(case: Case) -> dict[str, Tensor | float]:
    """A budget of 0, where all iterates are the image."""
    return {"start": case["x"], "eps": 0.0}


PAT = (rule_trains_as(pat, _PAT_SLIPS, two_lengths), rule_in_logarithms(pat, change=no_attack))
