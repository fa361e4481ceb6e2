"""Lab 1: many steps along the sign of a memory of gradients."""

import torch
import torch.nn.functional as F
from torch import Tensor

from advcourse import attacks
from advcourse.labs.comparing import follows, gives, images, recognises
from advcourse.labs.exercises import Draw, exercise
from advcourse.labs.lab1 import loud
from advcourse.labs.lab1.fgsm import DESCENDS, proportional_to_the_gradient
from advcourse.labs.lab1.gradients import (
    cross_entropies,
    gradient,
    largest_logit,
    log_odds,
    margin,
    mean_log_odds,
    own_logit,
    softmax_twice,
)
from advcourse.labs.lab1.many_steps import across_the_ridge, to_the_bottom
from advcourse.labs.lab1.project import project
from advcourse.labs.lab1.questions import FIRST, LAST, TWO_CLASSES, keys_but, library
from advcourse.labs.properties import fools, stays_in_budget, treats_images_alone


def six_steps(draw: Draw, x: Tensor) -> dict[str, float]:
    """A memory that neither forgets at once nor keeps all."""
    return {"eps": draw.number(0.1, 0.2), "steps": 6, "decay": draw.number(0.6, 0.8)}


def l1(slope):
    return slope.abs().sum(dim=(1, 2, 3), keepdim=True)


def normalised(slope):
    return slope / l1(slope).clamp_min(1e-12)


def as_it_is(slope):
    return slope


def remembering(model, x, y, eps, alpha, steps, decay, add=normalised, loss=log_odds, direction=torch.sign):
    x_i, g = x, torch.zeros_like(x)
    for _ in range(steps):
        g = decay * g + add(gradient(model, x_i, y, loss))
        x_i = project(x_i + alpha * direction(g), x, eps)
    return x_i


@exercise(
    "Steps with momentum",
    3,
    six_steps,
    (
        "As bim, but the direction is not the last gradient alone: it is g, which remembers the ones before.",
        "The L1 norm is one number for each image: gradient.abs().sum(dim=(1, 2, 3), keepdim=True). It keeps its four "
        "dimensions, so that you can divide by it.",
        "Before the loop g = torch.zeros_like(x). In it: g = decay * g + gradient / norm. The step is (eps / steps) * g.sign().",
    ),
)
def mifgsm(model, x, y, eps, steps, decay):
    return remembering(model, x, y, eps, eps / steps, steps, decay)


@mifgsm.slip("descends", DESCENDS)
def sign_flipped(model, x, y, eps, steps, decay):
    return remembering(model, x, y, eps, -eps / steps, steps, decay)


@mifgsm.slip(
    "gradient at x",
    "This is FGSM in small steps: all follow the gradient at the clean image x. Take it anew at x_i.",
)
def gradient_at_the_clean_image(model, x, y, eps, steps, decay):
    x_i, g = x, torch.zeros_like(x)
    for _ in range(steps):
        g = decay * g + normalised(gradient(model, x, y))
        x_i = project(x_i + eps / steps * g.sign(), x, eps)
    return x_i


@mifgsm.slip("too few steps", "One step is missing: the loop takes range(steps).")
def starts_counting_at_one(model, x, y, eps, steps, decay):
    return remembering(model, x, y, eps, eps / steps, steps - 1, decay)


@mifgsm.slip("too many steps", "There is one step too many: the loop takes range(steps).")
def counts_to_the_end(model, x, y, eps, steps, decay):
    return remembering(model, x, y, eps, eps / steps, steps + 1, decay)


@mifgsm.slip(
    "no sign",
    "The steps follow the gradient itself, long or short as it happens to be. Take the sign of the direction.",
    test=proportional_to_the_gradient,
)
def sign_forgotten(model, x, y, eps, steps, decay):
    return remembering(model, x, y, eps, eps / steps, steps, decay, direction=as_it_is)


def raw_without_sign(loss, model, x, y, eps, steps, decay):
    return remembering(model, x, y, eps, eps / steps, steps, decay, as_it_is, loss, as_it_is)


