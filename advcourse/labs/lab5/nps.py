"""Lab 5: how far from printable a pattern's colours are, in logarithms."""

import math

import torch
from torch import Tensor

from advcourse.labs.checks import Student
from advcourse.labs.comparing import NUMBERS, called, gives
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab8.questions import FIRST, LAST
from advcourse.labs.numbers import can_be_followed, near
from advcourse.labs.properties import other_type
from advcourse.labs.running import NUMBER, TENSOR
from advcourse.labs.verdicts import Finding

STEPS = (  # pixels, colours, and what the result is then; each row has one thing more than the row before
    (1, 1, "This is the logarithm of one distance: the root of the summed squares of three differences."),
    (1, 2, "Here it is the sum of the logarithms of two distances: log(a b) = log(a) + log(b)."),
    (
        2,
        1,
        "Here it is the logarithm of the mean of two distances, that is logsumexp of their logarithms, less log(2).",
    ),
    (
        3,
        4,
        "Smaller questions are answered rightly. Is each of the colours, and each pixel of the mask, counted once?",
    ),
)


def a_pattern(draw: Draw, x: Tensor | None, colours: int = 9) -> dict[str, Tensor]:
    """A pattern, so many printable colours, and a mask of about half of its pixels."""
    mask = draw.uniform((6, 7)) < 0.5
    mask[0, :2] = torch.tensor([True, False])
    return {"x": draw.uniform((3, 6, 7)), "palette": draw.uniform((colours, 3)), "mask": mask}


@exercise(
    "Can this be printed?",
    3,
    a_pattern,
    (
        "A product of many small numbers leaves what float32 can hold. What does the logarithm make of a product? And a mean of "
        "numbers whose logarithms you have is what logsumexp is for.",
        "x[:, mask].T has a row (3,) for each pixel that counts. distances = (pixels[:, None] - palette).norm(dim=2), (pixels, "
        "P). Keep them from 0 by clamp(min=1e-6), then log and sum over the palette.",
        "logs = distances.clamp(min=1e-6).log().sum(1); return logs.logsumexp(0) - math.log(len(logs)).",
    ),
    shape=lambda case: (),
)
def nps(x, palette, mask):
    return log_mean(logs(pixels_of(x, mask), palette))


def pixels_of(x, mask):
    return x[:, mask].T


def logs(pixels, palette):
    """The logarithm of each pixel's product, (pixels,)."""
    distances = (pixels[:, None] - palette).norm(dim=2)
    return distances.clamp(min=1e-6).log().sum(1)


def log_mean(values):
    return values.logsumexp(0) - math.log(len(values))


@nps.slip(
    "nearest colour",
    "You take each pixel's distance to the nearest printable colour. The score multiplies the distances to all of them.",
)
def minimum(x, palette, mask):
    distances = (pixels_of(x, mask)[:, None] - palette).norm(dim=2)
    return distances.amin(1).clamp(min=1e-6).mean().log()


@nps.slip(
    "sum of the distances",
    "You add the distances to the printable colours up. It is a product: one colour that is near makes it small, however far the "
    "others are.",
)
def distances_added(x, palette, mask):
    distances = (pixels_of(x, mask)[:, None] - palette).norm(dim=2)
    return distances.sum(1).mean().log()


@nps.slip(
    "sum over the pixels",
    "You add the pixels' products up, so that a larger pattern scores worse. Take their mean: subtract the logarithm of the "
    "number of pixels.",
)
def pixels_added(x, palette, mask):
    return logs(pixels_of(x, mask), palette).logsumexp(0)


@nps.slip(
    "unmasked",
    "Pixels outside the mask count as well. Nothing is printed there: take x[:, mask] alone.",
)
def all_pixels(x, palette, mask):
    return log_mean(logs(x.flatten(1).T, palette))


@nps.slip(
    "outside the mask",
    "You score the pixels outside the mask. It is True where something is printed, so take x[:, mask], and not x[:, ~mask].",
)
def the_other_pixels(x, palette, mask):
    return nps(x, palette, ~mask)


