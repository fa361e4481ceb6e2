"""TRADES, input gradient regularisation and distillation as the judge computes them, and the slips known by their results."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from advcourse.labs.checks import Case, Draw, Task
from advcourse.labs.lab7.attacked import in_mode, losses
from advcourse.labs.lab7.losses import learning, rule_in_logarithms, rule_trains_as


def two_views(draw: Draw, x: Tensor) -> dict[str, Tensor | float]:
    """Attacked copies of the images, and the price of the second term."""
    x_adv = (x + 0.2 * draw.normal(x.shape).sign()).clamp(0, 1)
    return {"x_adv": x_adv, "beta": draw.number(1.5, 6)}


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) of two rows of log-probabilities each, (N,)."""
    return (p.exp() * (p - q)).sum(1)


def trades(
    model: nn.Module,
    case: Case,
    *,
    joined: bool = True,
    training: bool = True,
    away: Callable[[Tensor, Tensor], Tensor] = divergence,
    mean: Callable[[Tensor], Tensor] = torch.mean,
    clean: float = 1.0,
    cut: str | None = None,
    on: int = 0,
    soft: bool = False,
) -> Tensor:
    """TRADES: J(x, y) + beta / B * sum of KL(p(x) || p(x')). What follows `case` serves the slips."""
    x, x_adv, y = case["x"], case["x_adv"], case["y"]
    with in_mode(model, training):
        logits = model(torch.cat([x, x_adv])).chunk(2) if joined else (model(x), model(x_adv))
    p, q = (z.log_softmax(1) for z in logits)
    p, q = p.detach() if cut == "p" else p, q.detach() if cut == "q" else q
    first = logits[on].softmax(1) if soft else logits[on]
    return clean * losses(first, y).mean() + case["beta"] * mean(away(p, q))


def _trades(**how):
    return lambda model, case: trades(model, case, **how)


_TEN = (
    "other classes",
    "It is right for ten classes and wrong for seven. Is their number written down somewhere? Sum over the classes, and you need "
    "none.",
)


def _price_on_the_other(model, case):
    return trades(model, case.but(beta=1.0), clean=case["beta"])


_TRADES_SLIPS = (
    (
        "divided by the classes too",
        "The divergence is divided by the number of images and by that of classes: reduction='mean' does so. Divide by the "
        "number of images alone: reduction='batchmean', or sum over the classes and take the mean over the images.",
        lambda model, case: trades(model, case.but(beta=case["beta"] / case.victim.classes)),
    ),
    (*_TEN, lambda model, case: trades(model, case.but(beta=case["beta"] * 10 / case.victim.classes))),
    (
        "not divided",
        "The divergences of all images are added up. Divide by the number of images, as in the first term.",
        _trades(mean=torch.sum),
    ),
    (
        "reversed",
        "This is KL(p(x') || p(x)). The clean answer comes first: KL(p(x) || p(x')). F.kl_div takes them the other way round, "
        "kl_div(log p(x'), p(x)).",
        _trades(away=lambda p, q: divergence(q, p)),
    ),
    (
        "no logarithm",
        "The second image's probabilities went in without a logarithm. The first argument of F.kl_div is log p(x').",
        _trades(away=lambda p, q: (p.exp() * (p - q.exp())).sum(1)),
    ),
    (
        "entropy left out",
        "This is the cross-entropy of the two answers, -sum p(x) log p(x'). The divergence is that less the entropy of p(x).",
        _trades(away=lambda p, q: -(p.exp() * q).sum(1)),
    ),
    (
        "squared distance",
        "This is the squared distance of the two answers. The divergence is sum p(x) (log p(x) - log p(x')).",
        _trades(away=lambda p, q: (p.exp() - q.exp()).square().sum(1)),
    ),
    (
        "softmax twice",
        "The softmax is taken twice: cross_entropy wants logits, and takes the softmax itself. Give it model(...) as it is.",
        _trades(soft=True),
    ),
    (
        "no clean term",
        "The loss of the clean images is missing. Without it, a model that always gives the same answer is perfect.",
        _trades(clean=0.0),
    ),
    (
        "loss of the attacked",
        "The first term is the loss of the attacked images. In TRADES the labels are learnt from the clean ones.",
        _trades(on=1),
    ),
    (
        "beta divides",
        "The second term is divided by beta. The paper has 1 / lambda there; beta is 1 / lambda, and multiplies.",
        lambda model, case: trades(model, case.but(beta=1 / case["beta"])),
    ),
    (
        "beta on the other term",
        "beta multiplies the first term. It is the price of the second.",
        _price_on_the_other,
    ),
    (
        "clean answer cut off",
        "The number is right, but p(x) is cut off from the graph, so that x' alone is drawn to x. Gradients go through both.",
        _trades(cut="p"),
    ),
    (
        "attacked answer cut off",
        "The number is right, but p(x') is cut off from the graph, so that x alone is drawn to x'. Gradients go through both.",
        _trades(cut="q"),
    ),
    (
        "two passes",
        "Clean and attacked images go through the model one after the other. Each pass has statistics of its own in batch "
        "normalisation: give the model one batch of twice the size, and take its logits apart.",
        _trades(joined=False),
    ),
    (
        "eval mode",
        "The loss is taken in eval mode. The model learns in the mode that it came in: leave that alone.",
        _trades(training=False),
    ),
)