@mifgsm.slip("no sign")
def log_odds_as_they_are(model, x, y, eps, steps, decay):
    return raw_without_sign(log_odds, model, x, y, eps, steps, decay)


@mifgsm.slip("no sign")
def mean_log_odds_as_they_are(model, x, y, eps, steps, decay):
    return raw_without_sign(mean_log_odds, model, x, y, eps, steps, decay)


@mifgsm.slip("no sign")
def cross_entropies_as_they_are(model, x, y, eps, steps, decay):
    return raw_without_sign(cross_entropies, model, x, y, eps, steps, decay)


@mifgsm.slip("no sign")
def mean_cross_entropy_as_it_is(model, x, y, eps, steps, decay):
    return raw_without_sign(F.cross_entropy, model, x, y, eps, steps, decay)


@mifgsm.slip(
    "no momentum",
    "Each step follows its own gradient alone. Keep g from step to step: g = decay * g + gradient / its L1 norm.",
)
def memory_overwritten(model, x, y, eps, steps, decay):
    return mifgsm(model, x, y, eps, steps, 0)


@mifgsm.slip(
    "not normalised",
    "The gradients are summed as they are, and long ones drown the others. Divide each by its L1 norm before you add it.",
)
def raw_gradients(model, x, y, eps, steps, decay):
    return remembering(model, x, y, eps, eps / steps, steps, decay, as_it_is, cross_entropies)


@mifgsm.slip("not normalised")
def raw_gradients_of_the_log_odds(model, x, y, eps, steps, decay):
    return remembering(model, x, y, eps, eps / steps, steps, decay, as_it_is)


def divided_afterwards(loss, model, x, y, eps, steps, decay):
    x_i, g = x, torch.zeros_like(x)
    for _ in range(steps):
        g = normalised(decay * g + gradient(model, x_i, y, loss))
        x_i = project(x_i + eps / steps * g.sign(), x, eps)
    return x_i


@mifgsm.slip(
    "normalised afterwards",
    "The gradient is added to g as it is, and then g is divided by its norm. Divide each gradient before you add it.",
)
def divides_the_sum(model, x, y, eps, steps, decay):
    return divided_afterwards(log_odds, model, x, y, eps, steps, decay)


@mifgsm.slip("normalised afterwards")
def divides_the_sum_of_means(model, x, y, eps, steps, decay):
    return divided_afterwards(mean_log_odds, model, x, y, eps, steps, decay)


@mifgsm.slip("normalised afterwards")
def divides_the_sum_of_cross_entropies(model, x, y, eps, steps, decay):
    return divided_afterwards(cross_entropies, model, x, y, eps, steps, decay)


@mifgsm.slip("normalised afterwards")
def divides_the_sum_of_mean_cross_entropies(model, x, y, eps, steps, decay):
    return divided_afterwards(F.cross_entropy, model, x, y, eps, steps, decay)


@mifgsm.slip(
    "sums signs",
    "The signs of the gradients are summed. Sum the gradients, divided by their L1 norm, and take the sign of the sum.",
)
def signs_in_memory(model, x, y, eps, steps, decay):
    return remembering(model, x, y, eps, eps / steps, steps, decay, torch.sign)


@mifgsm.slip(
    "decay unused",
    "The old g counts in full, as with decay = 1. Multiply it by decay before the new gradient is added.",
)
def decay_forgotten(model, x, y, eps, steps, decay):
    return mifgsm(model, x, y, eps, steps, 1)


@mifgsm.slip(
    "steps of eps", "Each step is eps long. The budget is shared by all of them: alpha = eps / steps."
)
def full_steps(model, x, y, eps, steps, decay):
    return remembering(model, x, y, eps, eps, steps, decay)


def with_loss(loss, model, x, y, eps, steps, decay):
    return remembering(model, x, y, eps, eps / steps, steps, decay, loss=loss)


