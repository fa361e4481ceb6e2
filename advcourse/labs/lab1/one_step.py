"""One step: FGSM, LLC and R+FGSM as the judge computes them, and the slips that it knows by their results."""

from collections.abc import Callable

import torch
from torch import Tensor

from advcourse.labs import definitions as by_hand
from advcourse.labs.checks import Case, Draw, Student, Task, picture
from advcourse.labs.lab1 import loud
from advcourse.labs.properties import MOST, SAME, formula, same_as
from advcourse.labs.verdicts import Finding

DESCENDS = (
    "The loss falls, but to leave the true class it must rise. Either the sign of the step is wrong (add it), or that of the "
    "loss (log_odds must grow as the logit of the label shrinks)."
)


def fgsm(case: Case, uphill: Callable[[Case, Tensor, Tensor], Tensor] = by_hand.rise) -> Tensor:
    return by_hand.one_step(case, case.labels, 1, uphill=uphill)


def proportional_to_the_gradient(case: Case, images: Tensor) -> bool:
    change = (images - by_hand.clean(case)).flatten(1)
    gradient = by_hand.slope(case, by_hand.clean(case), case.labels).flatten(1)
    cosine = (change * gradient).sum(1) / (change.norm(dim=1) * gradient.norm(dim=1))
    return bool((cosine.abs() > 0.99).all())


FGSM_SLIPS = (
    ("descends", DESCENDS, same_as(lambda case: by_hand.one_step(case, case.labels, -1))),
    (
        "no sign",
        "The change is the gradient itself, long or short as it happens to be. FGSM takes its sign: every pixel moves by eps.",
        proportional_to_the_gradient,
    ),
    (
        "own prediction",
        "The step leaves the class that the model predicts, not the label y that was given. They differ for some images.",
        same_as(lambda case: by_hand.one_step(case, by_hand.most_likely(case), 1)),
    ),
    *loud.losses(fgsm),
)


def llc(case: Case, uphill: Callable[[Case, Tensor, Tensor], Tensor] = by_hand.rise) -> Tensor:
    return by_hand.one_step(case, by_hand.least_likely(case), -1, uphill=uphill)


LLC_SLIPS = (
    (
        "moves away",
        "The images move away from the least likely class. To come nearer to a target, its loss must fall: subtract the step.",
        same_as(lambda case: by_hand.one_step(case, by_hand.least_likely(case), 1)),
    ),
    (
        "most likely",
        "The target is the class with the largest logit. The least likely class has the smallest: argmin, not argmax.",
        same_as(lambda case: by_hand.one_step(case, by_hand.most_likely(case), -1)),
    ),
    (
        "no target",
        "The images leave the class that the model predicts, towards no class in particular. Go towards the least likely class.",
        same_as(lambda case: by_hand.one_step(case, by_hand.most_likely(case), 1)),
    ),
    (
        "class 0",
        "The target is class 0 for every image. It is the class with the smallest logit of each: argmin(1).",
        same_as(lambda case: by_hand.one_step(case, torch.zeros_like(case.labels), -1)),
    ),
    *loud.losses(llc),
)

LEAST_PROBABLE = (
    (
        "least probable",
        "The target is the class with the smallest probability. Where the model is sure, many probabilities are 0, and argmin "
        "takes the first of them. Compare the logits, which differ.",
        same_as(lambda case: by_hand.one_step(case, loud.least_probable(case), -1)),
    ),
)


def not_class_0(task: Task, draw: Draw) -> Case:
    """A hesitant case where class 0 is the most likely or the least likely class of no image, and of no one rank in all."""
    for _ in range(50):
        case = loud.hesitant(task, draw)
        logits = by_hand.logits(case, by_hand.clean(case))
        rank = (logits > logits[:, :1]).sum(1)
        if 0 < rank.min() < rank.max() < logits.shape[1] - 1:
            break
    return case


def too_long_second_step(case: Case) -> tuple[float, str, str]:
    told = "The random step and the gradient step together are eps + alpha long. The second one may only take eps - alpha."
    return case["eps"] + case["alpha"], "second step", told


def two_sign_steps(student: Student, draw: Draw) -> None:
    """On grey images nothing is clipped, and both steps show: x + alpha s + (eps - alpha) t, s and t being +1 or -1."""
    case = loud.hesitant(student.task, draw)
    images, x, alpha = student(case), by_hand.clean(case), case["alpha"]
    rest = case["eps"] - alpha
    change = images - x
    t = change.sign()  # alpha is less than half of eps, so that the second step decides
    s = (change - rest * t).sign()
    if ((change - rest * t - alpha * s).abs() < SAME).double().mean() < MOST:
        raise _other_sizes(case, images)
    _is_fair(case, images, s)
    start = x + alpha * s
    there = by_hand.rise(case, start, case.labels).sign()
    if _share(t, there) >= MOST:
        return
    shown = picture(case, images, int((t != there).double().flatten(1).mean(1).argmax()))
    if _share(t, -there) >= MOST:
        raise Finding("descends", DESCENDS, shown)
    for key, told, sign in loud.signs_of_losses(case, start, case.labels):
        if _share(t, sign) >= MOST:
            raise Finding(key, told, shown)
    _is_not_of_x(case, t, shown)
    raise formula(case, images, start + rest * there)


