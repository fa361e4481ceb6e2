"""Many steps: BIM and MI-FGSM as the judge computes them, and the slips that it knows by their results."""

import torch

from advcourse.labs import definitions as by_hand
from advcourse.labs.checks import Case, Draw, Student, Task, picture
from advcourse.labs.lab1 import loud
from advcourse.labs.lab1.fgsm import DESCENDS, proportional_to_the_gradient
from advcourse.labs.properties import agree, formula, same_as
from advcourse.labs.verdicts import Finding
from advcourse.labs.victims import Victim


def _climb(**changed):
    """The loop of BIM or MI-FGSM with the settings of the case, but for what is `changed`; alpha and steps may depend on it."""

    def images(case, **more):
        settings = {"steps": case["steps"], "alpha": case.arguments.get("alpha", case["eps"] / case["steps"])}
        settings |= {"decay": case.arguments.get("decay", 0.0)}
        settings |= changed | more
        settings |= {name: settings[name](case) for name in ("alpha", "steps") if callable(settings[name])}
        return by_hand.climb(case, case.labels, **settings)

    return images


iterate = _climb()
LOSS_SLIPS = loud.losses(lambda case, uphill: iterate(case, uphill=uphill))


def _summed(scaled):
    """The memory of MI-FGSM that takes `scaled` of a gradient instead of dividing it by its L1 norm."""
    return lambda decay, g, gradient: decay * g + scaled(gradient)


def _divided(dims, order=1):
    """Gradients divided by their norm of this order over these dimensions."""
    return _summed(lambda gradient: gradient / torch.linalg.vector_norm(gradient, order, dims, keepdim=True))


def _one_of(*definitions):
    """The test of a slip that comes out in more than one way."""
    return lambda case, images: any(same_as(definition)(case, images) for definition in definitions)


def _afterwards(share):
    """The memory that divides the sum by its norm, and adds this share of each gradient: 1 / 4 for the mean over four images."""
    return lambda decay, g, gradient: by_hand.normalised(0, g, decay * g + share * gradient)


_RAW = _summed(lambda gradient: gradient)

PROJECT_FIRST = (
    "A pixel ends eps + alpha away: the projection comes before the step, and the last step goes uncorrected. "
    "Step first, then project."
)


def projected_too_early(case: Case) -> tuple[float, str, str]:
    return case["eps"] + case["alpha"], "projects first", PROJECT_FIRST


_UNSIGNED = _one_of(
    *(
        _climb(
            memory=_summed(lambda gradient, share=share: share * gradient), direction=lambda g: g, uphill=up
        )
        for share in (1, 0.25)
        for up in (by_hand.rise, by_hand.slope)
    )
)

_COMMON = (
    ("descends", DESCENDS, same_as(_climb(away=-1))),
    (
        "gradient at x",
        "This is FGSM in small steps: all follow the gradient at the clean image x. Take it anew at x_i.",
        same_as(_climb(at="start")),
    ),
    (
        "too few steps",
        "One step is missing: the loop takes range(steps).",
        same_as(_climb(steps=lambda c: c["steps"] - 1)),
    ),
    (
        "too many steps",
        "There is one step too many: the loop takes range(steps).",
        same_as(_climb(steps=lambda c: c["steps"] + 1)),
    ),
    (
        "no sign",
        "The steps follow the gradient itself, long or short as it happens to be. Take the sign of the direction.",
        lambda case, images: proportional_to_the_gradient(case, images) or _UNSIGNED(case, images),
    ),
    (
        "never projected",
        "Nothing draws the images back to the ball around x. Project after each step, around the clean image x, not around x_i.",
        same_as(_climb(project="never")),
    ),
)

BIM_SLIPS = (
    *_COMMON,
    (
        "gradients accumulate",
        "Each step follows the sum of all gradients so far: .grad is added to, not replaced. Detach x_i before each step.",
        _one_of(*(_climb(memory=_RAW, decay=1.0, uphill=up) for up in (by_hand.rise, by_hand.slope))),
    ),
    (
        "projects at the end",
        "The images are projected onto the ball only once, after the last step. Project after every step.",
        same_as(_climb(project="end")),
    ),
    (
        "own step size",
        "The steps are eps / steps long. Here the step size alpha is given: use it.",
        same_as(_climb(alpha=lambda case: case["eps"] / case["steps"])),
    ),
)

MIFGSM_SLIPS = (
    *_COMMON,
    (
        "no momentum",
        "Each step follows its own gradient alone. Keep g from step to step: g = decay * g + gradient / its L1 norm.",
        same_as(_climb(decay=0.0)),
    ),
    (
        "not normalised",
        "The gradients are summed as they are, and long ones drown the others. Divide each by its L1 norm before you add it.",
        _one_of(*(_climb(memory=_RAW, uphill=up) for up in (by_hand.rise, by_hand.slope))),
    ),
    (
        "normalised afterwards",
        "The gradient is added to g as it is, and then g is divided by its norm. Divide each gradient before you add it.",
        _one_of(
            *(
                _climb(memory=_afterwards(share), uphill=up)
                for share in (1, 0.25)
                for up in (by_hand.rise, by_hand.slope)
            )
        ),
    ),
    (
        "sums signs",
        "The signs of the gradients are summed. Sum the gradients, divided by their L1 norm, and take the sign of the sum.",
        same_as(_climb(memory=_summed(torch.sign))),
    ),
    (
        "decay unused",
        "The old g counts in full, as with decay = 1. Multiply it by decay before the new gradient is added.",
        same_as(_climb(decay=1.0)),
    ),
    (
        "steps of eps",
        "Each step is eps long. The budget is shared by all of them: alpha = eps / steps.",
        same_as(_climb(alpha=lambda case: case["eps"])),
    ),
)