@mifgsm.slip(*loud.SOFTMAX_TWICE)
def probabilities_to_cross_entropy(model, x, y, eps, steps, decay):
    return with_loss(softmax_twice, model, x, y, eps, steps, decay)


@mifgsm.slip(*loud.OWN_LOGIT)
def nll_of_the_logits(model, x, y, eps, steps, decay):
    return with_loss(own_logit, model, x, y, eps, steps, decay)


@mifgsm.slip(*loud.MARGIN)
def leads_of_the_strongest_other(model, x, y, eps, steps, decay):
    return with_loss(margin, model, x, y, eps, steps, decay)


@mifgsm.slip(*loud.LARGEST_LOGIT)
def climbs_the_winner(model, x, y, eps, steps, decay):
    return with_loss(largest_logit, model, x, y, eps, steps, decay)


def with_length(length, model, x, y, eps, steps, decay):
    def divided(slope):
        return slope / length(slope).clamp_min(1e-12)

    return remembering(model, x, y, eps, eps / steps, steps, decay, divided)


@mifgsm.slip(
    "one norm for all",
    "All gradients of the batch are divided by one norm, so one image decides about the others. Each image has a norm of its "
    "own: gradient.abs().sum(dim=(1, 2, 3), keepdim=True).",
)
def norm_of_the_batch(model, x, y, eps, steps, decay):
    return with_length(lambda slope: slope.abs().sum(), model, x, y, eps, steps, decay)


@mifgsm.slip(
    "L2 norm",
    "Each gradient is divided by its L2 norm. MI-FGSM takes the L1 norm, the sum of the absolute values.",
)
def length_in_l2(model, x, y, eps, steps, decay):
    return with_length(
        lambda slope: slope.square().sum(dim=(1, 2, 3), keepdim=True).sqrt(), model, x, y, eps, steps, decay
    )


@mifgsm.slip(
    "largest value",
    "Each gradient is divided by its largest value. MI-FGSM takes the L1 norm, the sum of the absolute values.",
)
def length_in_linf(model, x, y, eps, steps, decay):
    return with_length(
        lambda slope: slope.abs().amax(dim=(1, 2, 3), keepdim=True), model, x, y, eps, steps, decay
    )


@mifgsm.slip(
    "one norm a channel",
    "Each colour channel is divided by a norm of its own. An image has one norm, over channels, rows and columns: "
    "dim=(1, 2, 3).",
)
def norm_over_rows_and_columns(model, x, y, eps, steps, decay):
    return with_length(
        lambda slope: slope.abs().sum(dim=(2, 3), keepdim=True), model, x, y, eps, steps, decay
    )


@mifgsm.slip(
    "one norm a row",
    "Each row of pixels is divided by a norm of its own. An image has one norm, over channels, rows and columns: "
    "dim=(1, 2, 3).",
)
def norm_of_the_last_dimension(model, x, y, eps, steps, decay):
    return with_length(lambda slope: slope.abs().sum(-1, keepdim=True), model, x, y, eps, steps, decay)


@mifgsm.slip(
    "norm of 0",
    "An image that comes to a place where the gradient is 0 stays there for ever. 0 / 0 is not a number, and neither is "
    "g from then on. Where the norm is 0 do not divide by it, for example by clamp_min(1e-12): then g leads on.",
)
def divides_by_any_norm(model, x, y, eps, steps, decay):
    return remembering(model, x, y, eps, eps / steps, steps, decay, lambda slope: slope / l1(slope))


@mifgsm.slip("norm of 0")
def forgets_where_it_is_flat(model, x, y, eps, steps, decay):
    x_i, g = x, torch.zeros_like(x)
    for _ in range(steps):
        slope = gradient(model, x_i, y)
        g = torch.where(l1(slope) > 0, decay * g + slope / l1(slope), 0)
        x_i = project(x_i + eps / steps * g.sign(), x, eps)
    return x_i


