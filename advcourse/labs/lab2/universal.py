"""UAP, the mini-batch variant, as the judge computes it, and slips known by their results."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from advcourse.core.inputs import predict
from advcourse.core.rounding import percent
from advcourse.labs import definitions as by_hand
from advcourse.labs.checks import Case, Draw, Student
from advcourse.labs.properties import MOST, SAME
from advcourse.labs.verdicts import Finding, Picture

HELD_OUT = 100
NOISE = {
    "n": 20,
    "shape": (1, 8, 8),
    "grey": True,
}  # read as many classes, whose gradients pull v to and fro
# Pixels next to 0 and 1, which the clip holds fast; and few steps, the last of which belongs to a small batch.
AT_THE_EDGE = {"n": 8, "shape": (1, 8, 8), "batch": 5, "passes": 2}


def uap(case: Case, **slip: Any) -> Tensor:
    """The perturbation (C, H, W); what differs in a `slip`: see UAP_SLIPS."""
    x, eps, cap = by_hand.clean(case), case["eps"], case["cap"]
    alpha, model = slip.get("alpha", case["alpha"]), by_hand.model_of(case)
    own = case.labels if slip.get("label") else by_hand.most_likely(case)
    v = torch.zeros_like(x[0])
    size = len(x) if slip.get("at once") else slip.get("batch", case["batch"])
    for _ in range(slip.get("passes", case["passes"])):
        for images, labels in zip(x.split(size), own.split(size)):
            if slip.get("full batches") and len(images) < size:
                continue
            v = v.detach().requires_grad_()
            seen = images + v if slip.get("no clip") else (images + v).clamp(0, 1)
            logits = model(seen).softmax(1) if slip.get("softmax") else model(seen)
            labels = logits.argmax(1) if slip.get("moment") else labels
            loss = cross_entropy(logits, labels, reduction="none")
            capped = loss if slip.get("no cap") else loss.clamp_max(cap)
            value = loss.mean().clamp_max(cap) if slip.get("cap on the mean") else capped.mean()
            gradient = torch.autograd.grad(value, v)[0]
            step = gradient if slip.get("no sign") else gradient.sign()
            v = v.detach() + slip.get("away", 1) * alpha * step
            v = v if slip.get("project") == "end" else v.clamp(-eps, eps)
    return v.clamp(-eps, eps).detach()


def _same(found, expected):
    return ((found - expected).abs() < SAME).double().mean().item() >= MOST


def _slip(**changed):
    return lambda case, found: _same(found, uap(case, **changed))


UAP_SLIPS = (
    (
        "descends",
        "The loss falls with each step. The images must leave their class: add the step.",
        _slip(away=-1),
    ),
    (
        "label",
        "The steps leave the label y. A universal perturbation is to change the model's answer: k is the class "
        "predicted for the clean image.",
        _slip(label=True),
    ),
    (
        "no cap",
        "The loss of an image grows without end: those that are fooled long since pull harder than those that are not. "
        "Cap each at `cap` before you average.",
        _slip(**{"no cap": True}),
    ),
    (
        "cap on the mean",
        'The mean is capped, not each image\'s loss: one large loss stops all. Use reduction="none", cap, then average.',
        _slip(**{"cap on the mean": True}),
    ),
    (
        "no sign",
        "The steps are the gradient itself. Take its sign.",
        _slip(**{"no sign": True}),
    ),
    (
        "one pass",
        "Only one pass counts. Repeat it, `passes` times, and let each go on from the v of the one before: v = 0 "
        "stands before the loops.",
        _slip(passes=1),
    ),
    (
        "all at once",
        "All images are used in one step for each pass. Split them into mini-batches: x.split(batch), one step for each.",
        _slip(**{"at once": True}),
    ),
    (
        "softmax twice",
        "The softmax is taken twice: cross_entropy wants logits, and takes the softmax itself. Give it model(...) as it is.",
        _slip(softmax=True),
    ),
    (
        "answer of the moment",
        "k is taken anew in every step, from the images with v. The images are to leave the class of"
        " the clean image: find k once, before the loops.",
        _slip(moment=True),
    ),
    (
        "images not clipped",
        "The model sees images + v with pixels outside of [0, 1]. Whoever uses v adds it and clips: (images + v).clamp(0, 1).",
        _slip(**{"no clip": True}),
    ),
    (
        "last batch dropped",
        "The last mini-batch is left out, for it is smaller than the others. x.split(batch) gives it too.",
        _slip(**{"full batches": True}),
    ),
    (
        "projects at the end",
        "v is projected only once, at the end. Clip it to [-eps, eps] after every step.",
        _slip(project="end"),
    ),
)


def _telling(task, draw, shows, how):
    """A case in which the slip `shows` gives another perturbation, for a slip may have no effect by chance; none: any case."""
    for _ in range(20):
        case = task.case(draw, **how)
        if not shows or (uap(case, **{shows: True}) - uap(case)).abs().ge(SAME).double().mean() > 3 * (
            1 - MOST
        ):
            break
    return case


def recognises_uap(shows: str | None = None, **how: Any) -> Callable[[Student, Draw], None]:
    """The perturbation is the judge's. Where it is that of a slip, the slip is named. `shows`: see `_telling`."""

    def ask(student, draw):
        case = _telling(student.task, draw, shows, how)
        v, expected = student(case), uap(case)
        if _same(v, expected):
            return
        for key, message, test in UAP_SLIPS:
            if test(case, v):
                raise Finding(key, message)
        share = ((v - expected).abs() >= SAME).double().mean().item()
        told = (
            f"{percent(share)} of the perturbation is not what the formula gives. Compare it with your lines."
        )
        raise Finding("formula", told)

    return ask


def is_something(student: Student, draw: Draw) -> None:
    """The perturbation is neither 0 nor beyond the budget."""
    case = student.task.case(draw, grey=True)
    v, eps = student(case), case["eps"]
    size = v.abs().max().item()
    if size == 0:
        raise Finding("zero", "The perturbation is 0 everywhere. Is the changed v the one that you return?")
    if size > eps + 1e-6:
        told = f"The perturbation reaches {size:.3f}, more than the budget eps = {eps}. Clip it to [-eps, eps] after each step."
        raise Finding("budget", told, Picture(case["x"][0], (case["x"][0].double() + v).clamp(0, 1)))


def fools_other_images(student: Student, draw: Draw) -> None:
    """Added to digits that it was not made on, it changes the model's answer about as often as the judge's does."""
    settings = {"eps": 0.3, "alpha": 0.05, "passes": 4, "batch": 16, "cap": 3.0}
    case = student.task.case(draw, "mnist-cnn", 64, **settings)
    others, _ = draw.images(HELD_OUT)
    model = case.victim.build()
    before = predict(model, others).argmax(1)
    theirs, ours = (
        (predict(model, (others + v.float()).clamp(0, 1)).argmax(1) != before).sum().item()
        for v in (student(case), uap(case))
    )
    if theirs < 0.6 * ours:
        told = f"On {HELD_OUT} digits that it was not made on, it changes {theirs} answers; a right one changes {ours}."
        raise Finding("weak", told)
