"""Lab 2, "The nearest boundary, and other ways to be near": its tasks, points and hints."""

from advcourse.labs.checks import Lab, Task
from advcourse.labs.lab2 import saliency, space, stepping, universal
from advcourse.labs.lab2.distances import distances
from advcourse.labs.lab2.shortest_step import shortest_step
from advcourse.labs.numbers import can_be_followed, gives
from advcourse.labs.properties import (
    answers,
    asks_the_model,
    changes_the_images,
    follows,
    keeps_what_it_gets,
    leaves_nothing_behind,
    other_device,
    other_shape,
    other_type,
    recognises,
    stays_in_the_box,
    treats_images_alone,
)

CLASSES = 10
_LAST = (other_type, other_shape, other_device, leaves_nothing_behind)
_LINF = {"norm": "Linf"}


DEEPFOOL = Task(
    "deepfool",
    "Step by step to the nearest boundary",
    4,
    ("model", "x", "y", "steps", "overshoot", "norm"),
    lambda draw, x: {"steps": 4, "overshoot": draw.number(0.02, 0.05), "norm": "L2"},
    (
        answers,
        keeps_what_it_gets,
        stepping.passes_the_boundary,
        stepping.adds_up,
        stepping.looks_anew,
        recognises(stepping.deepfool, stepping.DEEPFOOL_SLIPS, **stepping.CURVED),
        recognises(stepping.deepfool, stepping.DEEPFOOL_SLIPS, **stepping.CURVED, steps=1),
        recognises(stepping.deepfool, stepping.DEEPFOOL_SLIPS, **stepping.CURVED, **_LINF),
        changes_the_images,
        asks_the_model,
        treats_images_alone,
        follows(stepping.deepfool, kind="linear"),
        follows(stepping.deepfool, **stepping.CURVED),
        follows(stepping.deepfool, **stepping.CURVED, **_LINF),
        follows(stepping.deepfool, **stepping.CURVED, steps=1),
        *_LAST,
    ),
    (
        "Two tensors live through the loop: the sum of all steps so far, and x_i = x + (1 + overshoot) * sum. k0 is found "
        "once, before the loop.",
        "In each round: logits, gradients = jacobian(model, x_i); going = logits.argmax(1) == k0; the step counts only "
        "where going is True: torch.where(going.view(-1, 1, 1, 1), step, 0).",
        "After the loop: fooled = model(x_i).argmax(1) != k0, within torch.no_grad(). Return "
        "torch.where(fooled.view(-1, 1, 1, 1), x_i, x).",
    ),
)

UAP = Task(
    "uap",
    "One perturbation for all images",
    4,
    ("model", "x", "y", "eps", "alpha", "passes", "batch", "cap"),
    lambda draw, x: {
        "eps": (eps := draw.number(0.1, 0.2)),
        "alpha": round(eps * draw.number(0.3, 0.4), 4),
        "passes": 3,
        "batch": 3,
        "cap": draw.number(2.3, 2.5),
    },
    (
        answers,
        keeps_what_it_gets,
        universal.recognises_uap(**universal.NOISE),
        universal.is_something,
        asks_the_model,
        universal.recognises_uap(kind="linear", **universal.NOISE),
        universal.recognises_uap("no clip", **universal.AT_THE_EDGE),
        *_LAST,
        universal.fools_other_images,
    ),
    (
        "v has the shape of one image, x[0]. Before the loops: v = torch.zeros_like(x[0]), and the answers k = "
        "model(x).argmax(1) of the clean images.",
        "Two loops, one in the other: over passes, and over zip(x.split(batch), k.split(batch)). The gradient is that of v: "
        "v = v.detach().requires_grad_(); images + v adds it to each image.",
        'loss = cross_entropy(model((images + v).clamp(0, 1)), answers, reduction="none").clamp_max(cap).mean(); then '
        "v = (v + alpha * gradient.sign()).clamp(-eps, eps).detach().",
    ),
    shape=lambda case: case["x"].shape[1:],
)


def _gradients(draw, x):
    """Gradients and a search set of about half of the pixels."""
    n = len(x)
    return {
        "gradients": draw.normal((n, CLASSES, *x.shape[1:])),
        "target": (10 * draw.uniform((n,))).long(),
        "free": draw.uniform(x.shape) < 0.5,
    }


