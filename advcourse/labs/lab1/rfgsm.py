"""Lab 1: a random step first, then one along the sign of the gradient."""

import torch
import torch.nn.functional as F
from torch import Tensor

from advcourse import attacks
from advcourse.labs.checks import Student, picture
from advcourse.labs.comparing import MOST, SAME, explains, formula
from advcourse.labs.definitions import clean, rise
from advcourse.labs.exercises import Case, Draw, exercise
from advcourse.labs.lab1 import loud
from advcourse.labs.lab1.fgsm import fgsm, one_step_from
from advcourse.labs.lab1.gradients import gradient, own_logit, softmax_twice
from advcourse.labs.lab1.questions import COLOUR, FIRST, LAST, each_pixel_has_its_own, library
from advcourse.labs.properties import fools, stays_in_budget, uses_seed
from advcourse.labs.verdicts import Finding


def a_shared_budget(draw: Draw, x: Tensor) -> dict[str, float]:
    """eps, of which the random step takes alpha: less than a half."""
    return {
        "eps": (eps := draw.number(0.1, 0.2)),
        "alpha": round(eps * draw.number(0.3, 0.42), 4),
        "seed": draw.integer(),
    }


def noise_like(x, seed):
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).to(x)


def moved(x, alpha, noise):
    return (x + alpha * noise.sign()).clamp(0, 1)


@exercise(
    "A random step first",
    3,
    a_shared_budget,
    (
        "Two steps, one after the other. The second starts where the first has ended, and its gradient is taken there.",
        "noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).to(x) is on x's device and of its type. "
        "Its sign is +1 or -1, each as likely as the other.",
        "start = (x + alpha * noise.sign()).clamp(0, 1); then return fgsm(model, start, y, eps - alpha).",
    ),
)
def rfgsm(model, x, y, eps, alpha, seed):
    start = moved(x, alpha, noise_like(x, seed))
    return fgsm(model, start, y, eps - alpha)


@rfgsm.right
def with_coins(model, x, y, eps, alpha, seed):
    generator = torch.Generator()
    generator.manual_seed(seed)
    coins = 2 * torch.randint(0, 2, x.shape, generator=generator) - 1
    start = torch.clip(x + alpha * coins.to(x.device, x.dtype), 0, 1)
    start.requires_grad_(True)
    logits = model(start)
    own = F.one_hot(y, logits.shape[1]).bool()
    others = logits[~own].view(len(x), -1)
    (others.logsumexp(1) - logits[own]).sum().backward(inputs=[start])
    with torch.no_grad():
        return torch.clip(start + (eps - alpha) * start.grad.sign(), 0, 1)


@rfgsm.wrong("second step")
def second_step_of_eps(model, x, y, eps, alpha, seed):
    return fgsm(model, moved(x, alpha, noise_like(x, seed)), y, eps)


@rfgsm.wrong("gradient at x")
def gradient_at_the_clean_image(model, x, y, eps, alpha, seed):
    start = moved(x, alpha, noise_like(x, seed))
    return (start + (eps - alpha) * gradient(model, x, y).sign()).clamp(0, 1)


@rfgsm.wrong("start is no sign step")
def start_without_sign(model, x, y, eps, alpha, seed):
    noise = 2 * torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)).to(x) - 1
    return fgsm(model, (x + alpha * noise).clamp(0, 1), y, eps - alpha)


@rfgsm.wrong("budget")
def gaussian_start(model, x, y, eps, alpha, seed):
    return fgsm(model, (x + alpha * noise_like(x, seed)).clamp(0, 1), y, eps - alpha)


@rfgsm.wrong("no randomness")
def fgsm_again(model, x, y, eps, alpha, seed):
    return fgsm(model, x, y, eps)


fresh = torch.Generator().manual_seed(1)


@rfgsm.wrong("not repeatable")
def seed_unused(model, x, y, eps, alpha, seed):
    return fgsm(model, moved(x, alpha, torch.randn(x.shape, generator=fresh).to(x)), y, eps - alpha)


@rfgsm.wrong("random state")
def seeds_everything(model, x, y, eps, alpha, seed):
    torch.manual_seed(seed)
    return fgsm(model, moved(x, alpha, torch.randn_like(x)), y, eps - alpha)


@rfgsm.wrong("descends")
def sign_flipped(model, x, y, eps, alpha, seed):
    return fgsm(model, moved(x, alpha, noise_like(x, seed)), y, -(eps - alpha))


@rfgsm.wrong("start outside the box")
def start_not_clipped(model, x, y, eps, alpha, seed):
    return fgsm(model, x + alpha * noise_like(x, seed).sign(), y, eps - alpha)


