"""Many steps: BIM, MI-FGSM and PGD as the judge computes them, and the slips that it knows by their results."""

import torch

from advcourse.inputs import predict
from advcourse.labs import definitions as by_hand
from advcourse.labs.checks import picture
from advcourse.labs.lab1.one_step import DESCENDS
from advcourse.labs.properties import formula, same_as
from advcourse.labs.verdicts import Finding
from advcourse.labs.victims import Victim
from advcourse.metrics import succeeded

RESTARTS = 20  # on two hills each start fails with probability 1/2, so a right answer with 2^-20
SINGLES = 6  # images attacked alone, to tell the last restart from the best


def _climb(**changed):
    """The loop of BIM or MI-FGSM with the settings of the case, but for what is `changed`."""

    def images(case):
        settings = {"steps": case["steps"], "alpha": case.arguments.get("alpha", case["eps"] / case["steps"])}
        settings |= {"decay": case.arguments.get("decay", 0.0)}
        settings |= {name: value(case) if callable(value) else value for name, value in changed.items()}
        return by_hand.climb(case, case.labels, **settings)

    return images


iterate = _climb()

PROJECT_FIRST = (
    "A pixel ends eps + alpha away: the projection comes before the step, and the last step goes uncorrected. "
    "Step first, then project."
)


def projected_too_early(case):
    return case["eps"] + case["alpha"], "projects first", PROJECT_FIRST


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
)

BIM_SLIPS = (
    *_COMMON,
    (
        "gradients accumulate",
        "Each step follows the sum of all gradients so far: .grad is added to, not replaced. Detach x_i before each step.",
        same_as(_climb(memory="raw", decay=1.0)),
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
        same_as(_climb(memory="raw")),
    ),
    (
        "sums signs",
        "The signs of the gradients are summed. Sum the gradients, divided by their L1 norm, and take the sign of the sum.",
        same_as(_climb(memory="signs")),
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


def aims_at_the_target(student, draw):
    """With a target the loss of the target falls."""
    case = student.task.case(draw, grey=True)
    aimed = case.but(target=(case.labels + 1 + draw.integer() % 9) % 10)
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
    raise formula(aimed, images, expected)


# PGD


def starts_at_random(student, draw):
    """After one step of next to nothing the images show the start: uniform in the ball. Grey images, so nothing is clipped."""
    eps = draw.number(0.1, 0.2)
    case = student.task.case(draw, grey=True, eps=eps, alpha=eps * 1e-4, steps=1, restarts=1)
    images = student(case)
    u = (images - by_hand.clean(case)) / eps
    shown = picture(case, images, 0)
    if u.abs().max() < 0.02:
        told = "The first step starts from x. Start from a random point of the ball: x plus numbers drawn from [-eps, eps]."
        raise Finding("no randomness", told, shown)
    if u.abs().max() > 1.01:
        told = f"A start is {u.abs().max() * eps:.3f} away from x; the budget eps is {eps}. The start must lie in the ball too."
        raise Finding("start outside the ball", told, shown)
    if u.mean().abs() > 0.2:
        told = "The starts all lie on one side of x. Numbers from torch.rand are in [0, 1): stretch them to [-eps, eps]."
        raise Finding("one-sided", told, shown)
    if (u[0] - u[1]).abs().max() < 0.02:
        told = "All images of the batch start with the same noise. Draw numbers for the whole shape of x."
        raise Finding("one noise for all", told, shown)
    if (u.abs() > 0.98).double().mean() > 0.1 or abs(u.std() - 3**-0.5) > 0.1:
        told = "The starts are not spread evenly over the ball. Draw each pixel's change uniformly from [-eps, eps]."
        raise Finding("start not uniform", told, shown)


def reaches_the_corner(case):
    """On a linear model with two classes the gradient's sign is the same everywhere: the best point of the ball is a corner."""
    return by_hand.one_step(case, case.labels, 1)


PGD_SLIPS = (("descends", DESCENDS, same_as(lambda case: by_hand.one_step(case, case.labels, -1))),)


def _on_two_hills(student, draw, n, restarts):
    """A case in which a random start decides: half of the starts end on a hill that fools nothing."""
    eps, shape = draw.number(0.1, 0.2), (1, 4, 4)
    x = 0.3 + 0.4 * draw.uniform((n, *shape))
    x[:, 0, 0, 0] = 0.5
    settings = {"x": x, "y": torch.zeros(n, dtype=torch.long), "eps": eps, "alpha": eps / 2, "steps": 4}
    case = student.task.case(draw, n=n, shape=shape, restarts=restarts, **settings)
    return case.but(Victim("two hills", shape=shape, classes=2, size=eps))


def _fooled(case, images):
    return succeeded(predict(case.victim.build(), images.float().clamp(0, 1)), case.labels)


def climbs_from_its_start(student, draw):
    """On two hills the way up shows at the start alone: at x, in the valley, the model has no gradient."""
    case = _on_two_hills(student, draw, 16, restarts=1)
    images = student(case)
    along = (images - by_hand.clean(case))[:, 0, 0, 0].abs()
    if (along < 0.99 * case["eps"]).any():
        told = (
            "The steps do not climb from the place that they have reached. Take the gradient at x_i, which begins at the random "
            "start; at x itself this model has none."
        )
        raise Finding("gradient at x", told)


def keeps_the_best(student, draw):
    """Of many restarts it keeps, for each image, the one that does best."""
    case = _on_two_hills(student, draw, 16, restarts=RESTARTS)
    images = student(case)
    if torch.equal(images, student(case.but(restarts=1))):
        told = f"{RESTARTS} restarts give what one gives. Draw a new start in each, from one generator made before the loop."
        raise Finding("restarts alike", told)
    singles = [case.image(i).but(seed=draw.integer()) for i in range(SINGLES)]
    fooled = [bool(_fooled(one, student(one))) for one in singles]
    if not any(fooled):
        told = f"Of {RESTARTS} restarts the weakest is kept. Compare the losses the other way round."
        raise Finding("keeps the weakest", told)
    if not all(fooled):
        told = (
            f"With {RESTARTS} restarts {SINGLES - sum(fooled)} of {SINGLES} images still withstand, though about every second "
            "start fools them. Keep the best result so far; the last is only one of them."
        )
        raise Finding("keeps the last", told)
    if not _fooled(case, images).all():
        told = (
            f"Alone each image is fooled; in a batch {int((~_fooled(case, images)).sum())} of 16 are not. "
            "The best restart is another one for each image: compare and choose image by image."
        )
        raise Finding("best of the batch", told)
