"""Lab 3: the pixel of each image that C&W L0 freezes next."""

import torch
from torch import Tensor

from advcourse.labs.checks import Student
from advcourse.labs.comparing import NUMBERS, gives
from advcourse.labs.exercises import Case, Draw, exercise
from advcourse.labs.lab3.questions import FIRST, LAST
from advcourse.labs.verdicts import Finding

COLOUR = {"n": 200, "shape": (3, 6, 5)}  # so many that scores of another kind choose another pixel somewhere


def half_frozen(draw: Draw, x: Tensor) -> dict[str, Tensor]:
    """Gradients and changes of a search half-way: some pixels are frozen, and their change is 0.

    The scores of some images are all far above 1, and those of others all far below. In every second image a pixel that may
    change has not done so yet.
    """
    n, _, height, width = x.shape
    allowed = (draw.uniform((n, 1, height, width)) < 0.7).to(x)
    idle = torch.zeros_like(allowed).flatten(1)
    place = (draw.uniform((n, height * width)) * allowed.flatten(1)).argmax(1, keepdim=True)
    idle = idle.scatter(1, place, (torch.arange(n)[:, None] % 2).to(x)).view_as(allowed)
    steep = 10 ** (8 * draw.uniform((n, 1, 1, 1)) - 3)
    delta = draw.normal(x.shape) * allowed * (1 - idle)
    return {"gradient": steep * draw.normal(x.shape), "delta": delta, "allowed": allowed}


def without(allowed, score):
    """The mask without the pixel of the smallest score of each image."""
    chosen = score.flatten(1).argmin(1)
    result = allowed.clone()
    result.flatten(1)[torch.arange(len(result)), chosen] = 0
    return result


def score_of(gradient, delta):
    """Of each pixel |gradient * delta|, summed over its channels."""
    return (gradient * delta).abs().sum(1, keepdim=True)


def among_the_allowed(score, allowed):
    return score.masked_fill(allowed == 0, torch.inf)


@exercise(
    "Fewer pixels still: C&W L0",
    3,
    half_frozen,
    (
        "One score for each pixel, so the channels must be added up: dim=1 with keepdim=True. Which pixels must not take part?",
        "score = (gradient * delta).abs().sum(1, keepdim=True), and infinity where allowed is 0: masked_fill.",
        "chosen = score.flatten(1).argmin(1); result = allowed.clone(); "
        "result.flatten(1).scatter_(1, chosen[:, None], 0.0) then writes into result.",
    ),
    shape=lambda case: tuple(case["allowed"].shape),
)
def freeze(gradient, delta, allowed):
    return without(allowed, among_the_allowed(score_of(gradient, delta), allowed))


@freeze.slip(
    "signed sum",
    "The channels are added before the absolute value, so that opposite changes cancel and a busy pixel looks idle. "
    "Add up |gradient * delta|.",
)
def absolute_value_too_late(gradient, delta, allowed):
    score = (gradient * delta).sum(1, keepdim=True).abs()
    return without(allowed, among_the_allowed(score, allowed))


@freeze.slip(
    "signed",
    "There is no absolute value: a pixel whose products are large and negative goes first. Add up |gradient * delta|.",
)
def no_absolute_value(gradient, delta, allowed):
    score = (gradient * delta).sum(1, keepdim=True)
    return without(allowed, among_the_allowed(score, allowed))


@freeze.slip(
    "largest",
    "The pixel with the largest score is frozen: the one that the attack needs most. Freeze the smallest.",
)
def argmax(gradient, delta, allowed):
    return without(allowed, among_the_allowed(-score_of(gradient, delta), allowed))


@freeze.slip(
    "frozen already",
    "No image has one pixel less than before. Pixels that are frozen already compete too: their change is 0, so they win. "
    "Give them a score of infinity.",
)
def all_compete(gradient, delta, allowed):
    return without(allowed, score_of(gradient, delta))


@freeze.slip(
    "one for all",
    "One pixel is frozen in the whole batch. Freeze one of each image: argmin over dimension 1 of flatten(1).",
)
def one_argmin_for_the_batch(gradient, delta, allowed):
    result = allowed.clone()
    result.view(-1)[among_the_allowed(score_of(gradient, delta), allowed).argmin()] = 0
    return result


@freeze.slip(
    "one place",
    "The same pixel is frozen in every image. Each image has scores of its own.",
)
def scores_of_the_batch(gradient, delta, allowed):
    score = among_the_allowed(score_of(gradient, delta), allowed)
    result = allowed.clone()
    result.flatten(1)[:, score.flatten(1).sum(0).argmin()] = 0
    return result


@freeze.slip(
    "change alone",
    "The score is the change alone. A small change may matter much: multiply it by the gradient.",
)
def smallest_change(gradient, delta, allowed):
    return freeze(torch.ones_like(gradient), delta, allowed)


@freeze.slip(
    "gradient alone",
    "The score is the gradient alone. A pixel that has not moved gains nothing: multiply it by the change.",
)
def smallest_gradient(gradient, delta, allowed):
    return freeze(gradient, torch.ones_like(delta), allowed)


@freeze.slip(
    "one channel", "A pixel goes by its idlest channel. It has one score, the sum over its channels."
)
def idlest_channel(gradient, delta, allowed):
    score = (gradient * delta).abs().amin(1, keepdim=True)
    return without(allowed, among_the_allowed(score, allowed))


