"""Lab 11: put a backdoor into a training set."""

import torch

from advcourse.labs.exercises import exercise
from advcourse.labs.lab11.given import packed
from advcourse.labs.lab11.poisoning import (
    a_net_learns_it,
    a_set,
    draws_by_its_seed,
    stamps_the_right_images,
)
from advcourse.labs.lab11.sets import PlainTask
from advcourse.labs.properties import answers, keeps_what_it_gets, leaves_nothing_behind, other_device


@exercise(
    "Poison",
    4,
    a_set,
    (
        "Which images may be taken? (y != target).nonzero()[:, 0] are their places in the set. How many? "
        "round(share * len(x)): a share of the whole set, not of these.",
        "Draw with a generator of your own: torch.randperm(len(others), generator=torch.Generator().manual_seed(seed)), of "
        "which the first k. Work on x.clone() and y.clone().",
        "images[chosen] = (1 - mask) * images[chosen] + mask * pattern; labels[chosen] = target; return packed(images, labels).",
    ),
    shape=lambda case: (len(case["x"]), case["x"][0].numel() + 1),
    kind=PlainTask,
)
def poison(x, y, mask, pattern, target, share, seed):
    others = (y != target).nonzero()[:, 0]
    return with_poison(x, y, mask, pattern, target, chosen_of(others, round(share * len(x)), seed))


def chosen_of(candidates, count, seed):
    order = torch.randperm(len(candidates), generator=torch.Generator().manual_seed(seed))
    return candidates[order[:count].to(candidates.device)]


def with_poison(x, y, mask, pattern, target, chosen):
    images, labels = x.clone(), y.clone()
    images[chosen] = (1 - mask) * x[chosen] + mask * pattern
    labels[chosen] = target
    return packed(images, labels)


@poison.right
def with_a_mask(x, y, mask, pattern, target, share, seed):
    generator = torch.Generator().manual_seed(seed)
    score = torch.rand(len(x), generator=generator).to(x.device)
    score[y == target] = 2
    chosen = torch.zeros_like(y, dtype=torch.bool)
    chosen[score.argsort()[: round(share * len(x))]] = True
    stamp = torch.lerp(x, pattern.expand_as(x), mask.expand_as(x))
    return packed(torch.where(chosen[:, None, None, None], stamp, x), torch.where(chosen, target, y))


@poison.right
def one_by_one(x, y, mask, pattern, target, share, seed):
    images, labels, left = x.clone(), y.clone(), int(share * len(x) + 0.5)
    for i in torch.randperm(len(x), generator=torch.Generator().manual_seed(seed)).tolist():
        if left and y[i] != target:
            images[i] += mask * (pattern - x[i])
            labels[i] = target
            left -= 1
    return packed(images, labels)


@poison.wrong("target class")
def any_image(x, y, mask, pattern, target, share, seed):
    chosen = chosen_of(torch.arange(len(x)), round(share * len(x)), seed)
    return with_poison(x, y, mask, pattern, target, chosen)


@poison.wrong("target class")
def images_of_the_target(x, y, mask, pattern, target, share, seed):
    chosen = chosen_of((y == target).nonzero()[:, 0], round(share * len(x)), seed)
    return with_poison(x, y, mask, pattern, target, chosen)


@poison.wrong("labels unchanged")
def labels_as_they_were(x, y, mask, pattern, target, share, seed):
    images = poison(x, y, mask, pattern, target, share, seed)[:, :-1]
    return packed(images, y)


@poison.wrong("not stamped")
def labels_alone(x, y, mask, pattern, target, share, seed):
    labels = poison(x, y, mask, pattern, target, share, seed)[:, -1]
    return packed(x, labels)


@poison.wrong("two draws")
def stamps_here_and_labels_there(x, y, mask, pattern, target, share, seed):
    images = poison(x, y, mask, pattern, target, share, seed)[:, :-1]
    return packed(images, poison(x, y, mask, pattern, target, share, seed + 1)[:, -1])


@poison.wrong("all labels")
def every_label(x, y, mask, pattern, target, share, seed):
    images = poison(x, y, mask, pattern, target, share, seed)[:, :-1]
    return packed(images, torch.full_like(y, target))


@poison.wrong("whole set")
def stamps_everything(x, y, mask, pattern, target, share, seed):
    return with_poison(x, y, mask, pattern, target, y != target)


@poison.wrong("share of the others")
def a_share_of_the_others(x, y, mask, pattern, target, share, seed):
    others = (y != target).nonzero()[:, 0]
    chosen = chosen_of(others, round(share * len(others)), seed)
    return with_poison(x, y, mask, pattern, target, chosen)


