"""Lab 7: TRADES, the loss of clean images and how far the answer nearby is from theirs."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from advcourse.labs.exercises import Case, Draw, exercise
from advcourse.labs.lab7.answering import evaluating
from advcourse.labs.lab7.losses import (
    EVAL_MODE,
    FIRST,
    LAST,
    SOFTMAX_TWICE,
    TEN_CLASSES,
    in_logarithms,
    one_number,
    trains_as,
)

AUDIBLE = 400.0  # no probability is 0 in float64: there the gradient of kl_div by its second argument is NaN


def two_views(draw: Draw, x: Tensor) -> dict[str, Tensor | float]:
    """Attacked copies of the images, and the price of the second term."""
    x_adv = (x + 0.2 * draw.normal(x.shape).sign()).clamp(0, 1)
    return {"x_adv": x_adv, "beta": draw.number(1.5, 6)}


def logits_of(model, x, x_adv):
    return model(torch.cat([x, x_adv])).chunk(2)


def divergence(clean, attacked):
    """KL of two batches of logits, its mean over the images."""
    return kl_div(attacked.log_softmax(1), clean.softmax(1), reduction="batchmean")


@exercise(
    "The same answer nearby",
    3,
    two_views,
    (
        "One batch, torch.cat([x, x_adv]); logits.chunk(2) takes its logits apart. Log-probabilities are log_softmax(1) of them.",
        "With log p and log q: the divergence of each image is (p * (log p - log q)).sum(1). In torch: kl_div(log q, log p, "
        'log_target=True, reduction="batchmean"), the clean one second.',
        "return cross_entropy(clean, y) + beta * divergence.mean(). Detach nothing.",
    ),
    shape=one_number,
)
def trades_loss(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    log_p, log_q = clean.log_softmax(1), attacked.log_softmax(1)
    return cross_entropy(clean, y) + beta * (log_p.exp() * (log_p - log_q)).sum(1).mean()


@trades_loss.slip(
    "divided by the classes too",
    "The divergence is divided by the number of images and by that of classes: reduction='mean' does so. Divide by the "
    "number of images alone: reduction='batchmean', or sum over the classes and take the mean over the images.",
)
def reduction_mean(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    return cross_entropy(clean, y) + beta * divergence(clean, attacked) / clean.shape[1]


@trades_loss.slip(*TEN_CLASSES)
def ten_times_the_mean(model, x, x_adv, y, beta):
    return reduction_mean(model, x, x_adv, y, 10 * beta)


@trades_loss.slip(
    "not divided",
    "The divergences of all images are added up. Divide by the number of images, as in the first term.",
)
def reduction_sum(model, x, x_adv, y, beta):
    return trades_loss(model, x, x_adv, y, len(x) * beta)


@trades_loss.slip(
    "reversed",
    "This is KL(p(x') || p(x)). The clean answer comes first: KL(p(x) || p(x')). F.kl_div takes them the other way round, "
    "kl_div(log p(x'), p(x)).",
)
def order_of_the_formula(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    return cross_entropy(clean, y) + beta * divergence(attacked, clean)


@trades_loss.slip(
    "no logarithm",
    "The second image's probabilities went in without a logarithm. The first argument of F.kl_div is log p(x').",
)
def probabilities_twice(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    p, q = clean.softmax(1), attacked.softmax(1)
    return cross_entropy(clean, y) + beta * kl_div(q, p, reduction="batchmean")


@trades_loss.slip(
    "entropy left out",
    "This is the cross-entropy of the two answers, -sum p(x) log p(x'). The divergence is that less the entropy of p(x).",
)
def soft_labels(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    return cross_entropy(clean, y) + beta * cross_entropy(attacked, clean.softmax(1))


@trades_loss.slip(
    "squared distance",
    "This is the squared distance of the two answers. The divergence is sum p(x) (log p(x) - log p(x')).",
)
def mean_squares(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    return cross_entropy(clean, y) + beta * (clean.softmax(1) - attacked.softmax(1)).square().sum(1).mean()


@trades_loss.slip(*SOFTMAX_TWICE)
def probabilities_as_logits(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    return cross_entropy(clean.softmax(1), y) + beta * divergence(clean, attacked)


@trades_loss.slip(
    "no clean term",
    "The loss of the clean images is missing. Without it, a model that always gives the same answer is perfect.",
)
def divergence_alone(model, x, x_adv, y, beta):
    return beta * divergence(*logits_of(model, x, x_adv))


@trades_loss.slip(
    "loss of the attacked",
    "The first term is the loss of the attacked images. In TRADES the labels are learnt from the clean ones.",
)
def labels_for_the_attacked(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    return cross_entropy(attacked, y) + beta * divergence(clean, attacked)


@trades_loss.slip(
    "beta divides",
    "The second term is divided by beta. The paper has 1 / lambda there; beta is 1 / lambda, and multiplies.",
)
def lambda_for_beta(model, x, x_adv, y, beta):
    return trades_loss(model, x, x_adv, y, 1 / beta)


@trades_loss.slip("beta on the other term", "beta multiplies the first term. It is the price of the second.")
def price_on_accuracy(model, x, x_adv, y, beta):
    return beta * trades_loss(model, x, x_adv, y, 1 / beta)


@trades_loss.slip(
    "clean answer cut off",
    "The number is right, but p(x) is cut off from the graph, so that x' alone is drawn to x. Gradients go through both.",
)
def a_fixed_target(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    return cross_entropy(clean, y) + beta * divergence(clean.detach(), attacked)


@trades_loss.slip(
    "attacked answer cut off",
    "The number is right, but p(x') is cut off from the graph, so that x alone is drawn to x'. Gradients go through both.",
)
def no_gradient_through_the_attacked(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    return cross_entropy(clean, y) + beta * divergence(clean, attacked.detach())


@trades_loss.slip(
    "two passes",
    "Clean and attacked images go through the model one after the other. Each pass has statistics of its own in batch "
    "normalisation: give the model one batch of twice the size, and take its logits apart.",
)
def one_after_the_other(model, x, x_adv, y, beta):
    clean, attacked = model(x), model(x_adv)
    return cross_entropy(clean, y) + beta * divergence(clean, attacked)


@trades_loss.slip(*EVAL_MODE)
def evaluates(model, x, x_adv, y, beta):
    with evaluating(model):
        return trades_loss(model, x, x_adv, y, beta)


@trades_loss.right
def as_the_authors_write_it(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    natural = cross_entropy(clean, y)
    robust = kl_div(attacked.log_softmax(1), clean.softmax(1), reduction="sum") / len(x)
    return natural + beta * robust


@trades_loss.right
def cross_entropy_less_entropy(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    p = clean.softmax(1)
    return cross_entropy(clean, y) + beta * (cross_entropy(attacked, p) - cross_entropy(clean, p))


@trades_loss.wrong("not a number")
def two_logarithms(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    log_p, log_q = clean.log_softmax(1), attacked.log_softmax(1)
    return cross_entropy(clean, y) + beta * kl_div(log_q, log_p, reduction="batchmean")


@trades_loss.wrong("plain number")
def item(model, x, x_adv, y, beta):
    return float(trades_loss(model, x, x_adv, y, beta))


@trades_loss.wrong("formula")
def half_of_the_price(model, x, x_adv, y, beta):
    return trades_loss(model, x, x_adv, y, beta / 2)


@trades_loss.wrong("crash")
def pair_of_calls(model, x, x_adv, y, beta):
    clean, attacked = model(torch.cat([x, x_adv]))
    return cross_entropy(clean, y) + beta * kl_div(attacked, clean)


@trades_loss.wrong("logarithm of a softmax")
def logarithms_of_probabilities(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    p, q = clean.softmax(1), attacked.softmax(1)
    return cross_entropy(clean, y) + beta * (p * ((p + 1e-8).log() - (q + 1e-8).log())).sum(1).mean()


@trades_loss.wrong("logarithm of a softmax")
def kl_div_of_the_logarithm(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    log_q = (attacked.softmax(1) + 1e-8).log()
    return cross_entropy(clean, y) + beta * kl_div(log_q, clean.softmax(1), reduction="batchmean")


@trades_loss.wrong("formula")
def attacked_ones_first(model, x, x_adv, y, beta):
    return trades_loss(model, x_adv, x, y, beta)


@trades_loss.wrong("formula")
def labels_for_both(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    labels = cross_entropy(torch.cat([clean, attacked]), torch.cat([y, y]))
    return labels + beta * divergence(clean, attacked)


def negatives(case: Case) -> dict[str, Tensor]:
    """Attacked copies that are far enough to get another answer."""
    return {"x_adv": 1 - case["x"]}


trades_loss.checks(*FIRST, trains_as(trades_loss), in_logarithms(trades_loss, AUDIBLE, negatives), *LAST)
