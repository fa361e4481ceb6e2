"""Lab 7, "Training a defense, and breaking it": its tasks, points and hints."""

from dataclasses import dataclass, replace
from typing import Any

from advcourse.labs.checks import Case, Draw, Lab, Task
from advcourse.labs.lab7 import attacked, ensemble, flat, masked, mixed_loss
from advcourse.labs.lab7.losses import (
    can_be_followed,
    leaves_no_gradients,
    puts_the_mode_back,
    takes_other_types,
)
from advcourse.labs.properties import (
    answers,
    asks_the_model,
    changes_the_images,
    keeps_what_it_gets,
    leaves_nothing_behind,
    other_classes,
    other_device,
    other_shape,
    other_type,
    stays_in_budget,
    stays_in_the_box,
)

_FIRST = (
    answers,
    can_be_followed,
    puts_the_mode_back,
    keeps_what_it_gets,
    takes_other_types,
    other_classes,
)
_LAST = (other_shape, other_device, leaves_no_gradients)


@dataclass(eq=False)
class TaughtTask(Task):
    """A task with a teacher, or with other networks, who know as many classes as the model."""

    def case(self, draw: Draw, *how: Any, classes: int = 10, **more: Any) -> Case:
        """As `Task.case`."""
        case = super().case(draw, *how, classes=classes, **more)
        if "static" in case.arguments:
            return case.but(static=tuple(replace(victim, classes=classes) for victim in case["static"]))
        return case.but(teacher_logits=case["teacher_logits"][:, :classes])


def _one_number(case):
    return ()


PAT_LOSS = Task(
    "pat_loss",
    "Adversarial images alone",
    4,
    ("model", "x", "y", "start", "eps", "alpha", "steps"),
    attacked.near_start,
    (*_FIRST, *attacked.PAT, *_LAST),
    (
        "Three things in this order: the attack in eval mode; the mode that the model had before; the loss. climb asks the "
        "model in the mode that it is in.",
        "was = model.training; model.eval(); x_adv = climb(model, x, y, start, eps, alpha, steps)[-1]; model.train(was).",
        "Then return cross_entropy(model(x_adv), y). No clean image has a part in it.",
    ),
    shape=_one_number,
)

EAT_LOSS = TaughtTask(
    "eat_loss",
    "Attacks from elsewhere, and no label leaks",
    4,
    ("model", "static", "x", "y", "eps", "seed"),
    ensemble.two_others,
    (*_FIRST, *ensemble.EAT, *_LAST),
    (
        "sources = [*static, model]. A generator of your own, with this seed, draws one number below len(sources): "
        "torch.randint(n, (), generator=g).",
        "The source's own answers, source(x_i).argmax(1), stand where the label stood in FGSM. If the source is the model, it "
        "must be in eval mode for that: note the mode, model.eval(), and put it back before the loss.",
        "x_adv = (x + eps * gradient.sign()).clamp(0, 1); return cross_entropy(model(torch.cat([x, x_adv])), torch.cat([y, "
        "y])), whose mean over 2N images is the mean of both losses.",
    ),
    shape=_one_number,
)

TRADES_LOSS = Task(
    "trades_loss",
    "The same answer nearby",
    3,
    ("model", "x", "x_adv", "y", "beta"),
    flat.two_views,
    (*_FIRST, *flat.TRADES, *_LAST),
    (
        "One batch, torch.cat([x, x_adv]); logits.chunk(2) takes its logits apart. Log-probabilities are log_softmax(1) of them.",
        "With log p and log q: the divergence of each image is (p * (log p - log q)).sum(1). In torch: kl_div(log q, log p, "
        'log_target=True, reduction="batchmean"), the clean one second.',
        "return cross_entropy(clean, y) + beta * divergence.mean(). Detach nothing.",
    ),
    shape=_one_number,
)

IGR_LOSS = Task(
    "igr_loss",
    "A flat loss",
    4,
    ("model", "x", "y", "weight"),
    flat.a_weight,
    (*_FIRST, *flat.IGR, *_LAST),
    (
        "Work on a copy that requires gradients: x = x.detach().clone().requires_grad_(). Then each image's loss, and the "
        "gradient of their sum by x: images do not share pixels, so it holds each image's own.",
        "(gradient,) = torch.autograd.grad(losses.sum(), x, create_graph=True). Without create_graph the penalty is a "
        "constant, and teaches nothing.",
        "return (losses + weight * gradient.flatten(1).square().sum(1)).mean().",
    ),
    shape=_one_number,
)

DISTILLATION_LOSS = TaughtTask(
    "distillation_loss",
    "What a teacher says, at temperature T",
    2,
    ("model", "x", "teacher_logits", "temperature"),
    flat.taught,
    (*_FIRST, *flat.DISTILLATION, *_LAST),
    (
        "Both the teacher's logits and the model's are divided by the temperature. The teacher's become probabilities, the "
        "model's log-probabilities.",
        "p = (teacher_logits / temperature).softmax(1); log_q = (model(x) / temperature).log_softmax(1).",
        "return -(p * log_q).sum(1).mean(). cross_entropy(model(x) / temperature, p) is the same: it takes probabilities for "
        "labels, too.",
    ),
    shape=_one_number,
)

ZERO_SHARE = Task(
    "zero_share",
    "Where there is no gradient",
    2,
    ("model", "x", "y"),
    lambda draw, x: {},
    (answers, keeps_what_it_gets, *masked.ZERO_SHARE, other_shape, other_device, leaves_nothing_behind),
    (
        "The gradient of the cross-entropy by the images: work on a copy that requires gradients, and take the sum of the "
        "losses.",
        "(gradient == 0).flatten(1).all(1) is True for images without any gradient, (N,).",
        "return (gradient == 0).flatten(1).all(1).double().mean().",
    ),
    shape=_one_number,
)

UNMASK = Task(
    "unmask",
    "Break it",
    4,
    ("model", "x", "y", "eps", "steps"),
    masked.a_budget,
    (
        answers,
        keeps_what_it_gets,
        other_classes,
        changes_the_images,
        asks_the_model,
        stays_in_the_box,
        stays_in_budget(),
        *masked.UNMASK,
        other_type,
        other_shape,
        other_device,
        leaves_nothing_behind,
    ),
    (
        "The loss saturates, the logits do not. What has to happen to the logits of an image for the model to be wrong about it?",
        "The label's logit must fall below the largest of the others. Their difference has a gradient everywhere: with "
        "one_hot(y, K) as a mask, others = logits.masked_fill(mask, -inf).amax(1).",
        "PGD without its start: x_i = x_i + 2.5 * eps / steps * gradient.sign(), of (others - own).sum(), then clipped to x - "
        "eps, x + eps and to [0, 1], `steps` times. Return it detached.",
    ),
)

LAB = Lab(
    "lab7",
    (mixed_loss.mixed_loss, PAT_LOSS, EAT_LOSS, TRADES_LOSS, IGR_LOSS, DISTILLATION_LOSS, ZERO_SHARE, UNMASK),
)
