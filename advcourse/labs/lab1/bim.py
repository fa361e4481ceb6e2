"""Lab 1: many small steps along the sign of the gradient, each projected."""

import torch
import torch.nn.functional as F
from torch import Tensor

from advcourse import attacks
from advcourse.labs.comparing import follows, gives, recognises, same_as
from advcourse.labs.exercises import Case, Draw, exercise
from advcourse.labs.lab1 import loud
from advcourse.labs.lab1.fgsm import DESCENDS, proportional_to_the_gradient
from advcourse.labs.lab1.gradients import (
    climb,
    cross_entropies,
    gradient,
    largest_logit,
    log_odds,
    margin,
    mean_log_odds,
    own_logit,
    softmax_twice,
)
from advcourse.labs.lab1.many_steps import projected_too_early, returns_the_end, with_a_target
from advcourse.labs.lab1.project import project
from advcourse.labs.lab1.questions import COLOUR, FIRST, LAST, TWO_CLASSES, keys_but, library
from advcourse.labs.properties import fools, stays_in_budget, takes_class_0, treats_images_alone


def six_steps(draw: Draw, x: Tensor) -> dict[str, float | None]:
    """Steps that reach the border of the ball, and no target."""
    return {
        "eps": (eps := draw.number(0.1, 0.2)),
        "steps": 6,
        "alpha": round(eps * draw.number(0.25, 0.35), 4),
        "target": None,
    }


@exercise(
    "Many small steps",
    4,
    six_steps,
    (
        "The loop holds x_i, the image so far. Each turn: the gradient at x_i, one step of alpha, project around x.",
        "Detach x_i at the start of each turn and let it require gradients: x_i = x_i.detach().requires_grad_(). "
        "Then nothing is left over from the turn before.",
        "label, sign = (y, 1) if target is None else (target, -1). In the loop: "
        "x_i = project(x_i + sign * alpha * gradient.sign(), x, eps), gradient being that of label. Return x_i.detach().",
    ),
)
def bim(model, x, y, eps, alpha, steps, target=None):
    label, away = (y, 1) if target is None else (target, -1)
    return climb(model, x, x, label, eps, away * alpha, steps)


@bim.slip("descends", DESCENDS)
def sign_flipped(model, x, y, eps, alpha, steps, target=None):
    return bim(model, x, y, eps, -alpha, steps)


@bim.slip(
    "gradient at x",
    "This is FGSM in small steps: all follow the gradient at the clean image x. Take it anew at x_i.",
)
def gradient_outside_the_loop(model, x, y, eps, alpha, steps, target=None):
    slope, x_i = gradient(model, x, y), x
    for _ in range(steps):
        x_i = project(x_i + alpha * slope.sign(), x, eps)
    return x_i


@bim.slip("too few steps", "One step is missing: the loop takes range(steps).")
def starts_counting_at_one(model, x, y, eps, alpha, steps, target=None):
    return bim(model, x, y, eps, alpha, steps - 1)


@bim.slip("too many steps", "There is one step too many: the loop takes range(steps).")
def counts_to_the_end(model, x, y, eps, alpha, steps, target=None):
    return bim(model, x, y, eps, alpha, steps + 1)


def without_sign(loss, model, x, y, eps, alpha, steps):
    x_i = x
    for _ in range(steps):
        x_i = project(x_i + alpha * gradient(model, x_i, y, loss), x, eps)
    return x_i


@bim.slip(
    "no sign",
    "The steps follow the gradient itself, long or short as it happens to be. Take the sign of the direction.",
)
def sign_forgotten(model, x, y, eps, alpha, steps, target=None):
    return without_sign(log_odds, model, x, y, eps, alpha, steps)


@bim.slip("no sign")
def mean_without_sign(model, x, y, eps, alpha, steps, target=None):
    return without_sign(mean_log_odds, model, x, y, eps, alpha, steps)


@bim.slip("no sign")
def cross_entropies_without_sign(model, x, y, eps, alpha, steps, target=None):
    return without_sign(cross_entropies, model, x, y, eps, alpha, steps)


@bim.slip("no sign")
def mean_cross_entropy_without_sign(model, x, y, eps, alpha, steps, target=None):
    return without_sign(F.cross_entropy, model, x, y, eps, alpha, steps)


def follows_the_gradient_itself(case: Case, images: Tensor) -> bool:
    """Whether each image's change is the gradient at x, however long, or the sum of unit gradients on the way."""
    return proportional_to_the_gradient(case, images) or same_as(unit_gradients)(case, images)


@bim.slip("no sign", test=follows_the_gradient_itself)
def unit_gradients(model, x, y, eps, alpha, steps, target=None):
    x_i = x
    for _ in range(steps):
        slope = gradient(model, x_i, y)
        length = slope.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        x_i = project(x_i + alpha * slope / length, x, eps)
    return x_i


@bim.slip(
    "never projected",
    "Nothing draws the images back to the ball around x. Project after each step, around the clean image x, not around x_i.",
)
def ball_around_the_last_image(model, x, y, eps, alpha, steps, target=None):
    x_i = x
    for _ in range(steps):
        x_i = project(x_i + alpha * gradient(model, x_i, y).sign(), x_i, eps)
    return x_i


