"""Lab 2, "The nearest boundary, and other ways to be near": its tasks, points and hints."""

from advcourse.labs.checks import Lab, Task
from advcourse.labs.lab2 import saliency, stepping, universal
from advcourse.labs.lab2.distances import distances
from advcourse.labs.lab2.flow_loss import flow_loss
from advcourse.labs.lab2.shortest_step import shortest_step
from advcourse.labs.lab2.warp import warp
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

LAB = Lab("lab2", (distances, shortest_step, DEEPFOOL, UAP, BEST_PAIR, JSMA, warp, flow_loss))