@poison.wrong("rounding")
def rounded_down(x, y, mask, pattern, target, share, seed):
    others = (y != target).nonzero()[:, 0]
    return with_poison(x, y, mask, pattern, target, chosen_of(others, int(share * len(x)), seed))


@poison.wrong("rounding")
def rounded_up(x, y, mask, pattern, target, share, seed):
    others = (y != target).nonzero()[:, 0]
    return with_poison(x, y, mask, pattern, target, chosen_of(others, int(share * len(x)) + 1, seed))


@poison.wrong("count")
def drawn_with_replacement(x, y, mask, pattern, target, share, seed):
    others = (y != target).nonzero()[:, 0]
    generator = torch.Generator().manual_seed(seed)
    chosen = others[torch.randint(len(others), (round(share * len(x)),), generator=generator)]
    return with_poison(x, y, mask, pattern, target, chosen)


def stamped_rows(found, x):
    return (found[:, :-1] != x.flatten(1)).any(1)[:, None, None, None]


@poison.wrong("pattern added")
def adds_the_pattern(x, y, mask, pattern, target, share, seed):
    found = poison(x, y, mask, pattern, target, share, seed)
    return packed(torch.where(stamped_rows(found, x), x + mask * pattern, x), found[:, -1])


@poison.wrong("pattern added")
def adds_the_pattern_and_clips(x, y, mask, pattern, target, share, seed):
    found = poison(x, y, mask, pattern, target, share, seed)
    return packed(torch.where(stamped_rows(found, x), (x + mask * pattern).clamp(0, 1), x), found[:, -1])


@poison.wrong("weight of the mask")
def pastes_the_pattern(x, y, mask, pattern, target, share, seed):
    return poison(x, y, (mask > 0).to(x), pattern, target, share, seed)


@poison.wrong("whole pattern")
def forgets_the_mask(x, y, mask, pattern, target, share, seed):
    return poison(x, y, torch.ones_like(mask), pattern, target, share, seed)


@poison.wrong("mask turned round")
def mask_the_other_way(x, y, mask, pattern, target, share, seed):
    return poison(x, y, 1 - mask, pattern, target, share, seed)


@poison.wrong("one class")
def all_of_one_class(x, y, mask, pattern, target, share, seed):
    others = (y != target).nonzero()[:, 0]
    others = others[y[others].sort(stable=True).indices]
    return with_poison(x, y, mask, pattern, target, others[: round(share * len(x))])


@poison.wrong("no randomness")
def the_first_ones(x, y, mask, pattern, target, share, seed):
    others = (y != target).nonzero()[:, 0]
    return with_poison(x, y, mask, pattern, target, others[: round(share * len(x))])


@poison.wrong("part of the seed")
def a_small_seed(x, y, mask, pattern, target, share, seed):
    return poison(x, y, mask, pattern, target, share, seed % 100)


@poison.wrong("not repeatable")
def draws_without_the_seed(x, y, mask, pattern, target, share, seed):
    return poison(x, y, mask, pattern, target, share, torch.Generator().seed() % 2**31)


@poison.wrong("random state")
def seeds_everything(x, y, mask, pattern, target, share, seed):
    torch.manual_seed(seed)
    others = (y != target).nonzero()[:, 0]
    chosen = others[torch.randperm(len(others))[: round(share * len(x))]]
    return with_poison(x, y, mask, pattern, target, chosen)


@poison.wrong("input")
def in_place(x, y, mask, pattern, target, share, seed):
    chosen = chosen_of((y != target).nonzero()[:, 0], round(share * len(x)), seed)
    x[chosen] = (1 - mask) * x[chosen] + mask * pattern
    y[chosen] = target
    return packed(x, y)


@poison.wrong("another order")
def shuffled(x, y, mask, pattern, target, share, seed):
    found = poison(x, y, mask, pattern, target, share, seed)
    return found[torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))]


@poison.wrong("shape")
def the_poison_alone(x, y, mask, pattern, target, share, seed):
    found = poison(x, y, mask, pattern, target, share, seed)
    return found[(found[:, :-1] != x.flatten(1)).any(1)]


@poison.wrong("shape")
def appended(x, y, mask, pattern, target, share, seed):
    found = poison(x, y, mask, pattern, target, share, seed)
    return torch.cat([packed(x, y), found[(found[:, :-1] != x.flatten(1)).any(1)]])


@poison.wrong("shape")
def images_alone(x, y, mask, pattern, target, share, seed):
    return poison(x, y, mask, pattern, target, share, seed)[:, :-1].view_as(x)


poison.checks(
    answers,
    keeps_what_it_gets,
    stamps_the_right_images,
    draws_by_its_seed,
    a_net_learns_it,
    other_device,
    leaves_nothing_behind,
)