NORM_SLIPS = (
    (
        "one norm for all",
        "All gradients of the batch are divided by one norm, so one image decides about the others. Each image has a norm of its "
        "own: gradient.abs().sum(dim=(1, 2, 3), keepdim=True).",
        same_as(_climb(memory=_divided((0, 1, 2, 3)))),
    ),
    (
        "L2 norm",
        "Each gradient is divided by its L2 norm. MI-FGSM takes the L1 norm, the sum of the absolute values.",
        same_as(_climb(memory=_divided((1, 2, 3), 2))),
    ),
    (
        "largest value",
        "Each gradient is divided by its largest value. MI-FGSM takes the L1 norm, the sum of the absolute values.",
        same_as(_climb(memory=_divided((1, 2, 3), torch.inf))),
    ),
    (
        "one norm a channel",
        "Each colour channel is divided by a norm of its own. An image has one norm, over channels, rows and columns: "
        "dim=(1, 2, 3).",
        same_as(_climb(memory=_divided((2, 3)))),
    ),
    (
        "one norm a row",
        "Each row of pixels is divided by a norm of its own. An image has one norm, over channels, rows and columns: "
        "dim=(1, 2, 3).",
        same_as(_climb(memory=_divided(3))),
    ),
    *(slip for slip in MIFGSM_SLIPS if slip[0] in ("not normalised", "decay unused")),
)


def across_the_ridge(task: Task, draw: Draw, shape: tuple[int, int, int] = (3, 20, 24)) -> Case:
    """Colour images that cross a ridge, three after one step and one after two; old and new gradients pull against each other.

    Whether the memory turns round, and when, depends on the norm by which each gradient is divided.
    """
    n, steps, eps = 4, 12, draw.number(0.1, 0.2)
    x = 0.4 + 0.2 * draw.uniform((n, *shape))
    x[:, 0, 0, 0] = 0.5 - eps / steps * torch.tensor([0.5, 0.5, 0.5, 1.5])
    settings = {"x": x, "y": torch.zeros(n, dtype=torch.long), "eps": eps, "steps": steps, "decay": 0.75}
    case = task.case(draw, "ridge", n, shape=shape, classes=2, **settings)
    return case


def goes_on_where_it_is_flat(student: Student, draw: Draw) -> None:
    """The first of two steps leads to the bottom between two hills, where the gradient is exactly 0; the memory leads on.

    All numbers are sums of powers of 2, so that the bottom is met to the last digit.
    """
    shape = (1, 4, 4)
    x = 0.3 + 0.4 * draw.uniform((2, *shape))
    x[:, 0, 0, 0] = 0.5 + 1 / 16
    case = student.task.case(
        draw, n=2, shape=shape, x=x, y=torch.ones(2, dtype=torch.long), eps=1 / 8, steps=2
    )
    case = case.but(Victim("two hills", shape=shape, classes=2))
    images = student(case)
    if agree(images, iterate(case), 1):
        return
    if agree(images, _climb(steps=1)(case), 1):
        told = (
            "An image that comes to a place where the gradient is 0 stays there for ever. 0 / 0 is not a number, and neither is "
            "g from then on. Where the norm is 0 do not divide by it, for example by clamp_min(1e-12): then g leads on."
        )
        raise Finding("norm of 0", told)
    raise formula(case, images, iterate(case))


def returns_the_end(student: Student, draw: Draw) -> None:
    """The last image comes back, though the first of two steps, from corner to corner of the ball, may have gained more."""
    eps = draw.number(0.1, 0.2)
    case = student.task.case(draw, n=8, grey=True, eps=eps, alpha=2 * eps, steps=2)
    images, first, last = student(case), _climb(steps=1)(case), iterate(case)
    if agree(images, last):
        return
    gained, kept = (by_hand.log_odds(by_hand.logits(case, x), case.labels) for x in (first, last))
    clear = (gained - kept).abs() > 1e-3  # elsewhere rounding decides
    if agree(images[clear], torch.where((gained > kept).view(-1, 1, 1, 1), first, last)[clear]):
        told = "The best image on the way comes back, here for some that after the first of two steps. Return the last image."
        raise Finding("best on the way", told, picture(case, images, 0))
    raise formula(case, images, last)


def aims_at_the_target(student: Student, draw: Draw) -> None:
    """With a target, which is neither the label nor class 0, the loss of the target falls."""
    case = student.task.case(draw, grey=True)
    aimed = case.but(target=(case.labels + draw.integer() % 8) % 9 + 1)
    images, untargeted = student(aimed), iterate(case)
    settings = {"alpha": case["alpha"], "steps": case["steps"]}
    expected = by_hand.climb(aimed, aimed["target"], -1, **settings)
    if same_as(lambda _: expected)(aimed, images):
        return
    shown = picture(aimed, images, 0)
    if same_as(lambda _: untargeted)(aimed, images):
        told = "With a target the images are the same as without one. Where target is not None, lower the loss of the target."
        raise Finding("target unused", told, shown)
    if same_as(lambda case: by_hand.climb(case, case["target"], 1, **settings))(aimed, images):
        told = (
            "With a target the images move away from it. The loss of the target must fall: subtract the step."
        )
        raise Finding("leaves the target", told, shown)
    if same_as(lambda case: by_hand.climb(case, case.labels, -1, **settings))(aimed, images):
        told = (
            "With a target the loss of y falls, so the images move deeper into their own class. Put the target in place of y: "
            "it is the target's loss that must fall."
        )
        raise Finding("y for the target", told, shown)
    raise formula(aimed, images, expected)
