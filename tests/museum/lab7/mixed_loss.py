"""Answers to mixed_loss(model, x, x_adv, y, weight)."""

import torch
from torch.nn.functional import cross_entropy, one_hot

from museum import Room

room = Room("mixed_loss")


def each(model, x, x_adv, y):
    """The losses of the mixed batch, the attacked images first."""
    return cross_entropy(model(torch.cat([x_adv, x[len(x_adv) :]])), y, reduction="none")


@room.right
def with_weights(model, x, x_adv, y, weight):
    losses = each(model, x, x_adv, y)
    weights = torch.ones_like(losses)
    weights[: len(x_adv)] = weight
    return (weights * losses).sum() / weights.sum()


@room.right
def with_two_sums(model, x, x_adv, y, weight):
    m, k = len(x), len(x_adv)
    mixed = x.clone()
    mixed[:k] = x_adv
    log_p = torch.log_softmax(model(mixed), 1)
    j = -log_p[torch.arange(m, device=x.device), y]
    return (j[k:].sum() + weight * j[:k].sum()) / (m - k + weight * k)


@room.wrong("divided by m")
def mean_of_weighted(model, x, x_adv, y, weight):
    losses = each(model, x, x_adv, y)
    k = len(x_adv)
    return torch.cat([weight * losses[:k], losses[k:]]).mean()


@room.wrong("not divided")
def weighted_sum(model, x, x_adv, y, weight):
    losses, k = each(model, x, x_adv, y), len(x_adv)
    return losses[k:].sum() + weight * losses[:k].sum()


@room.wrong("weight unused")
def plain_mean(model, x, x_adv, y, weight):
    return each(model, x, x_adv, y).mean()


@room.wrong("weights swapped")
def weight_on_the_clean(model, x, x_adv, y, weight):
    losses, k = each(model, x, x_adv, y), len(x_adv)
    return (losses[:k].sum() + weight * losses[k:].sum()) / (k + weight * (len(x) - k))


@room.wrong("means apart")
def two_means(model, x, x_adv, y, weight):
    losses, k = each(model, x, x_adv, y), len(x_adv)
    return losses[k:].mean() + weight * losses[:k].mean()


@room.wrong("originals stay")
def added_instead_of_replaced(model, x, x_adv, y, weight):
    k = len(x_adv)
    losses = cross_entropy(model(torch.cat([x_adv, x])), torch.cat([y[:k], y]), reduction="none")
    return (weight * losses[:k].sum() + losses[k:].sum()) / (len(x) + weight * k)


@room.wrong("labels in another order")
def clean_labels_first(model, x, x_adv, y, weight):
    k = len(x_adv)
    return with_weights(model, x, x_adv, torch.cat([y[k:], y[:k]]), weight)


@room.wrong("wrong images replaced")
def last_ones_give_way(model, x, x_adv, y, weight):
    m, k = len(x), len(x_adv)
    x, y = torch.cat([x[:k], x[: m - k]]), torch.cat([y[:k], y[: m - k]])
    return with_weights(model, x, x_adv, y, weight)


@room.wrong("two passes")
def one_after_the_other(model, x, x_adv, y, weight):
    m, k = len(x), len(x_adv)
    attacked = cross_entropy(model(x_adv), y[:k], reduction="sum")
    clean = cross_entropy(model(x[k:]), y[k:], reduction="sum")
    return (clean + weight * attacked) / (m - k + weight * k)


@room.wrong("eval mode")
def evaluates(model, x, x_adv, y, weight):
    was = model.training
    model.eval()
    loss = with_weights(model, x, x_adv, y, weight)
    model.train(was)
    return loss


@room.wrong("mode lost")
def left_in_eval_mode(model, x, x_adv, y, weight):
    model.eval()
    return with_weights(model, x, x_adv, y, weight)


@room.wrong("plain number")
def item(model, x, x_adv, y, weight):
    return with_weights(model, x, x_adv, y, weight).item()


@room.wrong("detached")
def without_gradients(model, x, x_adv, y, weight):
    with torch.no_grad():
        return with_weights(model, x, x_adv, y, weight)


@room.wrong("gradient")
def attacked_ones_are_cut_off(model, x, x_adv, y, weight):
    losses, k = each(model, x, x_adv, y), len(x_adv)
    return (losses[k:].sum() + weight * losses[:k].detach().sum()) / (len(x) - k + weight * k)


@room.wrong("input")
def written_into_x(model, x, x_adv, y, weight):
    x[: len(x_adv)] = x_adv
    return with_weights(model, x, x_adv, y, weight)


@room.wrong("other type")
def weights_of_one_type(model, x, x_adv, y, weight):
    losses, k = each(model, x, x_adv, y), len(x_adv)
    weights = torch.cat([torch.full((k,), weight), torch.ones(len(x) - k)]).to(x.device)
    return torch.dot(weights, losses) / weights.sum()


@room.wrong("parameter gradients")
def goes_backward_itself(model, x, x_adv, y, weight):
    loss = with_weights(model, x, x_adv, y, weight)
    loss.backward(retain_graph=True)
    return loss


@room.wrong("shape")
def a_loss_for_each(model, x, x_adv, y, weight):
    losses, k = each(model, x, x_adv, y), len(x_adv)
    return torch.cat([weight * losses[:k], losses[k:]])


@room.wrong("formula")
def weight_squared(model, x, x_adv, y, weight):
    return with_weights(model, x, x_adv, y, weight**2)


@room.wrong("crash")
def more_images_than_labels(model, x, x_adv, y, weight):
    return cross_entropy(model(torch.cat([x_adv, x])), y)


@room.wrong("softmax twice")
def probabilities_as_logits(model, x, x_adv, y, weight):
    return with_weights(lambda images: model(images).softmax(1), x, x_adv, y, weight)


@room.wrong("logarithm of a softmax")
def log_of_the_probability(model, x, x_adv, y, weight):
    k = len(x_adv)
    p = model(torch.cat([x_adv, x[k:]])).softmax(1).gather(1, y[:, None])[:, 0]
    weights = torch.ones_like(p)
    weights[:k] = weight
    return -(weights * (p + 1e-12).log()).sum() / weights.sum()


@room.wrong("formula")
def three_attacked_ones(model, x, x_adv, y, weight):
    losses = each(model, x, x_adv, y)
    weights = torch.ones_like(losses)
    weights[:3] = weight
    return (weights * losses).sum() / weights.sum()


@room.wrong("formula")
def a_third_attacked(model, x, x_adv, y, weight):
    losses = each(model, x, x_adv, y)
    weights = torch.ones_like(losses)
    weights[: max(1, len(x) // 3)] = weight
    return (weights * losses).sum() / weights.sum()


@room.wrong("formula")
def rest_of_the_weight(model, x, x_adv, y, weight):
    losses, k = each(model, x, x_adv, y), len(x_adv)
    return (weight * losses[:k].sum() + (1 - weight) * losses[k:].sum()) / len(x)


@room.wrong("other classes")
def ten_classes(model, x, x_adv, y, weight):
    log_p, k = model(torch.cat([x_adv, x[len(x_adv) :]])).log_softmax(1), len(x_adv)
    losses = -(one_hot(y, 10) * log_p).sum(1)
    return (weight * losses[:k].sum() + losses[k:].sum()) / (weight * k + len(x) - k)