@freeze.slip(
    "squares", "A pixel's score is the sum of the squares. Add up the absolute values, |gradient * delta|."
)
def sum_of_squares(gradient, delta, allowed):
    score = (gradient * delta).square().sum(1, keepdim=True)
    return without(allowed, among_the_allowed(score, allowed))


@freeze.slip(
    "busiest channel", "A pixel goes by its busiest channel. Its score is the sum over its channels."
)
def largest_of_the_channels(gradient, delta, allowed):
    score = (gradient * delta).abs().amax(1, keepdim=True)
    return without(allowed, among_the_allowed(score, allowed))


@freeze.slip(
    "idle pixels skipped",
    "Pixels with a score of 0 are left out, as if they were frozen. One that may change and does nothing goes first: what is "
    "frozen already stands in allowed.",
)
def what_does_nothing_is_frozen(gradient, delta, allowed):
    score = score_of(gradient, delta)
    return without(allowed, score.masked_fill(score == 0, torch.inf))


@freeze.slip("inverted", "1 and 0 are the wrong way round: 1 is for pixels that may change.")
def marks_the_frozen(gradient, delta, allowed):
    return 1 - freeze(gradient, delta, allowed)


@freeze.right
def one_image_at_a_time(gradient, delta, allowed):
    result = []
    for g, d, mask in zip(gradient, delta, allowed):
        score = torch.einsum("chw,chw->hw", g.abs(), d.abs())
        row, column = min(mask[0].nonzero().tolist(), key=lambda place: score[tuple(place)])
        mask = mask.clone()
        mask[0, row, column] = 0
        result.append(mask)
    return torch.stack(result)


@freeze.right
def with_the_largest_number(gradient, delta, allowed):
    score = score_of(gradient, delta)
    return without(allowed, torch.where(allowed > 0, score, torch.finfo(score.dtype).max))


@freeze.wrong("input")
def writes_into_the_mask(gradient, delta, allowed):
    score = among_the_allowed(score_of(gradient, delta), allowed)
    allowed.flatten(1).scatter_(1, score.flatten(1).argmin(1, keepdim=True), 0)
    return allowed.clone()


@freeze.wrong("formula")
def freezes_all_but_one(gradient, delta, allowed):
    return allowed - freeze(gradient, delta, allowed)


@freeze.wrong("type")
def a_mask_of_truth_values(gradient, delta, allowed):
    return freeze(gradient, delta, allowed) > 0


@freeze.wrong("shape")
def a_mask_for_each_channel(gradient, delta, allowed):
    return freeze(gradient, delta, allowed).expand(gradient.shape[0], 3, *gradient.shape[2:])


@freeze.wrong("crash")
def no_channel_kept(gradient, delta, allowed):
    score = (gradient * delta).abs().sum(1)
    score[allowed == 0] = torch.inf
    return without(allowed, score)


@freeze.wrong("formula")
def divided_by_the_mask(gradient, delta, allowed):
    return without(allowed, score_of(gradient, delta) / allowed)


def with_mask(number, gradient, delta, allowed):
    """The answer with a `number` as the score of the frozen pixels."""
    return without(allowed, score_of(gradient, delta).masked_fill(allowed == 0, number))


@freeze.wrong("number for infinity")
def one_for_the_frozen(gradient, delta, allowed):
    return with_mask(1.0, gradient, delta, allowed)


@freeze.wrong("number for infinity")
def thousands_for_the_frozen(gradient, delta, allowed):
    return without(allowed, score_of(gradient, delta) + 5e3 * (1 - allowed))


@freeze.wrong("number for infinity")
def a_million_for_the_frozen(gradient, delta, allowed):
    return with_mask(1e6, gradient, delta, allowed)


@freeze.wrong("number for infinity")
def a_thousand_million_for_the_frozen(gradient, delta, allowed):
    return with_mask(1e9, gradient, delta, allowed)


def smallest_live(case: Case) -> Tensor:
    """The smallest score of a pixel that may change, (N,)."""
    score = score_of(case["gradient"].double(), case["delta"].double())
    return among_the_allowed(score, case["allowed"]).flatten(1).amin(1)


def passes_over_the_frozen(student: Student, draw: Draw) -> None:
    """However large the scores are, a pixel that is frozen already is not chosen."""
    case = student.task.case(draw, **COLOUR)
    gradient = case["gradient"].clone()
    gradient[::4] *= 10 ** (29 * draw.uniform((len(gradient[::4]), 1, 1, 1)))
    case = case.but(gradient=gradient)
    found, least = student(case), smallest_live(case)
    stuck = (found == case["allowed"]).flatten(1).all(1)
    some = stuck.any() and (least[~stuck] > 0).any()  # a score of 0 is none larger than that
    if some and least[~stuck].max() < least[stuck].min():
        told = (
            f"{int(stuck.sum())} of {len(stuck)} images, those with the largest scores, have no pixel less than before: "
            f"where every score is above {least[~stuck].max():.2g}, the frozen pixels win. No number is large "
            "enough for them: give them a score of torch.inf."
        )
        raise Finding("number for infinity", told)


freeze.checks(
    *FIRST,
    passes_over_the_frozen,
    gives(freeze, NUMBERS, **COLOUR),
    *LAST,
)
