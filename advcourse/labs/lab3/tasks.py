"""Lab 3, "The nearest image that fools": its tasks, points and hints."""

from advcourse.labs.checks import Lab, Task
from advcourse.labs.lab3 import cw_loss, elastic_net, nearest, neighbours, search, to_w
from advcourse.labs.lab3.questions import FIRST, LAST, NearestTask, keeps_the_digits
from advcourse.labs.numbers import gives
from advcourse.labs.properties import (
    asks_the_model,
    changes_the_images,
    follows,
    recognises,
    stays_in_the_box,
    treats_images_alone,
)

_COLOUR = {"n": 200, "shape": (3, 6, 5)}  # so many that scores of another kind choose another pixel somewhere

CW_L2 = NearestTask(
    "cw_l2",
    "The nearest image that fools",
    6,
    ("model", "x", "y", "const", "lr", "steps", "searches", "confidence", "target"),
    lambda draw, x: {
        "const": draw.number(5, 10),
        "lr": 0.04,
        "steps": 4,
        "searches": 2,
        "confidence": 0.0,
        "target": None,
    },
    (
        *FIRST,
        stays_in_the_box,
        nearest.weighs_as_the_formula,
        asks_the_model,
        nearest.gives_up_cleanly,
        nearest.grows_until_it_fools,
        nearest.keeps_the_best,
        nearest.searches_alone,
        nearest.comes_near,
        nearest.starts_anew,
        nearest.leads_by_the_confidence,
        nearest.reaches_the_target,
        nearest.starts_at_saturated_pixels,
        *LAST,
        nearest.fools_digits,
    ),
    (
        "Two loops: the outer one over constants, the inner one over Adam's steps on w. Before both: best = x.clone(), and its "
        "distance, infinite for each image.",
        "At the start of each round: w = to_w(x).requires_grad_(), a new Adam([w], lr=lr), and fooled = all False. In the inner "
        "loop compute distance (N,) and f (N,), keep what is better, then step. After it: state = search(state, fooled[None]).",
        "In the inner loop: success = f <= -confidence; better = success & (distance < nearest); best and nearest by torch.where;"
        " fooled |= success. The step: w.grad = torch.autograd.grad((distance + c * f).sum(), w)[0]; optimizer.step().",
    ),
)

SHRINK = Task(
    "shrink",
    "Small changes become none",
    2,
    ("z", "x", "beta"),
    elastic_net.around,
    (
        *FIRST,
        recognises(elastic_net.shrink, elastic_net.SHRINK_SLIPS, shape=(3, 20, 24)),
        stays_in_the_box,
        follows(elastic_net.shrink, elastic_net.EXACTLY),
        treats_images_alone,
        *LAST,
        keeps_the_digits,
    ),
    (
        "Three cases for each pixel: well above x, well below x, and near it. torch.where chooses between two of them.",
        "Above: (z - beta).clamp_max(1). Below: (z + beta).clamp_min(0). Near: x itself.",
        "With change = z - x: x + change.sign() * (change.abs() - beta).clamp_min(0), then clamp(0, 1), is all three in one.",
    ),
)

EAD = NearestTask(
    "ead",
    "Few pixels: EAD",
    5,
    ("model", "x", "y", "const", "beta", "lr", "steps", "rule"),
    lambda draw, x: {
        "const": draw.number(18, 22),
        "beta": 2e-3,
        "lr": 0.02,
        "steps": 6,
        "rule": "EN",
    },
    (
        *FIRST,
        changes_the_images,
        asks_the_model,
        elastic_net.follows_fista,
        stays_in_the_box,
        treats_images_alone,
        *LAST,
    ),
    (
        "Keep two images: x_k, which is shrunk and judged, and y_k, which looks ahead: there the step starts. Both begin as x.",
        "In turn k, from 0: the gradient of const * f + squared distance at y_k; new = shrink(y_k - alpha * gradient, x, beta); "
        "y_k = new + k / (k + 3) * (new - x_k); x_k = new.",
        "Then judge x_k: success where cw_loss(model(x_k), y, 0.0) <= 0; price is beta * l1 + l2 squared, or l1 alone; keep it "
        "where success & (price < lowest), as in cw_l2. alpha = lr * (1 - k / steps) ** 0.5.",
    ),
)

DIRECTIONS = Task(
    "directions",
    "Look around: OptMargin's copies",
    3,
    ("x", "copies", "radius", "seed"),
    lambda draw, x: {"copies": 8, "radius": draw.number(0.1, 0.4), "seed": draw.integer()},
    (
        *FIRST,
        neighbours.ends_with_the_centre,
        neighbours.has_the_radius,
        neighbours.counts_all_channels,
        neighbours.is_orthogonal,
        neighbours.is_no_grid,
        neighbours.follows_the_seed,
        *LAST,
    ),
    (
        "torch.linalg.qr(matrix).Q has orthonormal columns. How many rows and columns must the matrix have, for "
        "`copies` directions in the space of images?",
        "matrix = torch.randn(d, copies, generator=...) with d = C * H * W. The columns of Q are 1 long. An image whose root "
        "mean square is radius is radius * d ** 0.5 long.",
        "noise = (q.T * radius * d**0.5).reshape(copies, *x.shape[1:]).to(x); then noise[-1] = 0.",
    ),
    shape=lambda case: (case["copies"], *case["x"].shape[1:]),
)

FREEZE = Task(
    "freeze",
    "Fewer pixels still: C&W L0",
    3,
    ("gradient", "delta", "allowed"),
    neighbours.half_frozen,
    (
        *FIRST,
        neighbours.passes_over_the_frozen(**_COLOUR),
        gives(neighbours.freeze, neighbours.FREEZE_SLIPS, **_COLOUR),
        *LAST,
    ),
    (
        "One score for each pixel, so the channels must be added up: dim=1 with keepdim=True. Which pixels must not take part?",
        "score = (gradient * delta).abs().sum(1, keepdim=True), and infinity where allowed is 0: masked_fill.",
        "chosen = score.flatten(1).argmin(1); result = allowed.clone(); "
        "result.flatten(1).scatter_(1, chosen[:, None], 0.0) then writes into result.",
    ),
    shape=lambda case: tuple(case["allowed"].shape),
)

LAB = Lab("lab3", (to_w.to_w, cw_loss.cw_loss, search.search, CW_L2, SHRINK, EAD, DIRECTIONS, FREEZE))