def never_cleared(loss, model, x, y, eps, alpha, steps):
    x_i = x.clone().requires_grad_()
    for _ in range(steps):
        loss(model(x_i), y).sum().backward(inputs=[x_i])
        with torch.no_grad():
            x_i.copy_(project(x_i + alpha * x_i.grad.sign(), x, eps))
    return x_i.detach()


@bim.slip(
    "gradients accumulate",
    "Each step follows the sum of all gradients so far: .grad is added to, not replaced. Detach x_i before each step.",
)
def grad_never_cleared(model, x, y, eps, alpha, steps, target=None):
    return never_cleared(F.cross_entropy, model, x, y, eps, alpha, steps)


@bim.slip("gradients accumulate")
def grad_of_the_log_odds_never_cleared(model, x, y, eps, alpha, steps, target=None):
    return never_cleared(log_odds, model, x, y, eps, alpha, steps)


@bim.slip(
    "projects at the end",
    "The images are projected onto the ball only once, after the last step. Project after every step.",
)
def projection_after_the_loop(model, x, y, eps, alpha, steps, target=None):
    return project(ball_around_the_last_image(model, x, y, eps, alpha, steps), x, eps)


@bim.slip("own step size", "The steps are eps / steps long. Here the step size alpha is given: use it.")
def eps_over_steps(model, x, y, eps, alpha, steps, target=None):
    return bim(model, x, y, eps, eps / steps, steps)


def with_loss(loss, model, x, y, eps, alpha, steps, target):
    label, away = (y, 1) if target is None else (target, -1)
    return climb(model, x, x, label, eps, away * alpha, steps, loss)


@bim.slip(*loud.SOFTMAX_TWICE)
def probabilities_to_cross_entropy(model, x, y, eps, alpha, steps, target=None):
    return with_loss(softmax_twice, model, x, y, eps, alpha, steps, target)


@bim.slip(*loud.OWN_LOGIT)
def nll_of_the_logits(model, x, y, eps, alpha, steps, target=None):
    return with_loss(own_logit, model, x, y, eps, alpha, steps, target)


@bim.slip(*loud.MARGIN)
def leads_of_the_strongest_other(model, x, y, eps, alpha, steps, target=None):
    return with_loss(margin, model, x, y, eps, alpha, steps, target)


@bim.slip(*loud.LARGEST_LOGIT)
def climbs_the_winner(model, x, y, eps, alpha, steps, target=None):
    return with_loss(largest_logit, model, x, y, eps, alpha, steps, target)


@bim.slip(
    "target unused",
    "With a target the images are the same as without one. Where target is not None, lower the loss of the target.",
)
def untargeted_always(model, x, y, eps, alpha, steps, target=None):
    return bim(model, x, y, eps, alpha, steps)


@bim.slip(
    "leaves the target",
    "With a target the images move away from it. The loss of the target must fall: subtract the step.",
)
def target_with_plus(model, x, y, eps, alpha, steps, target=None):
    return bim(model, x, y if target is None else target, eps, alpha, steps)


@bim.slip(
    "y for the target",
    "With a target the loss of y falls, so the images move deeper into their own class. Put the target in place of y: "
    "it is the target's loss that must fall.",
)
def minus_the_loss_of_y(model, x, y, eps, alpha, steps, target=None):
    return bim(model, x, y, eps, alpha if target is None else -alpha, steps)


@bim.right
def with_backward_on_the_change(model, x, y, eps, alpha, steps, target=None):
    delta = torch.zeros_like(x, requires_grad=True)
    for _ in range(steps):
        scores = model(x + delta)
        own = F.one_hot(y if target is None else target, scores.shape[1])
        odds = torch.logsumexp(scores - 1e9 * own, dim=1) - (scores * own).sum(1)
        objective = odds.sum() if target is None else -odds.sum()
        torch.autograd.backward(objective, inputs=[delta])
        with torch.no_grad():
            delta += alpha * delta.grad.sign()
            delta.clamp_(-eps, eps)
            delta.copy_((x + delta).clamp(0, 1) - x)
            delta.grad.zero_()
    return (x + delta).clamp(0, 1).detach()


@bim.wrong("projects first")
def projection_before_the_step(model, x, y, eps, alpha, steps, target=None):
    x_i = x
    for _ in range(steps):
        x_i = project(x_i, x, eps)
        x_i = (x_i + alpha * gradient(model, x_i, y).sign()).clamp(0, 1)
    return x_i


@bim.wrong("budget")
def ball_too_large(model, x, y, eps, alpha, steps, target=None):
    return bim(model, x, y, 1.5 * eps, alpha, steps)


@bim.wrong("box")
def ball_alone(model, x, y, eps, alpha, steps, target=None):
    x_i = x
    for _ in range(steps):
        x_i = (x_i + alpha * gradient(model, x_i, y).sign()).clamp(x - eps, x + eps)
    return x_i


@bim.wrong("mode")
def switches_to_training(model, x, y, eps, alpha, steps, target=None):
    return bim(model.train(), x, y, eps, alpha, steps, target)