@nps.slip(
    "blackened",
    "You make the pixels outside the mask black and let them count: x * mask. Leave them out: x[:, mask].",
)
def masked_by_a_product(x, palette, mask):
    return log_mean(logs((x * mask).flatten(1).T, palette))


@nps.slip(
    "divided by all pixels",
    "You divide by all pixels of the picture. The mean is over those of the mask, |M|: subtract the logarithm of their number, "
    "mask.sum().",
)
def over_the_picture(x, palette, mask):
    return pixels_added(x, palette, mask) - math.log(mask.numel())


@nps.slip(
    "mean of the logarithms",
    "You average the logarithms. That is another score, in which each pixel counts alike; here the mean stands inside, "
    "log(mean(product)), so that the least printable pixels rule it: logsumexp.",
)
def logarithm_inside(x, palette, mask):
    return logs(pixels_of(x, mask), palette).mean()


@nps.slip(
    "squared distances",
    "You multiply squared distances: the root is missing, and the logarithm is twice as large.",
)
def without_the_root(x, palette, mask):
    squares = (pixels_of(x, mask)[:, None] - palette).square().sum(2)
    return log_mean(squares.clamp(min=1e-12).log().sum(1))


@nps.slip(
    "sum of the channels",
    "Your distance adds the channels' differences up. It is the Euclidean one: the root of the sum of the squares.",
)
def city_blocks(x, palette, mask):
    distances = (pixels_of(x, mask)[:, None] - palette).abs().sum(2)
    return log_mean(distances.clamp(min=1e-6).log().sum(1))


@nps.slip(
    "mean over the palette",
    "You divide by the number of printable colours. The product has no root here: add the logarithms up.",
)
def geometric_mean(x, palette, mask):
    found = (pixels_of(x, mask)[:, None] - palette).norm(dim=2).clamp(min=1e-6).log().mean(1)
    return log_mean(found)


@nps.slip(
    "no logarithm",
    "This is the score itself, and asked for is its logarithm: with many colours the score is 0 in float32. Do not take log at "
    "the end, either; add up the logarithms of the distances, and use logsumexp for the mean.",
)
def the_score(x, palette, mask):
    return nps(x, palette, mask).exp()


@nps.slip(
    "printable pixels",
    "Where all pixels have exactly a printable colour, the score is the logarithm of 0. Distances below 1e-6 count as 1e-6: "
    "clamp(min=1e-6) each distance.",
)
def kept_off_by_adding(x, palette, mask):
    distances = (pixels_of(x, mask)[:, None] - palette).norm(dim=2)
    return log_mean((distances + 1e-9).log().sum(1))


@nps.right
def by_hand_with_the_largest(x, palette, mask):
    found = torch.cdist(pixels_of(x, mask), palette, compute_mode="donot_use_mm_for_euclid_dist")
    found = found.clamp(min=1e-6).log().sum(1)
    return found.max() + (found - found.max()).exp().mean().log()


@nps.right
def squares_and_a_half(x, palette, mask):
    chosen = x.permute(1, 2, 0)[mask]
    squares = (chosen.unsqueeze(1) - palette.unsqueeze(0)).pow(2).sum(-1).clamp(min=1e-12)
    return torch.logsumexp(squares.log().sum(1) / 2, 0) - torch.tensor(float(mask.sum())).to(x).log()


@nps.right
def colour_by_colour(x, palette, mask):
    total = torch.zeros_like(x[0][mask])
    for colour in palette:
        square = ((x - colour.view(3, 1, 1)) ** 2).sum(0)[mask]
        total = total + square.clamp(min=1e-12).log() / 2
    return torch.logsumexp(total, 0) - math.log(int(mask.sum()))


@nps.wrong("underflow")
def product_first(x, palette, mask):
    distances = (pixels_of(x, mask)[:, None] - palette).norm(dim=2).clamp(min=1e-6)
    return distances.prod(1).mean().clamp(min=1e-38).log()


