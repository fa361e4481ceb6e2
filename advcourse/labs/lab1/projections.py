"""Projections onto the balls of L-infinity and L2, and the slips that the judge knows by their results."""

import torch
from torch import Tensor

from advcourse.core.rounding import percent
from advcourse.labs import definitions as by_hand
from advcourse.labs.checks import Case, Draw, Student, picture
from advcourse.labs.properties import same_as
from advcourse.labs.verdicts import Finding
from advcourse.metrics import l2

EXACTLY = 1.0  # no gradient is involved, so every pixel is certain
TINY = 1e-4  # a budget beside which 1e-6 is a hundredth, and the 1e-7 of torch.renorm a thousandth


def project(case: Case) -> Tensor:
    return by_hand.nearest(case["x_adv"].double(), by_hand.clean(case), case["eps"])


def _change(case):
    return case["x_adv"].double() - by_hand.clean(case)


def _scaled(case):
    change = _change(case)
    largest = change.abs().flatten(1).amax(1).view(-1, 1, 1, 1)
    return (by_hand.clean(case) + change * (case["eps"] / largest.clamp_min(1e-12)).clamp_max(1)).clamp(0, 1)


PROJECT_SLIPS = (
    (
        "clean image",
        "The result is x, the centre of the ball. Bring x_adv back, and no further than needed.",
        same_as(by_hand.clean),
    ),
    (
        "perturbation",
        "The result is the change alone, x_adv - x cut to [-eps, eps]. Add x again.",
        same_as(lambda case: _change(case).clamp(-case["eps"], case["eps"])),
    ),
    (
        "ball around 0",
        "x_adv itself is cut to [-eps, eps], as if the ball lay around 0. It lies around x: from x - eps to x + eps.",
        same_as(lambda case: case["x_adv"].double().clamp(-case["eps"], case["eps"]).clamp(0, 1)),
    ),
    (
        "roles swapped",
        "x is drawn to within eps of x_adv. It is the other way round: x_adv is drawn to within eps of x.",
        same_as(
            lambda case: (case["x_adv"].double() - _change(case).clamp(-case["eps"], case["eps"])).clamp(0, 1)
        ),
    ),
    (
        "image for the change",
        "x_adv is added to x as if it were the change. It is an image: cut x_adv - x, or x_adv between x - eps and x + eps.",
        same_as(
            lambda case: (
                by_hand.clean(case) + case["x_adv"].double().clamp(-case["eps"], case["eps"])
            ).clamp(0, 1)
        ),
    ),
    (
        "scaled",
        "The whole change is scaled down. In L-infinity each pixel is cut on its own: those inside stay where they are.",
        same_as(_scaled),
    ),
    (
        "pushed outwards",
        "Pixels inside the ball are pushed out to its border. A projection leaves alone what is inside.",
        same_as(lambda case: (by_hand.clean(case) + case["eps"] * _change(case).sign()).clamp(0, 1)),
    ),
)


def project_l2(case: Case) -> Tensor:
    return by_hand.nearest_l2(case["x_adv"].double(), by_hand.clean(case), case["eps"])


def _scaled_by(case, length, bound=(None, 1)):
    """x and its change times eps / length, that factor being at least and at most `bound`."""
    factor = (
        (case["eps"] / length.clamp_min(1e-12)).clamp(*bound)
        if bound
        else case["eps"] / length.clamp_min(1e-12)
    )
    return (by_hand.clean(case) + _change(case) * factor).clamp(0, 1)


def _lengths(case, order=2, dims=(1, 2, 3)):
    return torch.linalg.vector_norm(_change(case), order, dims, keepdim=True)


