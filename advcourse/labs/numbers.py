"""Properties of functions whose result is no batch of images: distances, losses, indices, steps.

`gives` does for them what `recognises` and `follows` of the properties do for images, and says which number is wrong.
"""

import torch

from advcourse.labs.verdicts import Finding

CLOSE = 1e-4  # relative; float32 rounding is far below it
LEAST = 1e-7  # absolute, for what should be 0


def near(found, expected, least=LEAST):
    """True where a number is the expected one, each measured by its own size; infinity is near itself alone."""
    close = (found - expected).abs() <= CLOSE * expected.abs() + least
    return torch.where(expected.isfinite(), close, found == expected)


def gives(definition, slips=(), least=LEAST, **how):
    """The result is that of `definition`, a function of the case. Where it is that of a known slip, the slip is named.

    `slips`: rows of (key, message, definition); `least`: how far from 0 a 0 may be. `how`: the case, as for `Task.case`.
    """

    def ask(student, draw):
        case = student.task.case(draw, **how)
        found, expected = student(case), definition(case)
        if near(found, expected, least).all():
            return
        for key, message, slip in slips:
            if near(found, slip(case), least).all():
                raise Finding(key, message)
        raise differs(found, expected, least)

    return ask


def differs(found, expected, least=LEAST):
    """The finding for numbers that no known slip explains: how many are wrong, and the first of them."""
    wrong = ~near(found, expected, least)
    place = tuple(wrong.nonzero()[0].tolist())
    told = (
        f"{int(wrong.sum())} of {wrong.numel()} numbers are not what the formula gives. The first stands at "
        f"[{', '.join(map(str, place))}]: yours is {found[place]:.4g}, right is {expected[place]:.4g}."
    )
    return Finding("formula", told)
