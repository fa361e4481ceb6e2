"""Answers to freeze(gradient, delta, allowed)."""

import torch

from museum import Room

room = Room("freeze")


def without(allowed, score):
    """The mask without the pixel of the smallest score of each image."""
    chosen = score.flatten(1).argmin(1)
    result = allowed.clone()
    result.flatten(1)[torch.arange(len(result)), chosen] = 0
    return result


def among_the_allowed(score, allowed):
    return score.masked_fill(allowed == 0, torch.inf)


@room.right
def with_argmin(gradient, delta, allowed):
    score = (gradient * delta).abs().sum(1, keepdim=True)
    return without(allowed, among_the_allowed(score, allowed))


@room.right
def one_image_at_a_time(gradient, delta, allowed):
    result = []
    for g, d, mask in zip(gradient, delta, allowed):
        score = torch.einsum("chw,chw->hw", g.abs(), d.abs())
        row, column = min(mask[0].nonzero().tolist(), key=lambda place: score[tuple(place)])
        mask = mask.clone()
        mask[0, row, column] = 0
        result.append(mask)
    return torch.stack(result)


@room.right
def with_the_largest_number(gradient, delta, allowed):
    score = (gradient * delta).abs().sum(1, keepdim=True)
    return without(allowed, torch.where(allowed > 0, score, torch.finfo(score.dtype).max))


@room.wrong("signed sum")
def absolute_value_too_late(gradient, delta, allowed):
    score = (gradient * delta).sum(1, keepdim=True).abs()
    return without(allowed, among_the_allowed(score, allowed))


@room.wrong("signed")
def no_absolute_value(gradient, delta, allowed):
    score = (gradient * delta).sum(1, keepdim=True)
    return without(allowed, among_the_allowed(score, allowed))


@room.wrong("largest")
def argmax(gradient, delta, allowed):
    score = (gradient * delta).abs().sum(1, keepdim=True)
    return without(allowed, -score.masked_fill(allowed == 0, -torch.inf))


@room.wrong("frozen already")
def all_compete(gradient, delta, allowed):
    return without(allowed, (gradient * delta).abs().sum(1, keepdim=True))


@room.wrong("one for all")
def one_argmin_for_the_batch(gradient, delta, allowed):
    score = among_the_allowed((gradient * delta).abs().sum(1, keepdim=True), allowed)
    result = allowed.clone()
    result.view(-1)[score.argmin()] = 0
    return result


@room.wrong("change alone")
def smallest_change(gradient, delta, allowed):
    score = delta.abs().sum(1, keepdim=True)
    return without(allowed, among_the_allowed(score, allowed))


@room.wrong("gradient alone")
def smallest_gradient(gradient, delta, allowed):
    score = gradient.abs().sum(1, keepdim=True)
    return without(allowed, among_the_allowed(score, allowed))


@room.wrong("one channel")
def idlest_channel(gradient, delta, allowed):
    score = (gradient * delta).abs().amin(1, keepdim=True)
    return without(allowed, among_the_allowed(score, allowed))


@room.wrong("inverted")
def marks_the_frozen(gradient, delta, allowed):
    return 1 - with_argmin(gradient, delta, allowed)


@room.wrong("one place")
def scores_of_the_batch(gradient, delta, allowed):
    score = among_the_allowed((gradient * delta).abs().sum(1, keepdim=True), allowed)
    result = allowed.clone()
    result.flatten(1)[:, score.flatten(1).sum(0).argmin()] = 0
    return result


@room.wrong("input")
def writes_into_the_mask(gradient, delta, allowed):
    score = among_the_allowed((gradient * delta).abs().sum(1, keepdim=True), allowed)
    allowed.flatten(1).scatter_(1, score.flatten(1).argmin(1, keepdim=True), 0)
    return allowed.clone()


@room.wrong("formula")
def freezes_all_but_one(gradient, delta, allowed):
    score = among_the_allowed((gradient * delta).abs().sum(1, keepdim=True), allowed)
    result = torch.zeros_like(allowed)
    result.flatten(1).scatter_(1, score.flatten(1).argmin(1, keepdim=True), 1)
    return result


@room.wrong("type")
def a_mask_of_truth_values(gradient, delta, allowed):
    return with_argmin(gradient, delta, allowed) > 0


@room.wrong("shape")
def a_mask_for_each_channel(gradient, delta, allowed):
    return with_argmin(gradient, delta, allowed).expand(gradient.shape[0], 3, *gradient.shape[2:])


@room.wrong("crash")
def no_channel_kept(gradient, delta, allowed):
    score = (gradient * delta).abs().sum(1)
    score[allowed == 0] = torch.inf
    return without(allowed, score)


@room.wrong("squares")
def sum_of_squares(gradient, delta, allowed):
    return without(allowed, among_the_allowed((gradient * delta).square().sum(1, keepdim=True), allowed))


@room.wrong("busiest channel")
def largest_of_the_channels(gradient, delta, allowed):
    return without(allowed, among_the_allowed((gradient * delta).abs().amax(1, keepdim=True), allowed))


@room.wrong("number for infinity")
def one_for_the_frozen(gradient, delta, allowed):
    score = (gradient * delta).abs().sum(1, keepdim=True)
    return without(allowed, score.masked_fill(allowed == 0, 1.0))


@room.wrong("number for infinity")
def thousands_for_the_frozen(gradient, delta, allowed):
    return without(allowed, (gradient * delta).abs().sum(1, keepdim=True) + 5e3 * (1 - allowed))


@room.wrong("idle pixels skipped")
def what_does_nothing_is_frozen(gradient, delta, allowed):
    score = (gradient * delta).abs().sum(1, keepdim=True)
    return without(allowed, score.masked_fill(score == 0, torch.inf))


@room.wrong("number for infinity")
def a_million_for_the_frozen(gradient, delta, allowed):
    score = (gradient * delta).abs().sum(1, keepdim=True)
    return without(allowed, score.masked_fill(allowed == 0, 1e6))


@room.wrong("number for infinity")
def a_thousand_million_for_the_frozen(gradient, delta, allowed):
    score = (gradient * delta).abs().sum(1, keepdim=True)
    return without(allowed, torch.where(allowed > 0, score, 1e9))


@room.wrong("formula")
def divided_by_the_mask(gradient, delta, allowed):
    return without(allowed, (gradient * delta).abs().sum(1, keepdim=True) / allowed)
