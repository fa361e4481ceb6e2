"""Lab 1: back into the ball of L2 and the box."""

import torch
from torch import Tensor

from advcourse.core.rounding import percent
from advcourse.labs.checks import Student, picture
from advcourse.labs.comparing import called, follows, recognises
from advcourse.labs.definitions import clean
from advcourse.labs.exercises import Draw, exercise
from advcourse.labs.lab1.project import CENTRE, EXACTLY
from advcourse.labs.lab1.questions import COLOUR, LAST
from advcourse.labs.properties import answers, keeps_what_it_gets, stays_in_the_box, treats_images_alone
from advcourse.labs.verdicts import Finding
from advcourse.metrics import l2

TINY = 1e-4  # a budget beside which 1e-6 is a hundredth, and the 1e-7 of torch.renorm a thousandth


def around(draw: Draw, x: Tensor) -> dict[str, float | Tensor]:
    """Points far outside the L2 ball, one inside it, and one that is x itself. Their changes have a few large pixels."""
    noise = draw.normal(x.shape) ** 3
    noise = noise / noise.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    eps = draw.number(0.3, 0.6)
    lengths = eps * (8 + 4 * draw.uniform((len(x), 1, 1, 1)))
    lengths[0], lengths[1:2] = 0.4 * eps, 0
    return {"eps": eps, "x_adv": x + lengths * noise}


def length_of(delta):
    return delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


def shortened(delta, eps, length):
    return delta * (eps / length.clamp_min(1e-12)).clamp_max(1)


def scaled(x_adv, x, eps, length):
    return (x + shortened(x_adv - x, eps, length)).clamp(0, 1)


@exercise(
    "A round ball",
    3,
    around,
    (
        "Write delta = x_adv - x. If it is longer than eps, make it shorter and keep its direction. If not, leave it.",
        "length = delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1): one number for each image. The factor is eps / length, but at "
        "most 1. What if the length is 0?",
        "factor = (eps / length.clamp_min(1e-12)).clamp_max(1); return (x + factor * delta).clamp(0, 1).",
    ),
)
def project_l2(x_adv, x, eps):
    return scaled(x_adv, x, eps, length_of(x_adv - x))


@project_l2.slip(*CENTRE)
def gives_up(x_adv, x, eps):
    return x.clone()


@project_l2.slip(
    "one norm for all",
    "All images are scaled by one norm, that of the whole batch. Each image has a norm of its own: flatten(1).norm(dim=1).",
)
def norm_of_the_batch(x_adv, x, eps):
    return scaled(x_adv, x, eps, (x_adv - x).norm())


@project_l2.slip(
    "pushed outwards",
    "Images inside the ball are scaled up to its border. Leave them where they are: the factor is at most 1.",
)
def always_to_the_sphere(x_adv, x, eps):
    delta = x_adv - x
    return (x + delta * eps / length_of(delta).clamp_min(1e-12)).clamp(0, 1)


@project_l2.slip(
    "one norm a row",
    "Each row of pixels is scaled by a norm of its own. Take one norm over all dimensions but the first.",
)
def norm_of_the_last_dimension(x_adv, x, eps):
    return scaled(x_adv, x, eps, (x_adv - x).norm(dim=-1, keepdim=True))


@project_l2.slip(
    "one norm a channel",
    "Each colour channel is scaled by a norm of its own. Take one norm over all dimensions but the first.",
)
def norm_over_rows_and_columns(x_adv, x, eps):
    return scaled(x_adv, x, eps, (x_adv - x).norm(dim=(2, 3), keepdim=True))


@project_l2.slip(
    "L1 norm",
    "The change is divided by its L1 norm, the sum of the absolute values. The length in L2 is the root of the sum of "
    "squares.",
)
def sum_of_absolute_values(x_adv, x, eps):
    return scaled(x_adv, x, eps, (x_adv - x).abs().sum(dim=(1, 2, 3), keepdim=True))


@project_l2.slip(
    "factor at least 1",
    "Changes that are too long stay, and short ones are made longer: the factor eps / length is bounded on the wrong "
    "side. It is at most 1: clamp_max(1), or a minimum.",
)
def bounded_on_the_wrong_side(x_adv, x, eps):
    delta = x_adv - x
    return (x + delta * (eps / length_of(delta).clamp_min(1e-12)).clamp_min(1)).clamp(0, 1)


