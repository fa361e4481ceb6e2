"""Projections onto the balls of L-infinity and L2, and the slips that the judge knows by their results."""

from advcourse.labs import definitions as by_hand
from advcourse.labs.checks import picture
from advcourse.labs.properties import same_as
from advcourse.labs.verdicts import Finding
from advcourse.metrics import l2

EXACTLY = 1.0  # no gradient is involved, so every pixel is certain


def project(case):
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


def project_l2(case):
    return by_hand.nearest_l2(case["x_adv"].double(), by_hand.clean(case), case["eps"])


def _scaled_by(case, length, least=0.0):
    factor = case["eps"] / length.clamp_min(1e-12)
    return (by_hand.clean(case) + _change(case) * (factor if least else factor.clamp_max(1))).clamp(0, 1)


def _lengths(case):
    return _change(case).flatten(1).norm(dim=1).view(-1, 1, 1, 1)


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
        same_as(lambda case: _scaled_by(case, _lengths(case), least=1.0)),
    ),
    (
        "one norm a row",
        "Each row of pixels is scaled by a norm of its own. Take one norm over all dimensions but the first.",
        same_as(lambda case: _scaled_by(case, _change(case).norm(dim=-1, keepdim=True))),
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


def stays_in_the_l2_ball(student, draw):
    """No change is longer than eps."""
    case = student.task.case(draw)
    images = student(case)
    lengths = l2(by_hand.clean(case), images)
    if (worst := lengths.max().item()) > case["eps"] * (1 + 1e-4):
        told = (
            f"A change is {worst:.3f} long (L2 norm of the image's change); the budget eps is {case['eps']}."
        )
        raise Finding("budget", told, picture(case, images, int(lengths.argmax())))
