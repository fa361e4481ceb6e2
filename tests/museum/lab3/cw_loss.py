"""Answers to cw_loss(logits, label, confidence, targeted=False)."""

import torch
from torch.nn.functional import one_hot

from museum import Room

room = Room("cw_loss")


def parts(logits, label):
    chosen = one_hot(label, logits.shape[1]).bool()
    return logits[chosen], logits.masked_fill(chosen, -torch.inf).amax(1)


@room.right
def with_masked_fill(logits, label, confidence, targeted=False):
    own, other = parts(logits, label)
    return (other - own if targeted else own - other).clamp_min(-confidence)


@room.right
def with_the_two_largest(logits, label, confidence, targeted=False):
    values, classes = logits.topk(2, dim=1)
    other = torch.where(classes[:, 0] == label, values[:, 1], values[:, 0])
    lead = logits.gather(1, label.view(-1, 1)).squeeze(1) - other
    return torch.relu((-1 if targeted else 1) * lead + confidence) - confidence


@room.right
def with_the_smallest_number(logits, label, confidence, targeted=False):
    chosen = one_hot(label, logits.shape[1])
    other = torch.where(chosen == 1, torch.finfo(logits.dtype).min, logits).max(dim=1).values
    own = (logits * chosen).sum(1)
    return torch.maximum((other - own) * (1 if targeted else -1), torch.full_like(own, -confidence))


@room.wrong("one-hot product")
def logits_times_zero(logits, label, confidence, targeted=False):
    own, _ = parts(logits, label)
    other = ((1 - one_hot(label, logits.shape[1])) * logits).max(dim=1).values
    return (other - own if targeted else own - other).clamp_min(-confidence)


@room.wrong("label among the others")
def maximum_over_all(logits, label, confidence, targeted=False):
    own, _ = parts(logits, label)
    other = logits.amax(1)
    return (other - own if targeted else own - other).clamp_min(-confidence)


@room.wrong("second largest")
def always_the_second(logits, label, confidence, targeted=False):
    own, _ = parts(logits, label)
    other = logits.sort(dim=1, descending=True).values[:, 1]
    return (other - own if targeted else own - other).clamp_min(-confidence)


@room.wrong("mean of the others")
def others_averaged(logits, label, confidence, targeted=False):
    own, _ = parts(logits, label)
    other = (logits.sum(1) - own) / (logits.shape[1] - 1)
    return (other - own if targeted else own - other).clamp_min(-confidence)


@room.wrong("roles swapped")
def sign_of_the_paper(logits, label, confidence, targeted=False):
    own, other = parts(logits, label)
    return (own - other if targeted else other - own).clamp_min(-confidence)


@room.wrong("target unused")
def untargeted_always(logits, label, confidence, targeted=False):
    own, other = parts(logits, label)
    return (own - other).clamp_min(-confidence)


@room.wrong("confidence unused")
def stops_at_zero(logits, label, confidence, targeted=False):
    own, other = parts(logits, label)
    return (other - own if targeted else own - other).clamp_min(0)


@room.wrong("confidence's sign")
def stops_too_early(logits, label, confidence, targeted=False):
    own, other = parts(logits, label)
    return (other - own if targeted else own - other).clamp_min(confidence)


@room.wrong("no floor")
def never_content(logits, label, confidence, targeted=False):
    own, other = parts(logits, label)
    return other - own if targeted else own - other


@room.wrong("shifted")
def as_in_the_released_code(logits, label, confidence, targeted=False):
    own, other = parts(logits, label)
    return torch.relu((other - own if targeted else own - other) + confidence)


@room.wrong("probabilities")
def after_a_softmax(logits, label, confidence, targeted=False):
    own, other = parts(logits.softmax(1), label)
    return (other - own if targeted else own - other).clamp_min(-confidence)


@room.wrong("shape")
def averaged_over_the_batch(logits, label, confidence, targeted=False):
    own, other = parts(logits, label)
    return (other - own if targeted else own - other).clamp_min(-confidence).mean()


@room.wrong("formula")
def ceiling_for_a_floor(logits, label, confidence, targeted=False):
    own, other = parts(logits, label)
    return (other - own if targeted else own - other).clamp_max(-confidence)


@room.wrong("input")
def fills_in_place(logits, label, confidence, targeted=False):
    chosen = one_hot(label, logits.shape[1]).bool()
    own = logits[chosen]
    other = logits.masked_fill_(chosen, -torch.inf).amax(1)
    return (other - own if targeted else own - other).clamp_min(-confidence)


@room.wrong("signature")
def without_confidence(logits, label, targeted=False):
    own, other = parts(logits, label)
    return other - own if targeted else own - other


@room.wrong("crash")
def index_of_one_dimension(logits, label, confidence, targeted=False):
    return (logits[label] - logits[:, label].max(1)).clamp_min(-confidence)


def with_other(other, logits, label, confidence, targeted):
    own, _ = parts(logits, label)
    return (other - own if targeted else own - other).clamp_min(-confidence)


@room.wrong("number for infinity")
def a_hundred_less(logits, label, confidence, targeted=False):
    other = (logits - 100 * one_hot(label, logits.shape[1])).amax(1)
    return with_other(other, logits, label, confidence, targeted)


@room.wrong("number for infinity")
def a_thousand_less(logits, label, confidence, targeted=False):
    other = (logits - 1e3 * one_hot(label, logits.shape[1])).amax(1)
    return with_other(other, logits, label, confidence, targeted)


@room.wrong("number for infinity")
def a_hundred_below_zero(logits, label, confidence, targeted=False):
    other = logits.masked_fill(one_hot(label, logits.shape[1]).bool(), -100).amax(1)
    return with_other(other, logits, label, confidence, targeted)


@room.wrong("number for infinity")
def a_thousand_below_zero(logits, label, confidence, targeted=False):
    other = logits.masked_fill(one_hot(label, logits.shape[1]).bool(), -1e3).amax(1)
    return with_other(other, logits, label, confidence, targeted)


@room.wrong("number for infinity")
def ten_thousand_less_as_in_the_released_code(logits, label, confidence, targeted=False):
    other = (logits - 1e4 * one_hot(label, logits.shape[1])).amax(1)
    return with_other(other, logits, label, confidence, targeted)


@room.wrong("number for infinity")
def ten_thousand_below_zero(logits, label, confidence, targeted=False):
    other = logits.masked_fill(one_hot(label, logits.shape[1]).bool(), -1e4).amax(1)
    return with_other(other, logits, label, confidence, targeted)


@room.wrong("number for infinity")
def a_thousand_million_below_zero(logits, label, confidence, targeted=False):
    other = logits.masked_fill(one_hot(label, logits.shape[1]).bool(), -1e9).amax(1)
    return with_other(other, logits, label, confidence, targeted)


@room.wrong("detached")
def detached(logits, label, confidence, targeted=False):
    return with_masked_fill(logits, label, confidence, targeted).detach()


@room.wrong("detached")
def without_gradients(logits, label, confidence, targeted=False):
    with torch.no_grad():
        return with_masked_fill(logits, label, confidence, targeted)


@room.wrong("gradient")
def the_other_detached(logits, label, confidence, targeted=False):
    _, other = parts(logits, label)
    return with_other(other.detach(), logits, label, confidence, targeted)


@room.wrong("detached")
def one_number_at_a_time(logits, label, confidence, targeted=False):
    values = with_masked_fill(logits, label, confidence, targeted)
    return torch.tensor([value.item() for value in values]).to(logits)


@room.wrong("other type")
def through_float32(logits, label, confidence, targeted=False):
    return with_masked_fill(logits.float(), label, confidence, targeted).to(logits)