@project_l2.slip("perturbation", "The result is the shortened change alone. Add x again.")
def returns_the_change(x_adv, x, eps):
    return shortened(x_adv - x, eps, length_of(x_adv - x))


@project_l2.slip(
    "another ball",
    "Each pixel is cut to [-eps, eps]: that is the L-infinity ball. In L2 the whole change of an image is made shorter.",
)
def clamps_each_pixel(x_adv, x, eps):
    return (x + (x_adv - x).clamp(-eps, eps)).clamp(0, 1)


@project_l2.slip(
    "squared length", "The change is divided by the square of its length. Is a square root missing?"
)
def root_forgotten(x_adv, x, eps):
    return scaled(x_adv, x, eps, (x_adv - x).square().sum(dim=(1, 2, 3), keepdim=True))


@project_l2.slip(
    "box first",
    "The image is clipped to [0, 1] before it is scaled. Scale first: the clip that follows only brings it nearer to x.",
)
def clips_before_it_scales(x_adv, x, eps):
    return project_l2(x_adv.clamp(0, 1), x, eps)


@project_l2.right
def image_by_image(x_adv, x, eps):
    result = torch.empty_like(x)
    for i in range(len(x)):
        delta = x_adv[i] - x[i]
        length = (delta * delta).sum().sqrt().item()
        if length > eps:
            delta = delta / length * eps
        result[i] = torch.clip(x[i] + delta, 0.0, 1.0)
    return result


@project_l2.right
def with_renorm(x_adv, x, eps):
    return torch.clamp(x + torch.renorm(x_adv - x, p=2, dim=0, maxnorm=eps), 0, 1)


@project_l2.right
def a_trillionth_added(x_adv, x, eps):
    return scaled(x_adv, x, eps, length_of(x_adv - x) + 1e-12)


@project_l2.wrong("budget")
def box_alone(x_adv, x, eps):
    return x_adv.clamp(0, 1)


@project_l2.wrong("not a number")
def divides_by_zero(x_adv, x, eps):
    delta, length = x_adv - x, length_of(x_adv - x)
    return (x + delta / length * length.clamp_max(eps)).clamp(0, 1)


@project_l2.wrong("box")
def not_clipped(x_adv, x, eps):
    return x + shortened(x_adv - x, eps, length_of(x_adv - x))


@project_l2.wrong("input")
def in_place(x_adv, x, eps):
    x_adv -= x
    return (x + shortened(x_adv, eps, length_of(x_adv))).clamp(0, 1)


@project_l2.wrong("short lengths")
def a_thousandth_added(x_adv, x, eps):
    return scaled(x_adv, x, eps, length_of(x_adv - x) + 1e-3)


@project_l2.wrong("short lengths")
def a_millionth_added(x_adv, x, eps):
    return scaled(x_adv, x, eps, length_of(x_adv - x) + 1e-6)


@project_l2.wrong("short lengths")
def no_length_below_a_thousandth(x_adv, x, eps):
    return scaled(x_adv, x, eps, length_of(x_adv - x).clamp_min(1e-3))


def stays_in_the_l2_ball(student: Student, draw: Draw) -> None:
    """No change is longer than eps."""
    case = student.task.case(draw)
    images = student(case)
    lengths = l2(clean(case), images)
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
    images, right = student(case), called(project_l2, case)
    wanted = l2(clean(case), right)
    off = (images - right).flatten(1).norm(dim=1) / wanted
    if (worst := off.max().item()) > 0.003:
        i = int(off.argmax())
        told = (
            f"With eps = {TINY} the change of an image should be {wanted[i]:.2e} long, and what comes back is off by "
            f"{percent(worst)} of that. Is a number added to the length, or the length bounded below, so that nothing is divided "
            "by 0? Lengths may be short: take a far smaller number, such as clamp_min(1e-12)."
        )
        raise Finding("short lengths", told, picture(case, images, i))


project_l2.checks(
    answers,
    keeps_what_it_gets,
    recognises(project_l2, by=EXACTLY),
    stays_in_the_box,
    stays_in_the_l2_ball,
    treats_images_alone,
    follows(project_l2, by=EXACTLY),
    *LAST,
    recognises(project_l2, by=EXACTLY, **COLOUR),
    follows(project_l2, by=EXACTLY, **COLOUR),
    takes_short_lengths,
)
