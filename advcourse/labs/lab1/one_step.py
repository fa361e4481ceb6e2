"""One step: FGSM, LLC and R+FGSM as the judge computes them, and the slips that it knows by their results."""

from advcourse.labs import definitions as by_hand
from advcourse.labs.checks import picture
from advcourse.labs.properties import MOST, SAME, formula, same_as
from advcourse.labs.verdicts import Finding

DESCENDS = (
    "The loss falls: each step goes against the gradient. To leave the true class it must rise: add the step."
)


def fgsm(case):
    return by_hand.one_step(case, case.labels, 1)


def proportional_to_the_gradient(case, images):
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
)


def llc(case):
    return by_hand.one_step(case, by_hand.least_likely(case), -1)


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
)


def too_long_second_step(case):
    told = "The random step and the gradient step together are eps + alpha long. The second one may only take eps - alpha."
    return case["eps"] + case["alpha"], "second step", told


def two_sign_steps(student, draw):
    """On grey images nothing is clipped, and both steps show: x + alpha s + (eps - alpha) t, s and t being +1 or -1."""
    case = student.task.case(draw, grey=True)
    images, x, alpha = student(case), by_hand.clean(case), case["alpha"]
    rest = case["eps"] - alpha
    change = images - x
    t = change.sign()  # alpha is less than half of eps, so that the second step decides
    s = (change - rest * t).sign()
    if ((change - rest * t - alpha * s).abs() < SAME).double().mean() < MOST:
        if ((change - rest * t).abs() < alpha + SAME).double().mean() > MOST:
            told = "The random step has many sizes. It is alpha times the sign of normal numbers: alpha or -alpha for each pixel."
            raise Finding("start is no sign step", told, picture(case, images, 0))
        raise formula(case, images, by_hand.one_step(case, case.labels, 1))
    _is_fair(case, images, s)
    start = x + alpha * s
    there, here = (by_hand.slope(case, place, case.labels).sign() for place in (start, x))
    if _share(t, there) >= MOST:
        return
    shown = picture(case, images, int((t != there).double().flatten(1).mean(1).argmax()))
    if _share(t, -there) >= MOST:
        raise Finding("descends", DESCENDS, shown)
    if _share(t, here) >= MOST:
        told = (
            "The gradient is taken at the clean image x. Take it where the random step has led: at the start."
        )
        raise Finding("gradient at x", told, shown)
    raise formula(case, images, start + rest * there)


def _share(signs, others):
    return (signs == others).double().mean().item()


def _is_fair(case, images, s):
    if s.mean().abs() > 0.2:
        told = "The random steps nearly all go one way. Draw numbers on both sides of 0, for example torch.randn."
        raise Finding("one-sided", told, picture(case, images, 0))
    if _share(s[0], s[1]) > 0.9:
        told = "All images of the batch get the same random step. Draw numbers for the whole shape of x."
        raise Finding("one noise for all", told, picture(case, images, 0))


def start_stays_in_the_box(student, draw):
    """Where x is 0, a start that is not clipped ends at eps - 2 alpha, which no right answer gives."""
    case = student.task.case(draw)
    images = student(case)
    black = images[case["x"] == 0]
    astray = (black - (case["eps"] - 2 * case["alpha"])).abs() < SAME
    if astray.double().mean() > 0.02:
        told = "The random step leaves [0, 1], and the gradient is then taken where no image is. Clip after the first step too."
        raise Finding("start outside the box", told, picture(case, images, 0))