@mifgsm.right
def with_the_mean_and_backward(model, x, y, eps, steps, decay):
    rows = torch.arange(len(x), device=x.device)
    delta, velocity = torch.zeros_like(x), 0.0
    for _ in range(steps):
        point = (x + delta).requires_grad_(True)
        logits = model(point)
        own = logits[rows, y]
        others = logits.clone()
        others[rows, y] = -torch.inf
        loss = (others.logsumexp(1) - own).sum()
        loss.backward(inputs=[point])
        size = point.grad.flatten(1).abs().mean(1)  # the mean: the sum but for a factor that no sign sees
        size = torch.where(size > 0, size, 1)
        velocity = decay * velocity + point.grad / size[:, None, None, None]
        delta = torch.clip(delta + eps / steps * velocity.sign(), -eps, eps)
        delta = torch.clip(x + delta, 0, 1) - x
    return torch.clip(x + delta, 0, 1)


@mifgsm.right
def not_a_number_made_0(model, x, y, eps, steps, decay):
    def divided(slope):
        return (slope / l1(slope)).nan_to_num()

    return remembering(model, x, y, eps, eps / steps, steps, decay, divided)


@mifgsm.wrong("budget")
def steps_twice_as_long(model, x, y, eps, steps, decay):
    return mifgsm(model, x, y, 2 * eps, steps, decay)


@mifgsm.wrong("box")
def not_clipped(model, x, y, eps, steps, decay):
    x_i, g = x, torch.zeros_like(x)
    for _ in range(steps):
        g = decay * g + normalised(gradient(model, x_i, y))
        x_i = x_i + eps / steps * g.sign()
    return x_i


@mifgsm.wrong("input flags")
def flags_x_itself(model, x, y, eps, steps, decay):
    x_i, g = x.requires_grad_(), torch.zeros_like(x)
    for _ in range(steps):
        g = decay * g + normalised(torch.autograd.grad(F.cross_entropy(model(x_i), y), x_i)[0])
        x_i = project(x_i + eps / steps * g.sign(), x, eps).detach().requires_grad_()
    return x_i.detach()


@mifgsm.wrong("not a number")
def norm_of_the_rounded(model, x, y, eps, steps, decay):
    def divided(slope):
        return slope / (l1(slope) * 1e-45)

    return remembering(model, x, y, eps, eps / steps, steps, decay, divided, direction=lambda g: g - g)


@mifgsm.wrong("saturated")
def plain_cross_entropy(model, x, y, eps, steps, decay):
    return with_loss(F.cross_entropy, model, x, y, eps, steps, decay)


@mifgsm.wrong("perturbation")
def returns_the_change(model, x, y, eps, steps, decay):
    return mifgsm(model, x, y, eps, steps, decay) - x


@mifgsm.wrong("skips misread images")
def only_where_the_model_is_right(model, x, y, eps, steps, decay):
    right = (model(x).argmax(1) == y).view(-1, 1, 1, 1)
    return torch.where(right, mifgsm(model, x, y, eps, steps, decay), x)


NORMS = ("one norm for all", "L2 norm", "largest value", "one norm a channel", "one norm a row")

mifgsm.checks(
    *FIRST,
    recognises(mifgsm, *keys_but(mifgsm, *loud.LOSSES, *NORMS, "norm of 0"), grey=True),
    recognises(mifgsm, *loud.LOSSES, make=loud.hesitant),
    recognises(mifgsm, *NORMS, "not normalised", "decay unused", make=across_the_ridge),
    stays_in_budget(),
    treats_images_alone,
    follows(mifgsm, **TWO_CLASSES),
    follows(mifgsm, make=loud.hesitant),
    follows(mifgsm, make=across_the_ridge),
    follows(mifgsm, grey=True),
    *LAST,
    fools(library(attacks.UMIFGSM, keep="last"), n=16, eps=0.3, steps=8),
    loud.withstands_saturation(mifgsm, nll_of_the_logits),
    gives(mifgsm, by=images(1.0), keys=("norm of 0",), make=to_the_bottom),
)
