"""Lab 3: the change of variables, which leaves the attack no box to leave."""

import math

import torch

from advcourse.labs.checks import Student, picture
from advcourse.labs.comparing import called
from advcourse.labs.exercises import Draw, exercise
from advcourse.labs.lab3.pieces import to_box
from advcourse.labs.lab3.questions import FIRST, LAST, keeps_the_digits
from advcourse.labs.running import TENSOR
from advcourse.labs.verdicts import Finding


@exercise(
    "A variable without a box",
    2,
    hints=(
        "Undo to_box step by step, from the outside in: it adds 1 and halves; before that it takes tanh.",
        "2 * x - 1 lies in [-1, 1], and torch.atanh undoes tanh. At the ends it is infinite, so multiply by 0.999 first.",
        "return torch.atanh(0.999 * (2 * x - 1)).",
    ),
)
def to_w(x):
    return torch.atanh(0.999 * (2 * x - 1))


@to_w.slip(
    "not stretched",
    "This is arctanh of 0.999 x. The range of tanh is [-1, 1]: stretch the pixels to it first, 2x - 1.",
)
def range_of_the_image(x):
    return torch.atanh(0.999 * x)


@to_w.slip(
    "twice too large",
    "Every w is twice too large: this undoes the sigmoid, which is (tanh(w / 2) + 1) / 2. Here x = (tanh(w) + 1) / 2.",
)
def inverse_of_the_sigmoid(x):
    return torch.logit(0.5 + 0.999 * (x - 0.5))


@to_w.slip("arctan", "This is arctan, which undoes tan. What undoes tanh is torch.atanh.")
def another_function(x):
    return torch.arctan(0.999 * (2 * x - 1))


@to_w.slip(
    "no arctanh",
    "The pixels are stretched to [-1, 1], and no more. What undoes tanh is still missing: torch.atanh.",
)
def stretched_only(x):
    return 0.999 * (2 * x - 1)


@to_w.slip(
    "still the image",
    "The result is the image, clipped to the box. Clipping stops the gradient at the border; the change of variables does not. "
    "Return the w that tanh turns into x.",
)
def clips_instead(x):
    return x.clamp(0, 1)


@to_w.right
def with_logarithms(x):
    share = 0.5 + 0.999 * (x - 0.5)
    return 0.5 * (share / (1 - share)).log()


@to_w.right
def clipped_a_little(x):
    return torch.atanh((2 * x - 1).clamp(-0.999, 0.999))


@to_w.wrong("saturated")
def not_drawn_in(x):
    return torch.atanh(2 * x - 1)


@to_w.wrong("drawn towards black")
def factor_in_the_wrong_place(x):
    return torch.atanh(2 * (0.999 * x) - 1)


@to_w.wrong("flat start")
def drawn_in_by_a_millionth(x):
    return torch.atanh(0.999999 * (2 * x - 1))


@to_w.wrong("too far inside")
def drawn_in_by_a_tenth(x):
    return torch.atanh(0.9 * (2 * x - 1))


@to_w.wrong("formula")
def tanh_again(x):
    return torch.tanh(0.999 * (2 * x - 1))


@to_w.wrong("input")
def stretches_in_place(x):
    return x.mul_(2).sub_(1).mul_(0.999).atanh()


@to_w.wrong("other type")
def goes_through_float32(x):
    return to_w(x.float())


@to_w.wrong("type")
def returns_a_list(x):
    return [math.atanh(0.999 * (2 * value - 1)) for value in x.flatten().tolist()]


@to_w.wrong("shape")
def flattened(x):
    return to_w(x).flatten(1)


@to_w.wrong("other type")
def through_float32(x):
    return to_w(x.float()).to(x)


def black_and_white_are_finite(student: Student, draw: Draw) -> None:
    """arctanh of 1 is infinite: pixels at the border of the box must be drawn in before it is taken."""
    case = student.task.case(draw)
    reply = student.ask(case)
    if reply.kind != TENSOR or reply.value.shape != case["x"].shape:
        return  # the next property says what is wrong with it
    astray = ~torch.isfinite(reply.value.double())
    if not astray.any():
        return
    x = case["x"]
    if torch.equal(astray, x == 0):
        told = (
            "Black pixels become -inf, white ones stay finite: 0.999 has drawn the pixels towards black. Stretch x to [-1, 1] "
            "first, then multiply."
        )
        raise Finding("drawn towards black", told)
    told = (
        f"{int(astray.sum())} pixels become infinite: the black and the white ones, for arctanh(1) is infinite. Draw them into "
        "the box first: 0.999 * (2x - 1)."
    )
    raise Finding("saturated", told)


def tanh_leads_back(student: Student, draw: Draw) -> None:
    """(tanh w + 1) / 2 is the image, but for the thousandth that it is drawn in."""
    case = student.task.case(draw)
    w, x = student(case), case["x"].double()
    for slip in to_w.slips:
        if (w - called(slip.function, case)).abs().max() < 0.02:
            told = f"{slip.message} The picture shows (tanh(w) + 1) / 2."
            raise Finding(slip.key, told, picture(case, to_box(w), 0))
    back = to_box(w)
    off = (back - x).abs()
    if off.max() < 6e-4:
        return
    shown = picture(case, back, int(off.flatten(1).amax(1).argmax()))
    share = 1 - 2 * off.max().item()  # the share of the box, if the pixels are drawn to its middle
    if (back - (0.5 + share * (x - 0.5))).abs().max() < 1e-3:
        told = (
            f"The start is drawn in to {share:.3f} of the box, so that black and white pixels are {off.max():.3f} off before the "
            "first step. 0.999 is enough."
        )
        raise Finding("too far inside", told, shown)
    told = f"(tanh(w) + 1) / 2 is not the image: a pixel comes back {off.max():.3f} away from where it was."
    raise Finding("formula", told, shown)


def black_and_white_can_move(student: Student, draw: Draw) -> None:
    """The slope of the tanh at black and white pixels, which is all that their gradient ever gets."""
    case = student.task.case(draw)
    slope = (1 - torch.tanh(student(case)).square()) / 2
    if (least := slope.min().item()) < 2e-4:
        told = (
            f"Black and white pixels start where tanh is flat: its slope there is {least:.0e}, so hardly any gradient comes "
            "through. Draw the pixels in by 0.999."
        )
        raise Finding("flat start", told)


to_w.checks(
    black_and_white_are_finite,
    *FIRST,
    tanh_leads_back,
    black_and_white_can_move,
    *LAST,
    keeps_the_digits,
)
