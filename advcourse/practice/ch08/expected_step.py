"""Chapter 08: one step of an attacker who has looked at several photographs."""

from typing import Any

import torch

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL, rounded
from advcourse.practice.tasks import small_exercise

# Three photographs and six pixels: a steep slope outvotes two shallow ones, and two outvote a steep one.
VIEWS = torch.tensor(
    [
        [2.0, -1.5, -1.0, 0.4, -0.3, -0.4],
        [-0.3, 0.6, 0.8, 0.6, -0.2, -0.5],
        [-0.4, 0.4, 0.7, 0.5, -0.6, -0.3],
    ]
)
ENDS = torch.tensor(
    [0.97, 0.03, 0.96]
)  # of the last three: two would leave the range, and one comes down from its end


def drawn_views(draw: Draw) -> dict[str, Any]:
    """Six pixels in any order, three of them near an end of the range, as three photographs in any order see them."""
    order, views = draw.uniform((6,)).argsort(), draw.uniform((3,)).argsort()
    x = torch.cat([rounded(0.4 + 0.2 * draw.uniform((3,))), ENDS])
    return {"x": x[order], "slopes": VIEWS[views][:, order], "eps": draw.number(0.05, 0.2)}


@small_exercise(
    "One step for all photographs",
    4,
    "easy",
    by_hand=(
        {"x": torch.tensor([0.5, 0.97]), "slopes": torch.tensor([[0.6, -0.2], [-0.2, 0.4]]), "eps": 0.1},
    ),
    drawn=drawn_views,
    hints=(
        "What you want to climb is the mean of the losses over the photographs, and its slope is the mean of their slopes. Only "
        "then comes the sign.",
        "slopes.mean(0) goes down the columns and leaves one number for each pixel.",
    ),
    shape=lambda case: tuple(case["x"].shape),
    praise="Right. Mean first, sign after it: a photograph in which much is at stake has more to say than one where little is.",
)
def expected_step(x, slopes, eps):
    return (x + eps * slopes.mean(0).sign()).clamp(0, 1)


@expected_step.slip(
    "vote",
    "You let the photographs vote, one sign each. Then a steep slope counts no more than a shallow one: take the mean of the "
    "slopes first, and the sign of the mean.",
)
def majority(x, slopes, eps):
    return (x + eps * slopes.sign().mean(0).sign()).clamp(0, 1)


@expected_step.slip(
    "mean of the signs",
    "You step by the mean of the signs, so where the photographs disagree the step is shorter. The whole eps is free at every "
    "pixel: sign of the mean.",
)
def mean_of_signs(x, slopes, eps):
    return (x + eps * slopes.sign().mean(0)).clamp(0, 1)


@expected_step.slip(
    "one photograph",
    "You look at one photograph alone. The next one will differ: take the mean over all of them.",
)
def the_first(x, slopes, eps):
    return (x + eps * slopes[0].sign()).clamp(0, 1)


@expected_step.slip("one photograph")
def the_last(x, slopes, eps):
    return (x + eps * slopes[-1].sign()).clamp(0, 1)


@expected_step.slip(
    "no sign",
    "Your step is as long as the mean slope. In the L∞ ball every pixel may take the whole eps: use the sign.",
)
def along_the_mean(x, slopes, eps):
    return (x + eps * slopes.mean(0)).clamp(0, 1)


@expected_step.slip(
    "descends",
    "You walk against the slope, and the loss of the true label falls. The attacker wants it to rise.",
)
def walks_down(x, slopes, eps):
    return (x - eps * slopes.mean(0).sign()).clamp(0, 1)


@expected_step.slip(
    "not clipped",
    "A pixel is above 1 or below 0, and no printer prints that. Clip to the range with .clamp(0, 1).",
)
def out_of_range(x, slopes, eps):
    return x + eps * slopes.mean(0).sign()


@expected_step.slip("change alone", "This is the change, and the image is missing: add x to it.")
def without_x(x, slopes, eps):
    return eps * slopes.mean(0).sign()


@expected_step.slip(
    "each of one size",
    "You scale each photograph's slopes to one size before the mean. That is another attack's idea (chapter 09). Here a "
    "photograph in which more is at stake counts for more: take the mean of the slopes as they are.",
)
def scaled_first(x, slopes, eps):
    return (x + eps * (slopes / slopes.abs().amax(1, keepdim=True)).mean(0).sign()).clamp(0, 1)


@expected_step.slip(
    "steepest alone",
    "At each pixel you follow the photograph with the steepest slope. Two others may together weigh more: take the mean.",
)
def the_steepest(x, slopes, eps):
    return (x + eps * slopes.gather(0, slopes.abs().argmax(0)[None])[0].sign()).clamp(0, 1)


@expected_step.right
def by_the_sum(x, slopes, eps):
    return torch.clamp(x + eps * torch.sign(slopes.sum(0)), 0, 1)


@expected_step.right
def by_a_product(x, slopes, eps):
    weights = torch.full((len(slopes),), 1 / len(slopes)).to(slopes)
    return (x + eps * (weights @ slopes).sgn()).clamp(min=0, max=1)


@expected_step.right
def pixel_by_pixel(x, slopes, eps):
    result = x.clone()
    for i, column in enumerate(slopes.T.tolist()):
        step = eps if sum(column) > 0 else -eps if sum(column) < 0 else 0
        result[i] = min(max(float(x[i]) + step, 0.0), 1.0)
    return result


@expected_step.wrong("input")
def changes_x_itself(x, slopes, eps):
    x += eps * slopes.mean(0).sign()
    return x.clamp(0, 1)


@expected_step.wrong("crash")
def across_the_pixels(x, slopes, eps):
    return (x + eps * slopes.mean(0, 1).sign(0)).clamp(0, 1)


@expected_step.wrong("formula")
def clipped_above_alone(x, slopes, eps):
    return (x + eps * slopes.mean(0).sign()).clamp(max=1)


@expected_step.wrong("formula")
def room_made_first(x, slopes, eps):
    return x.clamp(eps, 1 - eps) + eps * slopes.mean(0).sign()


@expected_step.wrong("shape")
def a_step_for_each_photograph(x, slopes, eps):
    return (x + eps * slopes.sign()).clamp(0, 1)


expected_step.checks(*ALL)