AUDIBLE = 400.0  # no probability is 0 in float64: there the gradient of kl_div by its second argument is NaN


def negatives(case: Case) -> dict[str, Tensor]:
    """Attacked copies that are far enough to get another answer."""
    return {"x_adv": 1 - case["x"]}


TRADES = (rule_trains_as(trades, _TRADES_SLIPS), rule_in_logarithms(trades, AUDIBLE, negatives))


def plain_ones(task: Task, draw: Draw) -> tuple[Case, Case]:
    """Digits and colours, to a model without batch normalisation, so that no image has a part in another's gradient."""
    return learning(task, draw, "doubled", n=5), learning(task, draw, "doubled", n=7, shape=(3, 12, 14))


def a_weight(draw: Draw, x: Tensor) -> dict[str, float]:
    return {"weight": draw.number(0.5, 3)}


def igr(
    model: nn.Module,
    case: Case,
    *,
    size: str = "squares",
    of: str = "sum",
    cut: bool = False,
    whole: Callable[[Tensor], Tensor] = torch.mean,
    label: bool = False,
    soft: bool = False,
    training: bool = True,
) -> Tensor:
    """Input gradient regularisation: the mean of J_i + weight * ||grad J_i||^2. What follows `case` serves the slips."""
    x, y = case["x"].detach().clone().requires_grad_(), case["y"]
    with in_mode(model, training):
        logits = model(x).softmax(1) if soft else model(x)
    found = losses(logits, y)
    asked = logits.gather(1, y[:, None]).sum() if label else {"sum": found.sum(), "mean": found.mean()}[of]
    gradient = torch.autograd.grad(asked, x, create_graph=True)[0].flatten(1)
    gradient = gradient.detach() if cut else gradient
    penalty = {
        "squares": lambda: gradient.square().sum(1),
        "length": lambda: gradient.norm(dim=1),
        "pixels": lambda: gradient.square().mean(1),
        "each channel": lambda: gradient.square().sum(1) / x.shape[1],
        "L1": lambda: gradient.abs().sum(1),
    }[size]()
    return found.mean() + case["weight"] * whole(penalty)


def _igr(**how):
    return lambda model, case: igr(model, case, **how)


_BATCH = (
    "gradient of the batch's mean",
    "The gradient is that of the batch's mean loss, which is B times too small, and its square B² times. So the weight means "
    "something else for every batch size. Take the gradient of losses.sum(): each image's own.",
)

_IGR_SLIPS = (
    (
        "graph cut",
        "The number is right, but the penalty does not teach anything: its gradient by the weights is 0. Say "
        "create_graph=True where you ask for the gradient by x, so that it can be differentiated once more.",
        _igr(cut=True),
    ),
    (*_BATCH, _igr(of="mean")),
    (*_BATCH, _igr(of="mean", whole=torch.sum)),
    (
        "softmax twice",
        "The softmax is taken twice: cross_entropy wants logits, and takes the softmax itself. Give it model(...) as it is.",
        _igr(soft=True),
    ),
    (
        "not squared",
        "The penalty is the length of the gradient. It is its square, the sum of the squares of its components.",
        _igr(size="length"),
    ),
    (
        "mean over pixels",
        "The squares are averaged over the pixels. Sum them up for each image, and average over the images only.",
        _igr(size="pixels"),
    ),
    (
        "mean over channels",
        "The squares are averaged over the channels, so that the penalty of colours is a third of what it is. Sum over all "
        "dimensions but the first: gradient.flatten(1).square().sum(1).",
        _igr(size="each channel"),
    ),
    (
        "summed over images",
        "The penalties of all images are added up, while their losses are averaged. Average both.",
        _igr(whole=torch.sum),
    ),
    (
        "absolute values",
        "The penalty is the sum of the absolute values. It is the sum of the squares.",
        _igr(size="L1"),
    ),
    (
        "gradient of a logit",
        "The gradient is that of the label's logit. It is that of the loss, log_softmax included.",
        _igr(label=True),
    ),
    (
        "weight on the loss",
        "weight multiplies the loss. It is the price of the penalty: J + weight * |gradient|^2.",
        lambda model, case: (
            case["weight"] * losses(model(case["x"]), case["y"]).mean()
            + igr(model, case.but(weight=1.0))
            - losses(model(case["x"]), case["y"]).mean()
        ),
    ),
    (
        "no penalty",
        "This is the loss alone. Add weight times the squared length of its gradient by the image.",
        lambda model, case: losses(model(case["x"]), case["y"]).mean(),
    ),
    (
        "penalty alone",
        "This is the penalty alone. Add the loss.",
        lambda model, case: igr(model, case) - losses(model(case["x"]), case["y"]).mean(),
    ),
    (
        "eval mode",
        "The loss is taken in eval mode. The model learns in the mode that it came in: leave that alone.",
        _igr(training=False),
    ),
)

