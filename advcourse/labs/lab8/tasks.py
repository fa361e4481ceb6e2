"""Lab 8, "Transform, vote, detect; and get through": its tasks, points and hints."""

from dataclasses import dataclass

from advcourse.labs.checks import Lab, Task
from advcourse.labs.lab8 import bpda_gradient, detectors, eot_gradient, quantise, thermometer, through, votes
from advcourse.labs.lab8.questions import FIRST, LAST, DefendedTask
from advcourse.labs.properties import (
    other_classes,
    other_shape,
    other_type,
    stays_in_budget,
    stays_in_the_box,
    treats_images_alone,
)


@dataclass(eq=False)
class _Behind(DefendedTask):
    parts: tuple = ()


def _one_for_each_image(case):
    return (len(case["x"]),)


REGION_VOTES = _Behind(
    "region_votes",
    "A vote in the neighbourhood",
    3,
    ("model", "x", "noise", "most"),
    votes.voters,
    (*FIRST, *votes.VOTES, other_classes, treats_images_alone, other_shape, *LAST),
    (
        "All N * M noisy images: x[:, None] + noise is (N, M, C, H, W). Clip them, and flatten the first two axes.",
        "images.split(most) gives parts of at most `most`. For each part: model(part).argmax(1); torch.cat joins the answers, "
        "and view(N, M) puts them in order again.",
        "logits = torch.cat([model(part) for part in images.split(most)]); one_hot(logits.argmax(1), "
        "logits.shape[1]).view(N, M, -1).sum(1) are the votes, under torch.no_grad().",
    ),
    shape=lambda case: (len(case["x"]), case.victim.classes),
    numbers="whole",
    parts=(("at most", "most"),),
)

SQUEEZE_SCORE = Task(
    "squeeze_score",
    "Does the answer hold when the image gets coarser?",
    3,
    ("model", "squeezers", "x"),
    detectors.squeezers,
    (*FIRST, other_classes, *detectors.SCORE, treats_images_alone, other_shape, *LAST),
    (
        "p = model(x).softmax(1), and the same of squeeze(x) for each squeezer. Each pair gives one distance for each image.",
        "The L1 distance of two rows is (p - q).abs().sum(1), (N,). Stack those of all squeezers: (J, N).",
        "with torch.no_grad(): ... return torch.stack([(p - model(s(x)).softmax(1)).abs().sum(1) for s in squeezers]).amax(0).",
    ),
    shape=_one_for_each_image,
)

JOINT_FLAGS = Task(
    "joint_flags",
    "Several detectors, one promise",
    4,
    ("clean_scores", "scores", "fpr"),
    detectors.parts,
    (*FIRST, *detectors.FLAGS, *LAST),
    (
        "D, M = clean_scores.shape. Each detector may flag at most the share fpr / D of the M clean images: how many are that?",
        "ordered = clean_scores.sort(dim=1, descending=True).values. Above ordered[:, k] lie at most k scores, so k = "
        "int(fpr / D * M), which may be 0.",
        "threshold = ordered[:, k : k + 1], (D, 1); return (scores > threshold).any(0).",
    ),
    shape=lambda case: (case["scores"].shape[1],),
    numbers="whole",
)

GET_THROUGH = _Behind(
    "get_through",
    "Get through",
    5,
    ("model", "x", "y", "eps", "steps", "draws"),
    through.a_budget,
    (
        *FIRST,
        other_classes,
        through.comes_back_changed,
        through.asks_the_defense,
        stays_in_the_box,
        stays_in_budget(),
        through.survives_fresh_draws,
        through.keeps_to_its_draws,
        through.leaves_what_is_misread,
        through.breaks_digits,
        other_type,
        other_shape,
        *LAST,
    ),
    (
        "Tasks 3 and 4 in one: the shift has a gradient and draws, the rounding has none. shift, levels, f = model. In each step "
        "average over `draws` calls of the shift.",
        "One draw: z = shift(x_i); w = z + (levels(z) - z).detach() is levels(z) forward and the identity backward. Then the "
        "gradient of the cross-entropy of f(w) by x_i.",
        "PGD around it: `steps` times x_i = x_i + 2.5 * eps / steps * total.sign(), then clamp to x - eps, x + eps and to [0, "
        "1]. Return it detached.",
    ),
    parts=through.PARTS,
)


LAB = Lab(
    "lab8",
    (
        quantise.quantise,
        thermometer.thermometer,
        bpda_gradient.bpda_gradient,
        eot_gradient.eot_gradient,
        REGION_VOTES,
        SQUEEZE_SCORE,
        JOINT_FLAGS,
        GET_THROUGH,
    ),
)