@bim.wrong("buffers")
def trains_and_switches_back(model, x, y, eps, alpha, steps, target=None):
    result = bim(model.train(), x, y, eps, alpha, steps, target)
    model.eval()
    return result


@bim.wrong("parameter gradients")
def backward_through_the_weights(model, x, y, eps, alpha, steps, target=None):
    label, away = (y, 1) if target is None else (target, -1)
    x_i = x.clone()
    for _ in range(steps):
        x_i = x_i.detach().requires_grad_()
        F.cross_entropy(model(x_i), label).backward()
        x_i = project(x_i + away * alpha * x_i.grad.sign(), x, eps)
    return x_i.detach()


@bim.wrong("input")
def no_copy_of_x(model, x, y, eps, alpha, steps, target=None):
    original, x_i = x.clone(), x
    for _ in range(steps):
        x_i += alpha * gradient(model, x_i, y).sign()
        x_i.copy_(project(x_i, original, eps))
    return x_i.clone()


@bim.wrong("crash")
def leaf_lost(model, x, y, eps, alpha, steps, target=None):
    x_i = x.clone().requires_grad_()
    for _ in range(steps):
        F.cross_entropy(model(x_i), y).backward(inputs=[x_i])
        x_i = project(x_i.detach() + alpha * x_i.grad.sign(), x, eps)
    return x_i


@bim.wrong("attached")
def graph_kept(model, x, y, eps, alpha, steps, target=None):
    label, away = (y, 1) if target is None else (target, -1)
    x_i = x.clone()
    for _ in range(steps):
        x_i = x_i.detach().requires_grad_()
        slope = torch.autograd.grad(F.cross_entropy(model(x_i), label), x_i)[0]
        x_i = project(x_i + away * alpha * slope.sign(), x, eps)
    return x_i


@bim.wrong("formula")
def one_shorter_step_each_time(model, x, y, eps, alpha, steps, target=None):
    x_i = x
    for i in range(steps):
        x_i = climb(model, x_i, x, y, eps, alpha * (1 - i / steps), 1)
    return x_i


@bim.wrong("saturated")
def lowers_the_probability(model, x, y, eps, alpha, steps, target=None):
    def loss(scores, label):
        return -scores.softmax(1).gather(1, label[:, None])

    return with_loss(loss, model, x, y, eps, alpha, steps, target)


@bim.wrong("perturbation")
def returns_the_change(model, x, y, eps, alpha, steps, target=None):
    return bim(model, x, y, eps, alpha, steps, target) - x


@bim.wrong("skips misread images")
def stops_once_it_fools(model, x, y, eps, alpha, steps, target=None):
    x_i = x
    for _ in range(steps):
        on = (model(x_i).argmax(1) == y).view(-1, 1, 1, 1)
        x_i = torch.where(on, climb(model, x_i, x, y, eps, alpha, 1), x_i)
    return x_i


@bim.wrong("best on the way")
def largest_loss_so_far(model, x, y, eps, alpha, steps, target=None):
    label, away = (y, 1) if target is None else (target, -1)
    x_i, best, most = x, x, torch.full((len(x),), -torch.inf).to(x)
    for _ in range(steps):
        x_i = climb(model, x_i, x, label, eps, away * alpha, 1)
        with torch.no_grad():
            loss = away * log_odds(model(x_i), label)
        best = torch.where((loss > most).view(-1, 1, 1, 1), x_i, best)
        most = torch.maximum(loss, most)
    return best


@bim.wrong("class 0 for no target")
def any_target(model, x, y, eps, alpha, steps, target=None):
    target = None if target is None or not target.any() else target
    return bim(model, x, y, eps, alpha, steps, target)


@bim.wrong("class 0 for no target")
def target_with_a_sum(model, x, y, eps, alpha, steps, target=None):
    target = target if target is not None and target.sum() > 0 else None
    return bim(model, x, y, eps, alpha, steps, target)


@bim.wrong("class 0 for no target")
def class_0_image_by_image(model, x, y, eps, alpha, steps, target=None):
    given = torch.zeros_like(y) if target is None else target
    label, away = torch.where(given > 0, given, y), 1 - 2 * (given > 0).to(x).view(-1, 1, 1, 1)
    return climb(model, x, x, label, eps, away * alpha, steps)


TARGETS = ("target unused", "leaves the target", "y for the target")

bim.checks(
    *FIRST,
    recognises(bim, *keys_but(bim, *loud.LOSSES, *TARGETS), grey=True),
    recognises(bim, *loud.LOSSES, make=loud.hesitant),
    stays_in_budget(projected_too_early),
    treats_images_alone,
    returns_the_end,
    follows(bim, **TWO_CLASSES),
    follows(bim, make=loud.hesitant),
    follows(bim),
    gives(bim, keys=TARGETS, make=with_a_target),
    takes_class_0,
    *LAST,
    follows(bim, **COLOUR),
    fools(library(attacks.BIM, keep="last"), n=16, eps=0.3, alpha=0.06, steps=8),
    loud.withstands_saturation(bim, nll_of_the_logits),
)