@rfgsm.wrong("one-sided")
def noise_of_one_sign(model, x, y, eps, alpha, seed):
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)).to(x) - 0.2
    return fgsm(model, moved(x, alpha, noise), y, eps - alpha)


@rfgsm.wrong("one noise for all")
def noise_of_one_image(model, x, y, eps, alpha, seed):
    return fgsm(model, moved(x, alpha, noise_like(x[:1], seed)), y, eps - alpha)


@rfgsm.wrong("one noise for all channels")
def grey_first_step(model, x, y, eps, alpha, seed):
    return fgsm(model, moved(x, alpha, noise_like(x[:, :1], seed)), y, eps - alpha)


@rfgsm.wrong("ignores the model")
def random_step_alone(model, x, y, eps, alpha, seed):
    return moved(x, alpha, noise_like(x, seed))


@rfgsm.wrong("box")
def not_clipped(model, x, y, eps, alpha, seed):
    start = moved(x, alpha, noise_like(x, seed))
    return start + (eps - alpha) * gradient(model, start, y).sign()


@rfgsm.wrong("perturbation")
def returns_the_change(model, x, y, eps, alpha, seed):
    return not_clipped(model, x, y, eps, alpha, seed) - x


@rfgsm.wrong("attached")
def result_on_the_graph(model, x, y, eps, alpha, seed):
    start = moved(x, alpha, noise_like(x, seed)).requires_grad_()
    slope = torch.autograd.grad(F.cross_entropy(model(start), y), start)[0]
    return (start + (eps - alpha) * slope.sign()).clamp(0, 1)


def with_loss(loss, model, x, y, eps, alpha, seed):
    start = moved(x, alpha, noise_like(x, seed))
    return (start + (eps - alpha) * gradient(model, start, y, loss).sign()).clamp(0, 1)


@rfgsm.wrong("saturated")
def plain_log_softmax(model, x, y, eps, alpha, seed):
    return with_loss(lambda z, y: F.nll_loss(z.log_softmax(1), y), model, x, y, eps, alpha, seed)


@rfgsm.wrong("softmax twice")
def probabilities_to_cross_entropy(model, x, y, eps, alpha, seed):
    return with_loss(softmax_twice, model, x, y, eps, alpha, seed)


@rfgsm.wrong("logits for log-probabilities")
def nll_of_the_logits(model, x, y, eps, alpha, seed):
    return with_loss(own_logit, model, x, y, eps, alpha, seed)


@rfgsm.wrong("second step of alpha")
def alpha_twice(model, x, y, eps, alpha, seed):
    return fgsm(model, moved(x, alpha, noise_like(x, seed)), y, alpha)


@rfgsm.wrong("no sign")
def second_step_without_sign(model, x, y, eps, alpha, seed):
    start = moved(x, alpha, noise_like(x, seed))
    return (start + (eps - alpha) * gradient(model, start, y) / 1000).clamp(0, 1)


@rfgsm.wrong("other type")
def start_of_float32(model, x, y, eps, alpha, seed):
    start = torch.zeros(x.shape, device=x.device)
    start += x + alpha * noise_like(x, seed).sign()
    return fgsm(model, start.clamp(0, 1), y, eps - alpha)


@rfgsm.wrong("skips misread images")
def only_where_the_model_is_right(model, x, y, eps, alpha, seed):
    right = (model(x).argmax(1) == y).view(-1, 1, 1, 1)
    return torch.where(right, rfgsm(model, x, y, eps, alpha, seed), x)


@rfgsm.wrong("part of the seed")
def one_of_two_first_steps(model, x, y, eps, alpha, seed):
    return rfgsm(model, x, y, eps, alpha, seed % 2)


@rfgsm.wrong("gradient outside the box")
def clipped_after_the_gradient(model, x, y, eps, alpha, seed):
    start = x + alpha * noise_like(x, seed).sign()
    return (start.clamp(0, 1) + (eps - alpha) * gradient(model, start, y).sign()).clamp(0, 1)


def too_long_second_step(case: Case) -> tuple[float, str, str]:
    told = "The random step and the gradient step together are eps + alpha long. The second one may only take eps - alpha."
    return case["eps"] + case["alpha"], "second step", told