IGR = (rule_trains_as(igr, _IGR_SLIPS, plain_ones), rule_in_logarithms(igr))


def taught(draw: Draw, x: Tensor) -> dict[str, Tensor | float]:
    """The logits of a teacher, and a temperature."""
    return {"teacher_logits": 8 * draw.normal((len(x), 10)), "temperature": draw.number(3, 8)}


def distillation(
    model: nn.Module,
    case: Case,
    *,
    warm: bool = True,
    teacher: Callable[[Tensor, float], Tensor] | None = None,
    factor: Callable[[float, int], float] | None = None,
    training: bool = True,
    whole: Callable[[Tensor], Tensor] = torch.mean,
) -> Tensor:
    """Distillation: the mean of -sum p log softmax(Z / T), p = softmax(teacher / T). What follows `case` serves the slips."""
    t = case["temperature"]
    with in_mode(model, training):
        logits = model(case["x"])
    q = (logits / t if warm else logits).log_softmax(1)
    p = (case["teacher_logits"] / t).softmax(1) if teacher is None else teacher(case["teacher_logits"], t)
    return (1.0 if factor is None else factor(t, q.shape[1])) * whole(-(p * q).sum(1))


def _distillation(**how):
    return lambda model, case: distillation(model, case, **how)


def _hard(z, t):
    return torch.nn.functional.one_hot(z.argmax(1), z.shape[1]).to(z)


def _entropy_off(model, case):
    p = (case["teacher_logits"] / case["temperature"]).log_softmax(1)
    return distillation(model, case) + (p.exp() * p).sum(1).mean()


def _softmax_twice(model, case):
    t = case["temperature"]
    p = (case["teacher_logits"] / t).softmax(1)
    return -(p * (model(case["x"]) / t).softmax(1).log_softmax(1)).sum(1).mean()


def _roles_swapped(model, case):
    t = case["temperature"]
    q, p = (model(case["x"]) / t).softmax(1), (case["teacher_logits"] / t).log_softmax(1)
    return -(q * p).sum(1).mean()


_DISTILLATION_SLIPS = (
    (
        "student at 1",
        "The teacher speaks at temperature T, the student at 1. Both do at T: it is this that makes the student's logits T "
        "times as large.",
        _distillation(warm=False),
    ),
    (
        "teacher at 1",
        "The student speaks at temperature T, the teacher at 1. Both do at T.",
        _distillation(teacher=lambda z, t: z.softmax(1)),
    ),
    (
        "both at 1",
        "There is no temperature in it. Divide the logits of both by T.",
        _distillation(warm=False, teacher=lambda z, t: z.softmax(1)),
    ),
    (
        "hard labels",
        "The student learns the teacher's answers, one class each. It learns all of the teacher's probabilities.",
        _distillation(teacher=_hard),
    ),
    (
        "hard labels at 1",
        "The student learns the teacher's answers, one class each, and at temperature 1. It learns the probabilities at T, at T.",
        _distillation(teacher=_hard, warm=False),
    ),
    (
        "times T squared",
        "The loss is multiplied by T². Hinton et al. do so, beside a second term; Papernot et al. do not.",
        _distillation(factor=lambda t, classes: t * t),
    ),
    (
        "multiplied",
        "The logits are multiplied by T. Divide them, so that the probabilities become softer.",
        lambda model, case: distillation(model, case.but(temperature=1 / case["temperature"])),
    ),
    (
        "entropy taken off",
        "This is the divergence, the cross-entropy less the teacher's entropy. Its gradient is the same, its number not; "
        "write the cross-entropy.",
        _entropy_off,
    ),
    (
        "softmax twice",
        "The student's probabilities go through a softmax once more: cross_entropy wants logits, here logits / T.",
        _softmax_twice,
    ),
    (
        "roles swapped",
        "The student's probabilities weigh the teacher's logarithms. It is the other way round: -sum p_teacher log p_student.",
        _roles_swapped,
    ),
    (
        "mean over the classes too",
        "The loss is averaged over the classes as well. Sum over them, and average over the images.",
        _distillation(factor=lambda t, classes: 1 / classes),
    ),
    (*_TEN, _distillation(factor=lambda t, classes: 10 / classes)),
    (
        "summed",
        "The losses of all images are added up. Take their mean.",
        _distillation(whole=torch.sum),
    ),
    (
        "eval mode",
        "The loss is taken in eval mode. The model learns in the mode that it came in: leave that alone.",
        _distillation(training=False),
    ),
)

DISTILLATION = (rule_trains_as(distillation, _DISTILLATION_SLIPS), rule_in_logarithms(distillation))