def gradient_at_the_start(student: Student, draw: Draw) -> None:
    """On a model that bends, the sign of the second step is that at the place where the first has led."""
    case = student.task.case(draw, grey=True)
    images, x, alpha = student(case), by_hand.clean(case), case["alpha"]
    rest = case["eps"] - alpha
    t = (images - x).sign()
    start = images - rest * t
    there = by_hand.rise(case, start, case.labels).sign()
    if _share(t, there) >= MOST:
        return
    shown = picture(case, images, int((t != there).double().flatten(1).mean(1).argmax()))
    _is_not_of_x(case, t, shown)
    raise formula(case, images, start + rest * there)


def _is_not_of_x(case, t, shown):
    """A `Finding` where the signs t are those of the gradient at the clean image."""
    if _share(t, by_hand.rise(case, by_hand.clean(case), case.labels).sign()) >= MOST:
        told = (
            "The gradient is taken at the clean image x. Take it where the random step has led: at the start."
        )
        raise Finding("gradient at x", told, shown)


def _other_sizes(case, images):
    """The finding for changes that are no sum of two sign steps."""
    change, alpha = images - by_hand.clean(case), case["alpha"]
    rest = case["eps"] - alpha
    sizes, shown = change.abs(), picture(case, images, 0)
    if ((sizes - 2 * alpha).abs().minimum(sizes) < SAME).double().mean() > MOST:
        told = "The second step is alpha long, like the first. It takes what the first has left of the budget: eps - alpha."
        return Finding("second step of alpha", told, shown)
    if ((sizes - alpha).abs() < 0.2 * alpha).double().mean() > MOST:
        told = "After the random step the images hardly move. Is the sign of the gradient missing in the second step?"
        return Finding("no sign", told, shown)
    if ((change - rest * change.sign()).abs() < alpha + SAME).double().mean() > MOST:
        told = "The random step has many sizes. It is alpha times the sign of normal numbers: alpha or -alpha for each pixel."
        return Finding("start is no sign step", told, shown)
    return formula(case, images, by_hand.one_step(case, case.labels, 1))


def on_a_random_corner(case: Case, images: Tensor) -> Tensor:
    """Which pixels of R+FGSM's images are right where the gradient has the same sign everywhere: on a line, with two classes."""
    up = (case["eps"] - case["alpha"]) * by_hand.rise(case, by_hand.clean(case), case.labels).sign()
    return ((images - by_hand.clean(case) - up).abs() - case["alpha"]).abs() < SAME


def _share(signs, others):
    return (signs == others).double().mean().item()


def _is_fair(case, images, s):
    if s.mean().abs() > 0.2:
        told = "The random steps nearly all go one way. Draw numbers on both sides of 0, for example torch.randn."
        raise Finding("one-sided", told, picture(case, images, 0))
    if _share(s[0], s[1]) > 0.9:
        told = "All images of the batch get the same random step. Draw numbers for the whole shape of x."
        raise Finding("one noise for all", told, picture(case, images, 0))


def each_pixel_has_its_own(case: Case, noise: Tensor, images: Tensor) -> None:
    """Raise a `Finding` where `noise` (N, C, H, W) is the same in all channels, rows or columns of an image."""
    for dim, parts in ((1, "channels"), (2, "rows"), (3, "columns")):
        first, second = noise.unbind(dim)[:2]
        if ((first - second).abs() < 0.02).double().mean() > 0.9:
            told = (
                f"All {parts} of an image start with the same noise. Each value has its own: draw numbers for the whole shape "
                "of x, (N, C, H, W)."
            )
            raise Finding(f"one noise for all {parts}", told, picture(case, images, 0))


def first_step_in_colour(student: Student, draw: Draw) -> None:
    """In colour, too, each value of an image takes a random step of its own."""
    case = student.task.case(draw, grey=True, shape=(3, 20, 24))
    images = student(case)
    change = images - by_hand.clean(case)
    rest = (case["eps"] - case["alpha"]) * change.sign()  # alpha is less than half of eps
    each_pixel_has_its_own(case, (change - rest).sign(), images)


def gradient_in_the_box(student: Student, draw: Draw) -> None:
    """Of dark images every start is clipped where the random step goes down; the gradient is that at the clipped start.

    A budget of hardly more than alpha shows the start. Pixels are darker than alpha, so that both of its places are told apart.
    """
    case = student.task.case(draw)
    case = case.but(x=0.3 * case["alpha"] * draw.uniform(case["x"].shape))
    x, alpha, start = by_hand.clean(case), case["alpha"], student(case.but(eps=case["alpha"] + 1e-6))
    images, outside = student(case), x + alpha * (start - x).sign()
    t = (images > start).double() * 2 - 1
    there, before = (by_hand.rise(case, place, case.labels).sign() for place in (start, outside))
    if _share(t, there) >= MOST:
        return
    if _share(t, before) >= MOST:
        told = (
            "The gradient is taken before the start is clipped, where no image is. Clip x + alpha * sign first, and take the "
            "gradient at the clipped start."
        )
        raise Finding("gradient outside the box", told, picture(case, images, 0))
    raise formula(case, images, (start + (case["eps"] - alpha) * there).clamp(0, 1))


def start_stays_in_the_box(student: Student, draw: Draw) -> None:
    """Where x is 0, a start that is not clipped ends at eps - 2 alpha, which no right answer gives."""
    case = student.task.case(draw)
    images = student(case)
    black = images[case["x"] == 0]
    astray = (black - (case["eps"] - 2 * case["alpha"])).abs() < SAME
    if astray.double().mean() > 0.02:
        told = "The random step leaves [0, 1], and the gradient is then taken where no image is. Clip after the first step too."
        raise Finding("start outside the box", told, picture(case, images, 0))