def two_sign_steps(student: Student, draw: Draw) -> None:
    """On grey images nothing is clipped, and both steps show: x + alpha s + (eps - alpha) t, s and t being +1 or -1."""
    case = loud.hesitant(student.task, draw)
    images, x, alpha = student(case), clean(case), case["alpha"]
    rest = case["eps"] - alpha
    change = images - x
    t = change.sign()  # alpha is less than half of eps, so that the second step decides
    s = (change - rest * t).sign()
    if ((change - rest * t - alpha * s).abs() < SAME).double().mean() < MOST:
        raise _other_sizes(case, images)
    _is_fair(case, images, s)
    start = x + alpha * s
    there = _uphill(case, start)
    if _share(t, there) >= MOST:
        return
    second_step = one_step_from(case, start, rest)
    for slip in fgsm.slips:
        if explains(slip, second_step, start + rest * t):
            raise Finding(slip.key, slip.message, _worst(case, images, t != there))
    _is_not_of_x(case, images, t, t != there)
    raise formula(case, images, start + rest * there)


def gradient_at_the_start(student: Student, draw: Draw) -> None:
    """On a model that bends, the sign of the second step is that at the place where the first has led."""
    case = student.task.case(draw, grey=True)
    images = student(case)
    rest = case["eps"] - case["alpha"]
    t = (images - clean(case)).sign()
    start = images - rest * t
    there = _uphill(case, start)
    if _share(t, there) >= MOST:
        return
    _is_not_of_x(case, images, t, t != there)
    raise formula(case, images, start + rest * there)


def _uphill(case, x):
    return rise(case, x, case.labels).sign()


def _share(signs, others):
    return (signs == others).double().mean().item()


def _worst(case, images, wrong):
    return picture(case, images, int(wrong.double().flatten(1).mean(1).argmax()))


def _is_not_of_x(case, images, t, wrong):
    """A `Finding` where the signs t are those of the gradient at the clean image."""
    if _share(t, _uphill(case, clean(case))) >= MOST:
        told = (
            "The gradient is taken at the clean image x. Take it where the random step has led: at the start."
        )
        raise Finding("gradient at x", told, _worst(case, images, wrong))


def _other_sizes(case, images):
    """The finding for changes that are no sum of two sign steps."""
    change, alpha = images - clean(case), case["alpha"]
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
    return formula(case, images, clean(case) + case["eps"] * _uphill(case, clean(case)))


def _is_fair(case, images, s):
    if s.mean().abs() > 0.2:
        told = "The random steps nearly all go one way. Draw numbers on both sides of 0, for example torch.randn."
        raise Finding("one-sided", told, picture(case, images, 0))
    if _share(s[0], s[1]) > 0.9:
        told = "All images of the batch get the same random step. Draw numbers for the whole shape of x."
        raise Finding("one noise for all", told, picture(case, images, 0))


def first_step_in_colour(student: Student, draw: Draw) -> None:
    """In colour, too, each value of an image takes a random step of its own."""
    case = student.task.case(draw, grey=True, **COLOUR)
    images = student(case)
    change = images - clean(case)
    rest = (case["eps"] - case["alpha"]) * change.sign()  # alpha is less than half of eps
    each_pixel_has_its_own(case, (change - rest).sign(), images)


def gradient_in_the_box(student: Student, draw: Draw) -> None:
    """Of dark images every start is clipped where the random step goes down; the gradient is that at the clipped start.

    A budget of hardly more than alpha shows the start. Pixels are darker than alpha, so that both of its places are told apart.
    """
    case = student.task.case(draw)
    case = case.but(x=0.3 * case["alpha"] * draw.uniform(case["x"].shape))
    x, alpha, start = clean(case), case["alpha"], student(case.but(eps=case["alpha"] + 1e-6))
    images, outside = student(case), x + alpha * (start - x).sign()
    t = (images > start).double() * 2 - 1
    there = _uphill(case, start)
    if _share(t, there) >= MOST:
        return
    if _share(t, _uphill(case, outside)) >= MOST:
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


def from_its_own_start(case: Case, images: Tensor) -> Tensor:
    """The right images with the random steps of `images`, where the gradient has one sign everywhere: on a line, two classes."""
    there = clean(case) + (case["eps"] - case["alpha"]) * _uphill(case, clean(case))
    return there + torch.where(images > there, case["alpha"], -case["alpha"])


rfgsm.checks(
    *FIRST,
    stays_in_budget(too_long_second_step),
    uses_seed("All seeds give the same images: the first step is not random."),
    two_sign_steps,
    gradient_at_the_start,
    start_stays_in_the_box,
    gradient_in_the_box,
    *LAST,
    first_step_in_colour,
    fools(library(attacks.RFGSM), eps=0.3, alpha=0.05),
    loud.withstands_saturation(rfgsm, right=from_its_own_start),
)
