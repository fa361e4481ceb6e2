"""Answers to squeeze_score(model, squeezers, x)."""

import torch

from museum import Room

room = Room("squeeze_score")


@torch.no_grad()
def probabilities(model, x):
    return model(x).softmax(1)


def distances(model, squeezers, x):
    """|p(x) - p(s(x))| of each squeezer, (J, N, K)."""
    p = probabilities(model, x)
    return torch.stack([(p - probabilities(model, s(x))).abs() for s in squeezers])


@room.right
def stacked(model, squeezers, x):
    return distances(model, squeezers, x).sum(2).amax(0)


@room.right
def kept_in_a_loop(model, squeezers, x):
    p, worst = probabilities(model, x), torch.zeros(len(x), dtype=x.dtype, device=x.device)
    for squeeze in squeezers:
        q = probabilities(model, squeeze(x))
        worst = torch.maximum(worst, torch.linalg.vector_norm(p - q, ord=1, dim=1))
    return worst


@room.right
def in_one_batch(model, squeezers, x):
    p = probabilities(model, torch.cat([x, *(s(x) for s in squeezers)])).unflatten(0, (-1, len(x)))
    return torch.nn.functional.l1_loss(p[1:], p[:1].expand_as(p[1:]), reduction="none").sum(2).max(0).values


@room.wrong("logits")
@torch.no_grad()
def without_softmax(model, squeezers, x):
    return torch.stack([(model(x) - model(s(x))).abs().sum(1) for s in squeezers]).amax(0)


@room.wrong("log-probabilities")
@torch.no_grad()
def with_log_softmax(model, squeezers, x):
    log_p = model(x).log_softmax(1)
    return torch.stack([(log_p - model(s(x)).log_softmax(1)).abs().sum(1) for s in squeezers]).amax(0)


@room.wrong("mean over squeezers")
def averaged(model, squeezers, x):
    return distances(model, squeezers, x).sum(2).mean(0)


@room.wrong("sum over squeezers")
def added_up(model, squeezers, x):
    return distances(model, squeezers, x).sum(2).sum(0)


@room.wrong("smallest")
def smallest(model, squeezers, x):
    return distances(model, squeezers, x).sum(2).amin(0)


@room.wrong("first squeezer alone")
def first_alone(model, squeezers, x):
    return distances(model, squeezers[:1], x).sum(2)[0]


@room.wrong("last squeezer alone")
def overwritten(model, squeezers, x):
    for squeeze in squeezers:
        worst = distances(model, [squeeze], x).sum(2)[0]
    return worst


@room.wrong("L2")
def euclidean(model, squeezers, x):
    return distances(model, squeezers, x).norm(dim=2).amax(0)


@room.wrong("largest class")
def l_infinity(model, squeezers, x):
    return distances(model, squeezers, x).amax(2).amax(0)


@room.wrong("mean over classes")
def mean_absolute(model, squeezers, x):
    return distances(model, squeezers, x).mean(2).amax(0)


@room.wrong("half")
def total_variation(model, squeezers, x):
    return 0.5 * distances(model, squeezers, x).sum(2).amax(0)


@room.wrong("among themselves")
def without_the_image(model, squeezers, x):
    p = [probabilities(model, s(x)) for s in squeezers]
    pairs = [(a - b).abs().sum(1) for i, a in enumerate(p) for b in p[:i]]
    return torch.stack(pairs).amax(0)


@room.wrong("one after the other")
def chained(model, squeezers, x):
    squeezed = x
    for squeeze in squeezers:
        squeezed = squeeze(squeezed)
    return (probabilities(model, x) - probabilities(model, squeezed)).abs().sum(1)


@room.wrong("images")
def of_the_images(model, squeezers, x):
    return torch.stack([(s(x) - x).abs().flatten(1).sum(1) for s in squeezers]).amax(0)


@room.wrong("answers")
@torch.no_grad()
def changes_of_answer(model, squeezers, x):
    seen = model(x).argmax(1)
    return torch.stack([(model(s(x)).argmax(1) != seen).to(x.dtype) for s in squeezers]).amax(0)


@room.wrong("top class alone")
def confidence_lost(model, squeezers, x):
    p = probabilities(model, x)
    top = p.argmax(1, keepdim=True)
    moved = [(p - probabilities(model, s(x))).gather(1, top)[:, 0].abs() for s in squeezers]
    return torch.stack(moved).amax(0)


@room.wrong("signed sum")
def without_abs(model, squeezers, x):
    p = probabilities(model, x)
    return torch.stack([(p - probabilities(model, s(x))).sum(1) for s in squeezers]).amax(0)


@room.wrong("formula")
def squared(model, squeezers, x):
    return distances(model, squeezers, x).square().sum(2).amax(0)


@room.wrong("shape")
def of_each_squeezer(model, squeezers, x):
    return distances(model, squeezers, x).sum(2).T


@room.wrong("attached")
def with_a_graph(model, squeezers, x):
    p = model(x).softmax(1)
    return torch.stack([(p - model(s(x)).softmax(1)).abs().sum(1) for s in squeezers]).amax(0)


@room.wrong("crash")
def called_at_once(model, squeezers, x):
    return (probabilities(model, x) - probabilities(model, squeezers(x))).abs().sum(1)


@room.wrong("largest of each class")
def maximum_before_the_sum(model, squeezers, x):
    return distances(model, squeezers, x).amax(0).sum(1)


@room.wrong("softmax over the batch")
def along_the_images(model, squeezers, x):
    with torch.no_grad():
        p = model(x).softmax(0)
        return torch.stack([(p - model(s(x)).softmax(0)).abs().sum(1) for s in squeezers]).amax(0)


@room.wrong("other amount")
def always_three(model, squeezers, x):
    a, b, c = squeezers
    return distances(model, (a, b, c), x).sum(2).amax(0)


@room.wrong("other classes")
def ten_classes(model, squeezers, x):
    p = probabilities(model, torch.cat([x, *(s(x) for s in squeezers)])).view(-1, len(x), 10)
    return (p[1:] - p[:1]).abs().sum(2).amax(0)


@room.wrong("first three alone")
def the_first_three(model, squeezers, x):
    return distances(model, squeezers[:3], x).sum(2).amax(0)
