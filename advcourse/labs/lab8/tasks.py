"""Lab 8, "Transform, vote, detect; and get through": its tasks, points and hints."""

from dataclasses import dataclass

from advcourse.labs.checks import Lab
from advcourse.labs.lab8 import (
    bpda_gradient,
    eot_gradient,
    joint_flags,
    quantise,
    region_votes,
    squeeze_score,
    thermometer,
    through,
)
from advcourse.labs.lab8.questions import FIRST, LAST, DefendedTask
from advcourse.labs.properties import (
    other_classes,
    other_shape,
    other_type,
    stays_in_budget,
    stays_in_the_box,
)


@dataclass(eq=False)
class _Behind(DefendedTask):
    parts: tuple = ()


GET_THROUGH = _Behind(
    "get_through",
    "Get through",
    5,
    ("model", "x", "y", "eps", "steps", "draws"),
    through.a_budget,
    (
        *FIRST,
        other_classes,
        through.comes_back_changed,
        through.asks_the_defense,
        stays_in_the_box,
        stays_in_budget(),
        through.survives_fresh_draws,
        through.keeps_to_its_draws,
        through.leaves_what_is_misread,
        through.breaks_digits,
        other_type,
        other_shape,
        *LAST,
    ),
    (
        "Tasks 3 and 4 in one: the shift has a gradient and draws, the rounding has none. shift, levels, f = model. In each step "
        "average over `draws` calls of the shift.",
        "One draw: z = shift(x_i); w = z + (levels(z) - z).detach() is levels(z) forward and the identity backward. Then the "
        "gradient of the cross-entropy of f(w) by x_i.",
        "PGD around it: `steps` times x_i = x_i + 2.5 * eps / steps * total.sign(), then clamp to x - eps, x + eps and to [0, "
        "1]. Return it detached.",
    ),
    parts=through.PARTS,
)


LAB = Lab(
    "lab8",
    (
        quantise.quantise,
        thermometer.thermometer,
        bpda_gradient.bpda_gradient,
        eot_gradient.eot_gradient,
        region_votes.region_votes,
        squeeze_score.squeeze_score,
        joint_flags.joint_flags,
        GET_THROUGH,
    ),
)
