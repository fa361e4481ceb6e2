"""Lab 6: the attack on features, one addition at a time."""

import torch

from advcourse.labs.exercises import exercise
from advcourse.labs.lab6.evading import (
    NetTask,
    evades_enough,
    evades_real_apps,
    goes_on_at_a_tie,
    leaves_what_passes,
    only_adds,
    stops_without_a_candidate,
    uses_the_whole_budget,
    works_where_logits_are_large,
)
from advcourse.labs.properties import answers, keeps_what_it_gets, leaves_nothing_behind, other_device


def lead(logits):
    return logits[:, 0] - logits[:, 1]


def slope_of(model, x, score=lead):
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(score(model(x)).sum(), x)
    return slope


def passes(model, x):
    with torch.no_grad():
        return lead(model(x)) > 0


def added(x, slope, addable, going):
    """x with the best addition of each app that is `going`."""
    value, best = slope.masked_fill(~addable | (x > 0), -torch.inf).max(1)
    rows = (going & (value > 0)).nonzero()[:, 0]
    x = x.clone()
    x[rows, best[rows]] = 1
    return x


@exercise(
    "Evade",
    5,
    hints=(
        "Three steps, `budget` times: which apps are still detected; the slope of logits[:, 0] - logits[:, 1] by x as it is "
        "now; and for each of these apps your `step`.",
        "x = x.clone().requires_grad_(), then torch.autograd.grad(lead.sum(), x)[0]: apps do not mix, so one call gives the "
        "slopes of all. Mask with ~addable | (x > 0), and take .max(1), which gives values and places.",
        "rows = ((lead <= 0) & (value > 0)).nonzero()[:, 0]; then x = x.detach().clone(); x[rows, best[rows]] = 1. All inside "
        "the loop.",
    ),
    shape=lambda case: case["x"].shape,
    kind=NetTask,
)
def evade(model, x, addable, budget):
    for _ in range(budget):
        x = added(x, slope_of(model, x), addable, ~passes(model, x))
    return x


@evade.slip(
    "stale slope",
    "You ask for the slope once, at the app as it came. Each addition turns the slopes of the others: ask again after each.",
)
def one_slope_for_all(model, x, addable, budget):
    slope = slope_of(model, x)
    for _ in range(budget):
        x = added(x, slope, addable, ~passes(model, x))
    return x


@evade.slip(
    "all at once",
    "You add the `budget` steepest features at once. After the first of them the slopes are others: one addition at a time, "
    "and ask again.",
)
def the_steepest_together(model, x, addable, budget):
    slope, going = slope_of(model, x), ~passes(model, x)
    for _ in range(budget):
        x = added(x, slope, addable, going)
    return x


@evade.slip(
    "on after success",
    "You go on after an app has passed, until the budget is spent. Each addition is one more that could break the app or be "
    "seen: stop for those that pass.",
)
def spends_it_all(model, x, addable, budget):
    for _ in range(budget):
        x = added(x, slope_of(model, x), addable, torch.ones(len(x), dtype=torch.bool, device=x.device))
    return x


@evade.slip(
    "wrong way",
    "Your additions make the apps more suspicious. logits[:, 0] is benign and logits[:, 1] malicious: climb the first minus the "
    "second.",
)
def climbs_malicious(model, x, addable, budget):
    for _ in range(budget):
        x = added(x, -slope_of(model, x), addable, ~passes(model, x))
    return x


@evade.slip(
    "one logit",
    "You climb the logit of benign alone. A feature may raise that of malicious still more: take the difference of the two.",
)
def benign_alone(model, x, addable, budget):
    for _ in range(budget):
        slope = slope_of(model, x, lambda logits: logits[:, 0])
        x = added(x, slope, addable, ~passes(model, x))
    return x


@evade.slip("one logit")
def malicious_down(model, x, addable, budget):
    for _ in range(budget):
        slope = slope_of(model, x, lambda logits: -logits[:, 1])
        x = added(x, slope, addable, ~passes(model, x))
    return x


@evade.slip(
    "size of the slope",
    "You take the feature with the steepest slope, up or down. One that falls makes the app more suspicious: take the largest.",
)
def steepest(model, x, addable, budget):
    for _ in range(budget):
        x = added(x, slope_of(model, x).abs(), addable, ~passes(model, x))
    return x


@evade.slip(
    "one choice for all",
    "All apps get the same additions: you choose by the slopes of the whole batch together. Each app has slopes of its own: "
    "max(1), along the features.",
)
def the_same_for_all(model, x, addable, budget):
    for _ in range(budget):
        going = ~passes(model, x)
        total = slope_of(model, x)[going].sum(0).expand_as(x)
        x = added(x, total, addable, going)
    return x


@evade.slip(
    "one addition",
    "Each app gets one addition, whatever the budget. Repeat it up to `budget` times, as long as the app is detected.",
)
def one_alone(model, x, addable, budget):
    return added(x, slope_of(model, x), addable, ~passes(model, x))


@evade.slip(
    "one too few",
    "You make one addition fewer than the budget allows.",
)
def starts_at_one(model, x, addable, budget):
    return evade(model, x, addable, budget - 1)


@evade.slip(
    "all or none",
    "You stop as soon as one of the apps passes. Each app has an end of its own: go on with those that are still detected.",
)
def ends_with_the_first(model, x, addable, budget):
    for _ in range(budget):
        if passes(model, x).any():
            break
        x = added(x, slope_of(model, x), addable, ~passes(model, x))
    return x