PROJECT_L2_SLIPS = (
    (
        "clean image",
        "The result is x, the centre of the ball. Bring x_adv back, and no further than needed.",
        same_as(by_hand.clean),
    ),
    (
        "one norm for all",
        "All images are scaled by one norm, that of the whole batch. Each image has a norm of its own: flatten(1).norm(dim=1).",
        same_as(lambda case: _scaled_by(case, _change(case).norm())),
    ),
    (
        "pushed outwards",
        "Images inside the ball are scaled up to its border. Leave them where they are: the factor is at most 1.",
        same_as(lambda case: _scaled_by(case, _lengths(case), bound=None)),
    ),
    (
        "one norm a row",
        "Each row of pixels is scaled by a norm of its own. Take one norm over all dimensions but the first.",
        same_as(lambda case: _scaled_by(case, _lengths(case, dims=3))),
    ),
    (
        "one norm a channel",
        "Each colour channel is scaled by a norm of its own. Take one norm over all dimensions but the first.",
        same_as(lambda case: _scaled_by(case, _lengths(case, dims=(2, 3))), EXACTLY),
    ),
    (
        "L1 norm",
        "The change is divided by its L1 norm, the sum of the absolute values. The length in L2 is the root of the sum of "
        "squares.",
        same_as(lambda case: _scaled_by(case, _lengths(case, 1)), EXACTLY),
    ),
    (
        "factor at least 1",
        "Changes that are too long stay, and short ones are made longer: the factor eps / length is bounded on the wrong "
        "side. It is at most 1: clamp_max(1), or a minimum.",
        same_as(lambda case: _scaled_by(case, _lengths(case), bound=(1, None)), EXACTLY),
    ),
    (
        "perturbation",
        "The result is the shortened change alone. Add x again.",
        same_as(
            lambda case: _change(case) * (case["eps"] / _lengths(case).clamp_min(1e-12)).clamp_max(1), EXACTLY
        ),
    ),
    (
        "another ball",
        "Each pixel is cut to [-eps, eps]: that is the L-infinity ball. In L2 the whole change of an image is made shorter.",
        same_as(project, most=EXACTLY),
    ),
    (
        "squared length",
        "The change is divided by the square of its length. Is a square root missing?",
        same_as(lambda case: _scaled_by(case, _lengths(case).square())),
    ),
    (
        "box first",
        "The image is clipped to [0, 1] before it is scaled. Scale first: the clip that follows only brings it nearer to x.",
        same_as(
            lambda case: by_hand.nearest_l2(
                case["x_adv"].double().clamp(0, 1), by_hand.clean(case), case["eps"]
            )
        ),
    ),
)


def stays_in_the_l2_ball(student: Student, draw: Draw) -> None:
    """No change is longer than eps."""
    case = student.task.case(draw)
    images = student(case)
    lengths = l2(by_hand.clean(case), images)
    if (worst := lengths.max().item()) > case["eps"] * (1 + 1e-4):
        told = (
            f"A change is {worst:.3f} long (L2 norm of the image's change); the budget eps is {case['eps']}."
        )
        raise Finding("budget", told, picture(case, images, int(lengths.argmax())))


def takes_short_lengths(student: Student, draw: Draw) -> None:
    """In a ball of radius 1e-4 changes are as long as they should be: nothing worth mentioning is added to their length."""
    case = student.task.case(draw, n=6, grey=True).to(torch.float64)
    change, times = draw.normal(case["x"].shape).double(), torch.tensor([0.3, 0.6, 0.99, 1.01, 1.5, 8.0])
    change *= (TINY * times / change.flatten(1).norm(dim=1)).view(-1, 1, 1, 1)
    case = case.but(eps=TINY, x_adv=case["x"] + change)
    images, right = student(case), project_l2(case)
    wanted = l2(by_hand.clean(case), right)
    off = (images - right).flatten(1).norm(dim=1) / wanted
    if (worst := off.max().item()) > 0.003:
        i = int(off.argmax())
        told = (
            f"With eps = {TINY} the change of an image should be {wanted[i]:.2e} long, and what comes back is off by "
            f"{percent(worst)} of that. Is a number added to the length, or the length bounded below, so that nothing is divided "
            "by 0? Lengths may be short: take a far smaller number, such as clamp_min(1e-12)."
        )
        raise Finding("short lengths", told, picture(case, images, i))
