"""Lab 3, "The nearest image that fools": its tasks, points and hints."""

from advcourse.labs.checks import Lab
from advcourse.labs.lab3 import cw_loss, directions, elastic_net, freeze, nearest, search, shrink, to_w
from advcourse.labs.lab3.questions import FIRST, LAST, NearestTask
from advcourse.labs.properties import (
    asks_the_model,
    changes_the_images,
    stays_in_the_box,
    treats_images_alone,
)

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

LAB = Lab(
    "lab3",
    (
        to_w.to_w,
        cw_loss.cw_loss,
        search.search,
        CW_L2,
        shrink.shrink,
        EAD,
        directions.directions,
        freeze.freeze,
    ),
)