@nps.wrong("underflow")
def mean_of_exponentials(x, palette, mask):
    return logs(pixels_of(x, mask), palette).exp().mean().clamp(min=1e-38).log()


@nps.wrong("not a number")
def logarithm_of_zero(x, palette, mask):
    return (logs(pixels_of(x, mask), palette) * 0).log().sum()


@nps.wrong("shape")
def for_each_pixel(x, palette, mask):
    return logs(pixels_of(x, mask), palette)


@nps.wrong("crash")
def colours_against_channels(x, palette, mask):
    return (x[:, mask] - palette).norm()


@nps.wrong("detached")
def a_number(x, palette, mask):
    return nps(x, palette, mask).item()


@nps.wrong("detached")
def without_a_graph(x, palette, mask):
    return nps(x.detach(), palette, mask)


@nps.wrong("formula")
def one_colour_left_out(x, palette, mask):
    return nps(x, palette[1:], mask)


@nps.wrong("input")
def mask_in_place(x, palette, mask):
    x *= mask
    return nps(x, palette, mask)


def two_patterns(task: Task, draw: Draw) -> tuple[Case, Case]:
    return task.case(draw), task.case(draw, **a_pattern(draw, None, 14))


def is_right_step_by_step(student: Student, draw: Draw) -> None:
    """The score is right; what no slip explains is told by the smallest question at which it goes wrong."""
    try:
        gives(nps, NUMBERS, make=two_patterns)(student, draw)
    except Finding as finding:
        if finding.key != "formula":
            raise
        raise Finding(
            "formula", f"{finding.message} {_where_wrong(student, student.task.case(draw))}"
        ) from None


def _where_wrong(student, case):
    for pixels, colours, step in STEPS:
        mask = torch.zeros_like(case["mask"]).flatten()
        mask[: 2 * pixels : 2] = True
        small = case.but(mask=mask.view_as(case["mask"]), palette=case["palette"][:colours])
        found, right = student(small), called(nps, small)
        if not near(found, right).all():
            return (
                f"For {pixels} pixel{'s' * (pixels > 1)} and {colours} colour{'s' * (colours > 1)} yours is {float(found):.4f}, "
                f"and right is {float(right):.4f}. {step}"
            )
    return (
        "With few pixels and colours it is right. Is each colour, and each pixel of the mask, counted once?"
    )


def many_colours(task: Task, draw: Draw) -> Case:
    """So many printable colours that the product of the distances is 0 in float32."""
    pattern = a_pattern(draw, None, 400)
    near = {name: 0.3 + 0.4 * pattern[name] for name in ("x", "palette")}
    return task.case(draw, **{**pattern, **near})


def all_printable(task: Task, draw: Draw) -> Case:
    """Each pixel is one of the printable colours."""
    case = task.case(draw)
    chosen = (draw.uniform((42,)) * len(case["palette"])).long()
    return case.but(x=case["palette"][chosen].T.reshape(3, 6, 7).clone())


def stays_in_range(student: Student, draw: Draw) -> None:
    """With hundreds of colours, whose product is 0 to float32, the score is the same as in exact numbers."""
    case = many_colours(student.task, draw)
    reply = student.ask(case)
    expected = called(nps, case)
    if reply.kind in (TENSOR, NUMBER) and near(reply.value.double(), expected).all():
        return
    told = (
        f"With {len(case['palette'])} printable colours the score is not right. The product of so many distances is 0 in "
        f"float32, and its logarithm is lost; right is {float(expected):.1f}. Add logarithms up, and leave them only in "
        "logsumexp."
    )
    raise Finding("underflow", told)


nps.checks(
    *FIRST,
    is_right_step_by_step,
    stays_in_range,
    gives(nps, NUMBERS, ("printable pixels",), make=all_printable),
    can_be_followed(lambda case: nps(case["x"], case["palette"], case["mask"]), "x", "an attack"),
    other_type,
    *LAST,
)
