"""Lab 1, "One step and many steps": its tasks, points and hints."""

from advcourse import attacks
from advcourse.labs.checks import Lab, Task
from advcourse.labs.lab1 import fgsm, llc, loud, many_starts, many_steps, project, project_l2, rfgsm
from advcourse.labs.properties import (
    answers,
    asks_the_model,
    changes_the_images,
    follows,
    fools,
    keeps_what_it_gets,
    leaves_nothing_behind,
    other_device,
    other_shape,
    other_type,
    recognises,
    stays_in_budget,
    stays_in_the_box,
    takes_class_0,
    treats_images_alone,
    uses_seed,
)

_FIRST = (answers, keeps_what_it_gets, loud.skips_none, changes_the_images, asks_the_model, stays_in_the_box)
_LAST = (other_type, other_shape, other_device, leaves_nothing_behind)
_COLOUR = {"shape": (3, 20, 24)}
_TWO_CLASSES = {"kind": "linear", "classes": 2, "grey": True}


def _eps(draw, x):
    return {"eps": draw.number(0.1, 0.2)}


def _library(attack, **fixed):
    """The right answer's images on real digits, for its success: by the library's attack with the settings of the case."""

    def images(model, case):
        names = [name for name in attack.__dataclass_fields__ if name in case.arguments]
        settings = {name: case[name] for name in names} | fixed
        return attack(**settings)(model, case["x"], case.labels)

    return images


BIM = Task(
    "bim",
    "Many small steps",
    4,
    ("model", "x", "y", "eps", "alpha", "steps", "target"),
    lambda draw, x: {
        "eps": (eps := draw.number(0.1, 0.2)),
        "steps": 6,
        "alpha": round(eps * draw.number(0.25, 0.35), 4),
        "target": None,
    },
    (
        *_FIRST,
        recognises(many_steps.iterate, many_steps.BIM_SLIPS, grey=True),
        recognises(many_steps.iterate, many_steps.LOSS_SLIPS, loud.hesitant),
        stays_in_budget(many_steps.projected_too_early),
        treats_images_alone,
        many_steps.returns_the_end,
        follows(many_steps.iterate, **_TWO_CLASSES),
        follows(many_steps.iterate, make=loud.hesitant),
        follows(many_steps.iterate),
        many_steps.aims_at_the_target,
        takes_class_0,
        *_LAST,
        follows(many_steps.iterate, **_COLOUR),
        fools(_library(attacks.BIM, keep="last"), n=16, eps=0.3, alpha=0.06, steps=8),
        loud.survives(many_steps.iterate),
    ),
    (
        "The loop holds x_i, the image so far. Each turn: the gradient at x_i, one step of alpha, project around x.",
        "Detach x_i at the start of each turn and let it require gradients: x_i = x_i.detach().requires_grad_(). "
        "Then nothing is left over from the turn before.",
        "label, sign = (y, 1) if target is None else (target, -1). In the loop: "
        "x_i = project(x_i + sign * alpha * gradient.sign(), x, eps), gradient being that of label. Return x_i.detach().",
    ),
)

MIFGSM = Task(
    "mifgsm",
    "Steps with momentum",
    3,
    ("model", "x", "y", "eps", "steps", "decay"),
    lambda draw, x: {"eps": draw.number(0.1, 0.2), "steps": 6, "decay": draw.number(0.6, 0.8)},
    (
        *_FIRST,
        recognises(many_steps.iterate, many_steps.MIFGSM_SLIPS, grey=True),
        recognises(many_steps.iterate, many_steps.LOSS_SLIPS, loud.hesitant),
        recognises(many_steps.iterate, many_steps.NORM_SLIPS, many_steps.across_the_ridge),
        stays_in_budget(),
        treats_images_alone,
        follows(many_steps.iterate, **_TWO_CLASSES),
        follows(many_steps.iterate, make=loud.hesitant),
        follows(many_steps.iterate, make=many_steps.across_the_ridge),
        follows(many_steps.iterate, grey=True),
        *_LAST,
        fools(_library(attacks.UMIFGSM, keep="last"), n=16, eps=0.3, steps=8),
        loud.survives(many_steps.iterate),
        many_steps.goes_on_where_it_is_flat,
    ),
    (
        "As bim, but the direction is not the last gradient alone: it is g, which remembers the ones before.",
        "The L1 norm is one number for each image: gradient.abs().sum(dim=(1, 2, 3), keepdim=True). It keeps its four "
        "dimensions, so that you can divide by it.",
        "Before the loop g = torch.zeros_like(x). In it: g = decay * g + gradient / norm. The step is (eps / steps) * g.sign().",
    ),
)

PGD = Task(
    "pgd",
    "Random starts, and the best of many",
    5,
    ("model", "x", "y", "eps", "alpha", "steps", "restarts", "seed"),
    lambda draw, x: {
        "eps": (eps := draw.number(0.1, 0.2)),
        "alpha": eps / 2,
        "steps": 6,
        "restarts": 2,
        "seed": draw.integer(),
    },
    (
        *_FIRST,
        recognises(many_starts.reaches_the_corner, many_starts.PGD_SLIPS, **_TWO_CLASSES),
        stays_in_budget(many_steps.projected_too_early),
        many_starts.starts_at_random,
        uses_seed("All seeds give the same images: the start is not random.", steps=1, restarts=1),
        many_starts.follows_the_gradient,
        many_starts.starts_in_the_box,
        follows(many_starts.reaches_the_corner, **_TWO_CLASSES),
        many_starts.climbs_from_its_start,
        many_starts.keeps_the_best,
        many_starts.keeps_the_largest_loss,
        many_starts.returns_the_end,
        *_LAST,
        many_starts.starts_in_colour,
        fools(_library(attacks.PGD), n=16, eps=0.3, alpha=0.06, steps=10, restarts=2),
        loud.survives(many_starts.reaches_the_corner),
    ),
    (
        "Make the generator once, before the loop over restarts: then each restart draws another start. The inner loop is bim's, "
        "from that start.",
        "start = x + eps * (2 * u - 1) with u = torch.rand(x.shape, generator=generator).to(x), then project it. For the best "
        "you need one loss for each image: log_odds gives that.",
        "Keep best and best_loss (N,), which begins at minus infinity. After each restart: better = loss > best_loss; "
        "best = torch.where(better.view(-1, 1, 1, 1), x_i, best); and the same for best_loss.",
    ),
)


LAB = Lab("lab1", (fgsm.fgsm, llc.llc, rfgsm.rfgsm, project.project, BIM, MIFGSM, PGD, project_l2.project_l2))