@evade.right
def by_the_loss(model, x, addable, budget):
    x = x.clone()
    for _ in range(budget):
        x_i = x.clone().requires_grad_()
        slope = torch.autograd.grad(model(x_i).log_softmax(1)[:, 0].sum(), x_i)[0]
        slope[:, ~addable] = -torch.inf
        slope[x > 0] = -torch.inf
        with torch.no_grad():
            benign, malicious = model(x).unbind(1)
            detected = benign <= malicious
        for i in detected.nonzero()[:, 0].tolist():
            j = slope[i].argmax()
            if slope[i, j] > 0:
                x[i, j] = 1
    return x


@evade.right
def tries_each(model, x, addable, budget):
    x, places = x.clone(), addable.nonzero()[:, 0]
    with torch.no_grad():
        for _ in range(budget):
            tried = x[:, None].repeat(1, len(places), 1)
            tried[:, torch.arange(len(places)), places] = 1
            logits = model(tried.flatten(0, 1)).unflatten(0, tried.shape[:2])
            gain = logits[..., 0] - logits[..., 1] - lead(model(x))[:, None]
            value, best = gain.max(1)
            rows = (~passes(model, x) & (value > 0)).nonzero()[:, 0]
            x[rows, places[best[rows]]] = 1
    return x


@evade.wrong("removed")
def turns_them_over(model, x, addable, budget):
    x = x.clone()
    for _ in range(budget):
        slope = slope_of(model, x) * (1 - 2 * x)
        value, best = slope.masked_fill(~addable, -torch.inf).max(1)
        rows = (~passes(model, x) & (value > 0)).nonzero()[:, 0]
        x[rows, best[rows]] = 1 - x[rows, best[rows]]
    return x


@evade.wrong("forbidden")
def adds_anything(model, x, addable, budget):
    return evade(model, x, torch.ones_like(addable), budget)


@evade.wrong("nothing left")
def adds_without_a_candidate(model, x, addable, budget):
    x = x.clone()
    for _ in range(budget):
        best = slope_of(model, x).masked_fill(~addable | (x > 0), -torch.inf).argmax(1)
        rows = (~passes(model, x)).nonzero()[:, 0]
        x[rows, best[rows]] = 1
    return x


@evade.wrong("budget")
def one_too_many(model, x, addable, budget):
    return evade(model, x, addable, budget + 1)


@evade.wrong("zeros and ones")
def a_step_along_the_slope(model, x, addable, budget):
    return (x + addable * slope_of(model, x).clamp(min=0)).clamp(0, 1)


@evade.wrong("zeros and ones")
def more_than_one(model, x, addable, budget):
    for _ in range(budget):
        slope = slope_of(model, x).masked_fill(~addable, -torch.inf)
        best = torch.zeros_like(x).scatter(1, slope.argmax(1, keepdim=True), 1)
        x = x + best * ~passes(model, x)[:, None]
    return x


@evade.wrong("additions alone")
def what_was_added(model, x, addable, budget):
    return evade(model, x, addable, budget) - x


@evade.wrong("nothing added")
def unchanged(model, x, addable, budget):
    return x.clone()


@evade.wrong("lead turned round")
def malicious_minus_benign(model, x, addable, budget):
    for _ in range(budget):
        slope = slope_of(model, x, lambda logits: -lead(logits))
        x = added(x, slope, addable, passes(model, x))
    return x


@evade.wrong("lead turned round")
def adds_where_it_passes(model, x, addable, budget):
    for _ in range(budget):
        x = added(x, slope_of(model, x), addable, passes(model, x))
    return x


@evade.wrong("tie")
def below_zero_alone(model, x, addable, budget):
    for _ in range(budget):
        with torch.no_grad():
            going = lead(model(x)) < 0
        x = added(x, slope_of(model, x), addable, going)
    return x


@evade.wrong("tie")
def by_argmax(model, x, addable, budget):
    for _ in range(budget):
        with torch.no_grad():
            going = model(x).argmax(1) == 1
        x = added(x, slope_of(model, x), addable, going)
    return x


@evade.wrong("input")
def in_place(model, x, addable, budget):
    for _ in range(budget):
        x[:] = added(x, slope_of(model, x), addable, ~passes(model, x))
    return x


@evade.wrong("saturated")
def slope_of_the_probability(model, x, addable, budget):
    for _ in range(budget):
        slope = slope_of(model, x, lambda logits: logits.softmax(1)[:, 0])
        x = added(x, slope, addable, ~passes(model, x))
    return x


@evade.wrong("saturated")
def against_the_probability_of_malicious(model, x, addable, budget):
    for _ in range(budget):
        slope = slope_of(model, x, lambda logits: -logits.log_softmax(1)[:, 1])
        x = added(x, slope, addable, ~passes(model, x))
    return x


@evade.wrong("passes already")
def the_first_addition_for_all(model, x, addable, budget):
    x = added(x, slope_of(model, x), addable, torch.ones(len(x), dtype=torch.bool, device=x.device))
    return evade(model, x, addable, budget - 1)


@evade.wrong("parameter gradients")
def backward_through_the_weights(model, x, addable, budget):
    for _ in range(budget):
        x_i = x.clone().requires_grad_()
        lead(model(x_i)).sum().backward()
        x = added(x, x_i.grad, addable, ~passes(model, x))
    return x


@evade.wrong("crash")
def indexes_with_the_slope(model, x, addable, budget):
    slope = slope_of(model, x)
    x[slope.max(1)] = 1
    return x


evade.checks(
    answers,
    keeps_what_it_gets,
    only_adds,
    leaves_what_passes,
    stops_without_a_candidate,
    evades_enough,
    goes_on_at_a_tie,
    evades_real_apps,
    uses_the_whole_budget,
    works_where_logits_are_large,
    other_device,
    leaves_nothing_behind,
)
