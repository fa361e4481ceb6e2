"""Lab 7: the loss of a batch of which some images are attacked."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab7.answering import evaluating, kept_off, of_probabilities, of_ten_classes, own
from advcourse.labs.lab7.losses import (
    EVAL_MODE,
    FIRST,
    LAST,
    SOFTMAX_TWICE,
    in_logarithms,
    one_number,
    trains_as,
    two_learning,
)


def some_attacked(draw: Draw, x: Tensor) -> dict[str, Tensor | float]:
    """A third of the images, changed, and their weight."""
    few = x[: max(1, len(x) // 3)]
    noise = 0.3 * draw.normal(few.shape).sign()
    return {"x_adv": (few + noise).clamp(0, 1), "weight": draw.number(0.2, 0.6)}


def each(model, x, x_adv, y, loss=own):
    """The losses of the mixed batch, the attacked images first."""
    return loss(model(torch.cat([x_adv, x[len(x_adv) :]])), y)


def weighted(losses, k, weight):
    """The losses, those of the first `k` images times `weight`."""
    return torch.cat([weight * losses[:k], losses[k:]])


def mean(losses, k, weight):
    """Their weighted mean."""
    return weighted(losses, k, weight).sum() / (len(losses) - k + weight * k)


@exercise(
    "Some images of each batch are attacked",
    3,
    some_attacked,
    (
        "k = len(x_adv). One batch goes through the model, the k attacked images in front, then the clean ones that are left; "
        "y is in this order already.",
        'losses = cross_entropy(model(torch.cat([x_adv, x[k:]])), y, reduction="none") has a loss for each image. Weights of '
        "the same shape: torch.ones_like(losses), the first k set to weight.",
        "return (weights * losses).sum() / weights.sum().",
    ),
    shape=one_number,
)
def mixed_loss(model, x, x_adv, y, weight):
    return mean(each(model, x, x_adv, y), len(x_adv), weight)


@mixed_loss.slip(*SOFTMAX_TWICE)
def probabilities_as_logits(model, x, x_adv, y, weight):
    return mean(each(model, x, x_adv, y, of_probabilities), len(x_adv), weight)


@mixed_loss.slip(
    "divided by m",
    "The weighted sum is divided by the number of images. Then the loss shrinks wherever more images are attacked. Divide "
    "by the sum of the weights, (m - k) + weight * k.",
)
def mean_of_weighted(model, x, x_adv, y, weight):
    return weighted(each(model, x, x_adv, y), len(x_adv), weight).mean()


@mixed_loss.slip(
    "not divided",
    "This is the weighted sum. Divide by the sum of the weights, (m - k) + weight * k.",
)
def weighted_sum(model, x, x_adv, y, weight):
    return weighted(each(model, x, x_adv, y), len(x_adv), weight).sum()


@mixed_loss.slip(
    "weight unused",
    "All images weigh the same: this is the plain mean. The attacked ones have the weight `weight`.",
)
def plain_mean(model, x, x_adv, y, weight):
    return each(model, x, x_adv, y).mean()


@mixed_loss.slip(
    "weights swapped",
    "The clean images have the weight, and the attacked ones 1. It is the other way round.",
)
def weight_on_the_clean(model, x, x_adv, y, weight):
    return mixed_loss(model, x, x_adv, y, 1 / weight)


@mixed_loss.slip(
    "means apart",
    "The clean and the attacked images are averaged apart, and the two means are added. So a batch with one attacked image "
    "gives it as much say as all of them together. Sum up all losses with their weights, and divide once, by the sum of the "
    "weights.",
)
def two_means(model, x, x_adv, y, weight):
    losses, k = each(model, x, x_adv, y), len(x_adv)
    return losses[k:].mean() + weight * losses[:k].mean()


@mixed_loss.slip("means apart")
def mean_of_two_means(model, x, x_adv, y, weight):
    losses, k = each(model, x, x_adv, y), len(x_adv)
    return (1 - weight) * losses[k:].mean() + weight * losses[:k].mean()


@mixed_loss.slip("means apart")
def two_means_divided(model, x, x_adv, y, weight):
    return two_means(model, x, x_adv, y, weight) / (1 + weight)


@mixed_loss.slip(
    "originals stay",
    "The clean originals of the attacked images are in the batch too. The attacked images take their place: "
    "torch.cat([x_adv, x[k:]]).",
)
def added_instead_of_replaced(model, x, x_adv, y, weight):
    k = len(x_adv)
    return mean(own(model(torch.cat([x_adv, x])), torch.cat([y[:k], y])), k, weight)


@mixed_loss.slip(
    "labels in another order",
    "The labels stand in another order than the images: those of the attacked ones come first in y.",
)
def clean_labels_first(model, x, x_adv, y, weight):
    k = len(x_adv)
    return mixed_loss(model, x, x_adv, torch.cat([y[k:], y[:k]]), weight)


@mixed_loss.slip(
    "wrong images replaced",
    "The attacked images stand in front of the first clean ones. They are the attacked x[:k], so it is these that give way: "
    "the clean ones are x[k:].",
)
def last_ones_give_way(model, x, x_adv, y, weight):
    m, k = len(x), len(x_adv)
    x, y = torch.cat([x[:k], x[: m - k]]), torch.cat([y[:k], y[: m - k]])
    return mixed_loss(model, x, x_adv, y, weight)


@mixed_loss.slip(
    "two passes",
    "Clean and attacked images go through the model one after the other. Each pass has statistics of its own in batch "
    "normalisation: give the model one batch, torch.cat([x_adv, x[k:]]).",
)
def one_after_the_other(model, x, x_adv, y, weight):
    k = len(x_adv)
    return mean(torch.cat([own(model(x_adv), y[:k]), own(model(x[k:]), y[k:])]), k, weight)


@mixed_loss.slip(*EVAL_MODE)
def evaluates(model, x, x_adv, y, weight):
    with evaluating(model):
        return mixed_loss(model, x, x_adv, y, weight)


@mixed_loss.right
def with_two_sums(model, x, x_adv, y, weight):
    m, k = len(x), len(x_adv)
    mixed = x.clone()
    mixed[:k] = x_adv
    log_p = torch.log_softmax(model(mixed), 1)
    j = -log_p[torch.arange(m, device=x.device), y]
    return (j[k:].sum() + weight * j[:k].sum()) / (m - k + weight * k)


@mixed_loss.wrong("mode lost")
def left_in_eval_mode(model, x, x_adv, y, weight):
    return mixed_loss(model.eval(), x, x_adv, y, weight)


@mixed_loss.wrong("plain number")
def item(model, x, x_adv, y, weight):
    return mixed_loss(model, x, x_adv, y, weight).item()


@mixed_loss.wrong("detached")
def without_gradients(model, x, x_adv, y, weight):
    with torch.no_grad():
        return mixed_loss(model, x, x_adv, y, weight)


@mixed_loss.wrong("gradient")
def attacked_ones_are_cut_off(model, x, x_adv, y, weight):
    losses, k = each(model, x, x_adv, y), len(x_adv)
    return mean(torch.cat([losses[:k].detach(), losses[k:]]), k, weight)


@mixed_loss.wrong("input")
def written_into_x(model, x, x_adv, y, weight):
    x[: len(x_adv)] = x_adv
    return mixed_loss(model, x, x_adv, y, weight)


@mixed_loss.wrong("other type")
def weights_of_one_type(model, x, x_adv, y, weight):
    losses, k = each(model, x, x_adv, y), len(x_adv)
    weights = torch.cat([torch.full((k,), weight), torch.ones(len(x) - k)]).to(x.device)
    return torch.dot(weights, losses) / weights.sum()


@mixed_loss.wrong("parameter gradients")
def goes_backward_itself(model, x, x_adv, y, weight):
    loss = mixed_loss(model, x, x_adv, y, weight)
    loss.backward(retain_graph=True)
    return loss


@mixed_loss.wrong("shape")
def a_loss_for_each(model, x, x_adv, y, weight):
    return weighted(each(model, x, x_adv, y), len(x_adv), weight)


@mixed_loss.wrong("formula")
def weight_squared(model, x, x_adv, y, weight):
    return mixed_loss(model, x, x_adv, y, weight**2)


@mixed_loss.wrong("crash")
def more_images_than_labels(model, x, x_adv, y, weight):
    return cross_entropy(model(torch.cat([x_adv, x])), y)


@mixed_loss.wrong("logarithm of a softmax")
def log_of_the_probability(model, x, x_adv, y, weight):
    return mean(each(model, x, x_adv, y, kept_off(1e-12)), len(x_adv), weight)


@mixed_loss.wrong("formula")
def three_attacked_ones(model, x, x_adv, y, weight):
    return mean(each(model, x, x_adv, y), min(3, len(x)), weight)


@mixed_loss.wrong("formula")
def a_third_attacked(model, x, x_adv, y, weight):
    return mean(each(model, x, x_adv, y), max(1, len(x) // 3), weight)


@mixed_loss.wrong("formula")
def rest_of_the_weight(model, x, x_adv, y, weight):
    losses, k = each(model, x, x_adv, y), len(x_adv)
    return (weight * losses[:k].sum() + (1 - weight) * losses[k:].sum()) / len(x)


@mixed_loss.wrong("other classes")
def ten_classes(model, x, x_adv, y, weight):
    return mean(each(model, x, x_adv, y, of_ten_classes), len(x_adv), weight)


def two_shares(task: Task, draw: Draw) -> tuple[Case, Case]:
    """A third of the images attacked, and fewer."""
    third, fewer = two_learning(task, draw)
    return third, fewer.but(x_adv=fewer["x_adv"][:-1])


mixed_loss.checks(*FIRST, trains_as(mixed_loss, two_shares), in_logarithms(mixed_loss), *LAST)