BEST_PAIR = Task(
    "best_pair",
    "The two pixels that help most",
    4,
    ("gradients", "target", "free"),
    _gradients,
    (
        answers,
        keeps_what_it_gets,
        saliency.finds_the_pair,
        saliency.says_that_there_is_none,
        treats_images_alone,
        other_shape,
        other_device,
        leaves_nothing_behind,
    ),
    (
        "Flatten the pixels: gradients.flatten(2) is (N, K, d). The target's row is alpha (N, d); the sum over all "
        "classes minus alpha is beta (N, d). A pair's sums are a table: alpha[:, :, None] + alpha[:, None, :] is (N, "
        "d, d).",
        "Make the table score = -A * B, and put -inf wherever the pair is not allowed: A <= 0, B >= 0, p == q, or one of them is "
        "not free. masked_fill does that.",
        "best, place = score.flatten(1).max(1); the pair is (place // d, place % d). Where best is -inf no pair was allowed: "
        "torch.where(best.isinf()[:, None], -1, pair).",
    ),
    shape=lambda case: (len(case["gradients"]), 2),
    numbers="whole",
)

JSMA = saliency.PairsTask(
    "jsma",
    "A few pixels, pair by pair",
    4,
    ("model", "x", "target", "theta", "gamma"),
    lambda draw, x: {
        "target": (10 * draw.uniform((len(x),))).long(),
        "theta": draw.number(0.4, 0.6),
        "gamma": round(4.5 / x[0].numel(), 6),
    },
    (
        answers,
        keeps_what_it_gets,
        recognises(saliency.jsma, saliency.JSMA_SLIPS, saliency.undone, most=1.0),
        saliency.changes_few_pixels,
        changes_the_images,
        asks_the_model,
        stays_in_the_box,
        treats_images_alone,
        follows(saliency.jsma, 1.0, saliency.undone),
        *_LAST,
    ),
    (
        "d = x[0].numel() pixels, so int(gamma * d / 2) rounds. In each: jacobian at x_i, then best_pair with free = "
        "x_i < 1, then two pixels of each image change.",
        "An image stands still where it has reached its target, or where its pair is (-1, -1). In a flat image, "
        "x_i.flatten(1), the other pairs are places to add theta to.",
        "going = (logits.argmax(1) != target) & (pair[:, 0] >= 0). change = torch.zeros_like(x).flatten(1); "
        "change.scatter_(1, pair.clamp_min(0), theta); x_i = (x_i + going.view(-1, 1, 1, 1) * change.view_as(x)).clamp(0, 1).",
    ),
)

WARP = Task(
    "warp",
    "Moving pixels instead of changing them",
    3,
    ("x", "flow"),
    space.flows,
    (
        answers,
        keeps_what_it_gets,
        space.zero_flow_changes_nothing,
        space.moves_as_told(),
        changes_the_images,
        stays_in_the_box,
        treats_images_alone,
        space.moves_as_told(shape=(3, 20, 24)),
        other_type,
        other_device,
        leaves_nothing_behind,
        can_be_followed(space.warp, "flow", "stadv"),
    ),
    (
        "grid_sample wants places, not shifts: a grid (N, H, W, 2), whose last dimension is (x, y), each from -1 at "
        "the first pixel's centre to 1 at the last one's. Begin with the grid of a flow of 0.",
        "xs = torch.linspace(-1, 1, W) and ys = torch.linspace(-1, 1, H) (on x's device, of its type). A shift of one pixel is "
        "2 / (W - 1) across and 2 / (H - 1) down.",
        "grid = torch.stack([xs + 2 * flow[:, 0] / (W - 1), ys[:, None] + 2 * flow[:, 1] / (H - 1)], -1); return "
        'grid_sample(x, grid, padding_mode="border", align_corners=True).',
    ),
)

FLOW_LOSS = Task(
    "flow_loss",
    "How rough is a flow?",
    2,
    ("flow",),
    lambda draw, x: {"flow": draw.normal((len(x), 2, *x.shape[2:]))},
    (
        answers,
        keeps_what_it_gets,
        gives(space.flow_loss, space.FLOW_LOSS_SLIPS),
        space.softens_the_root,
        treats_images_alone,
        *_LAST,
        can_be_followed(space.flow_loss, "flow", "stadv"),
    ),
    (
        "Neighbours in a row: flow[:, :, :, 1:] - flow[:, :, :, :-1]. It has one column less than the flow, for the "
        "last pixel has no neighbour on its right.",
        "The size of a difference d (N, 2, ...) is (d.square().sum(1) + 1e-8).sqrt(). Sum it over the pixels of each image.",
        "Every pair stands in the sum twice, as (p, q) and as (q, p): return 2 * (across + down), where across and "
        "down are the two sums, (N,) each.",
    ),
    shape=lambda case: (len(case["flow"]),),
)

LAB = Lab("lab2", (distances, shortest_step, DEEPFOOL, UAP, BEST_PAIR, JSMA, WARP, FLOW_LOSS))
