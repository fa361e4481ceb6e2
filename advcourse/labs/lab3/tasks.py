"""Lab 3, "The nearest image that fools": its tasks, points and hints."""

from advcourse.labs.checks import Lab, Task
from advcourse.labs.lab3 import elastic_net, nearest, neighbours, pieces
from advcourse.labs.lab3.questions import NearestTask, keeps_the_digits
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

_FIRST = (answers, keeps_what_it_gets)
_LAST = (other_type, other_shape, other_device, leaves_nothing_behind)
_COLOUR = {"n": 200, "shape": (3, 6, 5)}  # so many that scores of another kind choose another pixel somewhere

TO_W = Task(
    "to_w",
    "A variable without a box",
    2,
    ("x",),
    lambda draw, x: {},
    (
        pieces.black_and_white_are_finite,
        *_FIRST,
        pieces.tanh_leads_back,
        pieces.black_and_white_can_move,
        *_LAST,
        keeps_the_digits,
    ),
    (
        "Undo to_box step by step, from the outside in: it adds 1 and halves; before that it takes tanh.",
        "2 * x - 1 lies in [-1, 1], and torch.atanh undoes tanh. At the ends it is infinite, so multiply by 0.999 first.",
        "return torch.atanh(0.999 * (2 * x - 1)).",
    ),
)


def _logits(draw, x, n=16, classes=10):
    """Logits of all kinds: in every second row all are negative; the label is on top in about half of them."""
    logits = 3 * draw.normal((n, classes))
    logits[::2] -= logits[::2].amax(1, keepdim=True) + 1
    label = (draw.uniform((n,)) * classes).long()
    label[: n // 2] = logits[: n // 2].argmax(1)
    return {"logits": logits, "label": label, "confidence": draw.number(0.5, 2), "targeted": False}


CW_LOSS = Task(
    "cw_loss",
    "A loss that knows when it is enough",
    3,
    ("logits", "label", "confidence", "targeted"),
    _logits,
    (
        *_FIRST,
        gives(pieces.cw_loss, pieces.CW_LOSS_SLIPS, least=1e-5),
        gives(pieces.cw_loss, pieces.TARGET_UNUSED + pieces.CW_LOSS_SLIPS, least=1e-5, targeted=True),
        pieces.leaves_the_label_out,
        can_be_followed(pieces.cw_loss, "logits", "the attack"),
        can_be_followed(pieces.cw_loss, "logits", "the attack", targeted=True),
        other_type,
        keeps_the_digits,
        other_device,
        leaves_nothing_behind,
    ),
    (
        "Two numbers for each row: the logit of its label, and the largest of all the others. How is one left out of a maximum?",
        "is_label = torch.nn.functional.one_hot(label, logits.shape[1]).bool(), and "
        "logits.masked_fill(is_label, -torch.inf).amax(1) is the largest of the others.",
        "own = logits.gather(1, label[:, None])[:, 0]. Then lead = own - other; targeted it is other - own. "
        "Return lead.clamp_min(-confidence).",
    ),
    shape=lambda case: (len(case["logits"]),),
)

SEARCH = Task(
    "search",
    "A constant for each image",
    3,
    ("state", "fooled"),
    pieces.states,
    (
        *_FIRST,
        gives(pieces.search, pieces.SEARCH_SLIPS, least=1e-9),
        other_type,
        keeps_the_digits,
        other_device,
        leaves_nothing_behind,
    ),
    (
        "First: which images succeeded? fooled has a row for each copy. Then each image moves one of its two bounds to c.",
        "lo, hi, c = state takes the rows apart, and torch.where(success, a, b) chooses image by image. A success moves hi, "
        "a failure lo.",
        "success = fooled.all(0); hi = torch.where(success, hi.minimum(c), hi); lo likewise, with maximum. The next c is "
        "torch.where(hi < 1e9, (lo + hi) / 2, 10 * c). Put the three rows together with torch.stack.",
    ),
    shape=lambda case: tuple(case["state"].shape),
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
        *_FIRST,
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
        *_LAST,
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
        *_FIRST,
        recognises(elastic_net.shrink, elastic_net.SHRINK_SLIPS, shape=(3, 20, 24)),
        stays_in_the_box,
        follows(elastic_net.shrink, elastic_net.EXACTLY),
        treats_images_alone,
        *_LAST,
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
        *_FIRST,
        changes_the_images,
        asks_the_model,
        elastic_net.follows_fista,
        stays_in_the_box,
        treats_images_alone,
        *_LAST,
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
        *_FIRST,
        neighbours.ends_with_the_centre,
        neighbours.has_the_radius,
        neighbours.counts_all_channels,
        neighbours.is_orthogonal,
        neighbours.is_no_grid,
        neighbours.follows_the_seed,
        *_LAST,
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
        *_FIRST,
        neighbours.passes_over_the_frozen(**_COLOUR),
        gives(neighbours.freeze, neighbours.FREEZE_SLIPS, **_COLOUR),
        *_LAST,
    ),
    (
        "One score for each pixel, so the channels must be added up: dim=1 with keepdim=True. Which pixels must not take part?",
        "score = (gradient * delta).abs().sum(1, keepdim=True), and infinity where allowed is 0: masked_fill.",
        "chosen = score.flatten(1).argmin(1); result = allowed.clone(); "
        "result.flatten(1).scatter_(1, chosen[:, None], 0.0) then writes into result.",
    ),
    shape=lambda case: tuple(case["allowed"].shape),
)

LAB = Lab("lab3", (TO_W, CW_LOSS, SEARCH, CW_L2, SHRINK, EAD, DIRECTIONS, FREEZE))
