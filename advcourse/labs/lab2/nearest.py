"""The nearest boundary: distances and the shortest step as the judge computes them, and slips known by their results."""

from collections.abc import Callable

import torch
from torch import Tensor

from advcourse.labs import definitions as by_hand
from advcourse.labs.checks import Case, Draw, Student
from advcourse.labs.numbers import near
from advcourse.labs.verdicts import Finding


def jacobian(case: Case, x: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (N, K) of the case's model at x, and their gradients (N, K, C, H, W); on a linear model these are its weights."""
    model = by_hand.model_of(case)
    if case.victim.kind == "linear":
        weight = model[1].weight.detach()
        return model(x).detach(), weight.view(1, -1, *x.shape[1:]).expand(len(x), -1, -1, -1, -1)
    x = x.detach().clone().requires_grad_()
    logits = model(x)
    rows = [torch.autograd.grad(logits[:, k].sum(), x, retain_graph=True)[0] for k in range(logits.shape[1])]
    return logits.detach(), torch.stack(rows, 1)


def _dual(w, norm):
    """The dual norm of w (N, K, ...): (N, K)."""
    return w.flatten(2).norm(dim=2) if norm == "L2" else w.flatten(2).abs().sum(2)


def _primal(w, norm):
    return w.flatten(2).norm(dim=2) if norm == "L2" else w.flatten(2).abs().amax(2)


def _apart(logits, gradients, own):
    """f and w: how each class differs from the class `own`, in logits and in gradients."""
    rows = torch.arange(len(logits))
    return logits - logits[rows, own][:, None], gradients - gradients[rows, own][:, None]


def _given(case):
    logits, gradients = case["logits"].double(), case["gradients"].double()
    return logits, gradients, logits.argmax(1)


def _ways(logits, gradients, own, norm, size=_dual):
    """Distance to each boundary, infinite for `own`; f and w."""
    f, w = _apart(logits, gradients, own)
    far = f.abs() / size(w, norm)
    far[torch.arange(len(far)), own] = torch.inf
    return far, f, w


# Distances


def distances(case: Case) -> Tensor:
    return _ways(*_given(case), case["norm"])[0]


def _distances(rule, keep_own=False):
    """A slip: rule(f, w, gradients, logits, norm) gives the distances, but for the model's own class."""

    def numbers(case):
        logits, gradients, own = _given(case)
        f, w = _apart(logits, gradients, own)
        far = rule(f, w, gradients, logits, case["norm"])
        if not keep_own:
            far[torch.arange(len(far)), own] = torch.inf
        return far

    return numbers


DISTANCES_SLIPS = (
    (
        "norm squared",
        "The logits' difference is divided by the square of the norm. That is the factor of the step w; the distance has the "
        "norm itself below the line.",
        _distances(lambda f, w, g, z, norm: f.abs() / _dual(w, norm) ** 2),
    ),
    (
        "logits alone",
        "The result is |f_k|, a difference of logits. Divide it by the norm of w_k: a steep boundary is near, a flat one far.",
        _distances(lambda f, w, g, z, norm: f.abs()),
    ),
    (
        "gradient of one class",
        "The norm is that of class k's own gradient. What matters is how fast k gains on k0: w_k is the difference of both.",
        _distances(lambda f, w, g, z, norm: f.abs() / _dual(g, norm)),
    ),
    (
        "logit of one class",
        "The numerator is class k's own logit. What matters is how far k lies behind k0: f_k is the difference of both.",
        _distances(lambda f, w, g, z, norm: z.abs() / _dual(w, norm)),
    ),
    (
        "negative",
        "The distances are negative: f_k is below 0 for every other class. Take its absolute value.",
        _distances(lambda f, w, g, z, norm: f / _dual(w, norm)),
    ),
    (
        "own class",
        "The model's own class gets a number like the others, and argmin would choose it. There is no way out towards it: "
        "put infinity there.",
        _distances(
            lambda f, w, g, z, norm: torch.nan_to_num(f.abs() / _dual(w, norm).clamp_min(1e-12)), True
        ),
    ),
)
LINF_SLIPS = (
    (
        "not the dual norm",
        "For Linf the largest entry of w stands below the line. It must be the dual norm: the sum of the absolute "
        "values, for every pixel can help at once.",
        _distances(lambda f, w, g, z, norm: f.abs() / _primal(w, norm)),
    ),
    (
        "norm unused",
        "For Linf the distances are those for L2. Look at the argument norm, and take the L1 norm of w there.",
        _distances(lambda f, w, g, z, norm: f.abs() / _dual(w, "L2")),
    ),
)


# The shortest step


def step(logits: Tensor, gradients: Tensor, own: Tensor, norm: str) -> Tensor:
    """The shortest way (N, C, H, W) to the nearest boundary of the linear model with these logits and gradients."""
    return towards(nearest_class(logits, gradients, own, norm), logits, gradients, own, norm)


def nearest_class(logits: Tensor, gradients: Tensor, own: Tensor, norm: str) -> Tensor:
    """The class behind the nearest boundary, (N,)."""
    return _ways(logits, gradients, own, norm)[0].argmin(1)


def towards(l: Tensor, logits: Tensor, gradients: Tensor, own: Tensor, norm: str) -> Tensor:
    """The shortest way (N, C, H, W) to the boundary of the class `l` of each image."""
    return _towards(l, *_apart(logits, gradients, own), norm)


def _towards(l, f, w, norm):
    rows = torch.arange(len(l))
    size, way = _dual(w, norm)[rows, l], w[rows, l]
    length = f[rows, l].abs()
    factor = length / (size**2 if norm == "L2" else size)
    return factor.view(-1, 1, 1, 1) * (way if norm == "L2" else way.sign())


def shortest_step(case: Case) -> Tensor:
    return step(*_given(case), case["norm"])


def _steps(choose=None, turn=lambda r, f, w, norm: r):
    """A slip: choose(far, f, own) takes the class, turn(r, f_l, w_l, norm) changes the step."""

    def numbers(case):
        logits, gradients, own = _given(case)
        far, f, w = _ways(logits, gradients, own, case["norm"])
        l = choose(far, f, own) if choose else far.argmin(1)
        rows = torch.arange(len(l))
        r = _towards(l, f, w, case["norm"])
        return turn(r, f[rows, l].view(-1, 1, 1, 1), w[rows, l], case["norm"])

    return numbers


def _behind(far, f, own):
    """The class with the smallest |f|, but for the own one."""
    return f.abs().scatter(1, own[:, None], torch.inf).argmin(1)


def _of_the_other_norm(case):
    """The step to the boundary that is the nearest in the other norm."""
    norm = case["norm"]
    far, f, w = _ways(*_given(case), "L2" if norm == "Linf" else "Linf")
    return _towards(far.argmin(1), f, w, norm)


def _norms(w, p):
    return torch.linalg.vector_norm(w.flatten(1), p, dim=1).view(-1, 1, 1, 1)


def _own_gradient(case):
    logits, gradients, own = _given(case)
    far, f, w = _ways(logits, gradients, own, case["norm"])
    l, rows = far.argmin(1), torch.arange(len(own))
    factor = f[rows, l].abs().view(-1, 1, 1, 1)
    g = gradients[rows, l]
    return factor * g / _norms(g, 2) ** 2 if case["norm"] == "L2" else factor * g.sign() / _norms(g, 1)


STEP_SLIPS = (
    (
        "norm not squared",
        "The step is |f| w / |w|, too long by a factor of |w|. Once the norm makes w a unit vector, once more it makes |f| a "
        "distance: divide by its square.",
        _steps(turn=lambda r, f, w, norm: r * _norms(w, 2)),
    ),
    (
        "wrong way",
        "The steps lead away from the boundary: f_l is negative, and turns w round. Take |f_l|.",
        _steps(turn=lambda r, f, w, norm: -r),
    ),
    (
        "smallest |f|",
        "The class is the one with the smallest |f|, the second largest logit. The nearest boundary has the smallest "
        "|f| / |w|: use the distances.",
        _steps(_behind),
    ),
    (
        "class of Linf",
        "The class is the one whose boundary is the nearest in Linf. Choose it in the norm that is asked "
        "for: distances(logits, gradients, norm).",
        _of_the_other_norm,
    ),
    (
        "farthest",
        "The steps lead to the farthest boundary that is not infinitely far. Take the smallest distance.",
        _steps(lambda far, f, own: far.nan_to_num(posinf=-1).argmax(1)),
    ),
    (
        "gradient of one class",
        "The step follows class l's own gradient. Follow w_l, its difference from the gradient of k0: k0 loses as well.",
        _own_gradient,
    ),
    (
        "unit step",
        "The steps have length 1, whatever the distance. Multiply the direction by the distance to the boundary.",
        _steps(turn=lambda r, f, w, norm: w / _norms(w, 2)),
    ),
)
STEP_LINF_SLIPS = (
    (
        "norm unused",
        "For Linf the step is the one for L2. Look at the argument norm: |f| / (L1 norm of w), times the sign of w.",
        lambda case: shortest_step(case.but(norm="L2")),
    ),
    (
        "class of L2",
        "For Linf the class is the one whose boundary is the nearest in L2. Choose it in the norm that is asked for: "
        "distances(logits, gradients, norm).",
        _of_the_other_norm,
    ),
    (
        "no sign",
        "For Linf the step is a multiple of w. Every pixel moves by the same amount: take the sign of w.",
        _steps(turn=lambda r, f, w, norm: f.abs() / _norms(w, 1) * w),
    ),
    (
        "not the dual norm",
        "For Linf the length is not |f| over the L1 norm of w. The sign step gains the sum of all |w|: divide by that, once.",
        _steps(turn=lambda r, f, w, norm: f.abs() / _norms(w, torch.inf) * w.sign()),
    ),
    (
        "norm squared for Linf",
        "For Linf the norm is squared as for L2. The sign has no length to take out: divide by the L1 norm once.",
        _steps(turn=lambda r, f, w, norm: f.abs() / _norms(w, 1) ** 2 * w.sign()),
    ),
)


def takes_faint_gradients(definition: Callable[[Case], Tensor]) -> Callable[[Student, Draw], None]:
    """Where gradients are 10 000 times as faint, the numbers are still those of `definition`, in both norms."""

    def ask(student, draw):
        for norm in ("L2", "Linf"):
            case = student.task.case(draw, norm=norm)
            case = case.but(gradients=1e-4 * case["gradients"])
            if not near(student(case), definition(case)).all():
                told = (
                    f"With gradients 10 000 times as faint the numbers are no longer those of the formula (norm {norm}). Is a "
                    "number added to a norm, or a norm bounded below, so that nothing is divided by 0? Take a far smaller one."
                )
                raise Finding("faint gradients", told)

    return ask


def moves_at_all(student: Student, draw: Draw) -> None:
    """A step towards the own class would be none."""
    case = student.task.case(draw)
    if (student(case) == 0).all():
        told = "All steps are 0. Is the nearest class k0 itself, at distance 0? Leave it out: its distance is infinite."
        raise Finding("no step", told)
