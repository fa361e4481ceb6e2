"""The nearest boundary: distances, the shortest step and DeepFool as the judge computes them, and slips known by results."""

import torch

from advcourse.labs import definitions as by_hand
from advcourse.labs.checks import picture
from advcourse.labs.properties import agree, same_as
from advcourse.labs.verdicts import Finding


def jacobian(case, x):
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


def distances(case):
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


def _step(logits, gradients, own, norm):
    """The shortest way (N, C, H, W) to the nearest boundary of the linear model with these logits and gradients."""
    far, f, w = _ways(logits, gradients, own, norm)
    return _towards(far.argmin(1), f, w, norm)


def _towards(l, f, w, norm):
    rows = torch.arange(len(l))
    size, way = _dual(w, norm)[rows, l], w[rows, l]
    length = f[rows, l].abs()
    factor = length / (size**2 if norm == "L2" else size)
    return factor.view(-1, 1, 1, 1) * (way if norm == "L2" else way.sign())


def shortest_step(case):
    return _step(*_given(case), case["norm"])


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


def moves_at_all(student, draw):
    """A step towards the own class would be none."""
    case = student.task.case(draw)
    if (student(case) == 0).all():
        told = "All steps are 0. Is the nearest class k0 itself, at distance 0? Leave it out: its distance is infinite."
        raise Finding("no step", told)


# DeepFool


def deepfool(case, **slip):
    """DeepFool with the settings of the case; what differs in a `slip`: see DEEPFOOL_SLIPS."""
    x, steps, norm = by_hand.clean(case), case["steps"], case["norm"]
    eta = slip.get("overshoot", case["overshoot"])
    own = case.labels if slip.get("label") else by_hand.most_likely(case)
    x_i, total = x, torch.zeros_like(x)
    for _ in range(steps):
        logits, gradients = jacobian(case, x_i)
        at = logits.argmax(1) if slip.get("new class") else own
        going = logits.argmax(1) == at
        if slip.get("together") == "all":  # until every image is fooled, all of them move
            going = going.any().expand(len(x))
        elif slip.get("together") == "any":  # one is fooled: all stop
            going = going.all().expand(len(x))
        elif slip.get("no stop"):
            going = torch.ones(len(x), dtype=torch.bool)
        r = torch.where(going.view(-1, 1, 1, 1), _step(logits, gradients, at, norm), 0)
        total = (
            (total + r) * torch.where(going, 1 + eta, 1).view(-1, 1, 1, 1)
            if slip.get("compounds")
            else total + r
        )
        x_i = x + (1 if slip.get("compounds") else 1 + eta) * total
        if slip.get("clips") == "each":
            x_i = x_i.clamp(0, 1)
        if slip.get("forgets"):
            total = torch.zeros_like(x)
    if slip.get("returns last"):
        return x_i
    fooled = by_hand.logits(case, x_i).argmax(1) != own
    return torch.where(fooled.view(-1, 1, 1, 1), x_i, x)


def _deepfool(**slip):
    """The test of a slip, whether or not the answer gives back the clean image where it fails."""

    def test(case, images):
        last = deepfool(case, **slip, **{"returns last": True})
        return agree(images, deepfool(case, **slip)) or agree(images, last)

    return test


DEEPFOOL_SLIPS = (
    (
        "label",
        "Images that the model reads wrongly come back unchanged: k0 is the label y. It must be the class that the model "
        "predicts for x.",
        _deepfool(label=True),
    ),
    (
        "returns last",
        "Where no step has changed the class, the last image comes back. It fools nobody: return the clean image there.",
        same_as(lambda case: deepfool(case, **{"returns last": True})),
    ),
    (
        "overshoot compounds",
        "The overshoot is applied to the sum, and the sum that holds it is used again: it grows with each step. Keep "
        "the sum of the bare steps; x_i = x + (1 + overshoot) * sum.",
        _deepfool(compounds=True),
    ),
    (
        "does not stop",
        "The steps go on after the class has changed. An image that is fooled stays as it is.",
        _deepfool(**{"no stop": True}),
    ),
    (
        "waits for all",
        "Images that are fooled go on moving until the last one of the batch is. Each stops for itself: torch.where.",
        _deepfool(together="all"),
    ),
    (
        "stops with the first",
        "The batch stops as soon as one image is fooled. The others go on.",
        _deepfool(together="any"),
    ),
    (
        "new class",
        "k0 is taken anew at each x_i, so that no image is ever done: it walks to and fro across boundaries. k0 is fixed at x.",
        _deepfool(**{"new class": True}),
    ),
    (
        "clips",
        "Pixels are clipped to [0, 1], which takes the images back before the boundary. DeepFool measures how near the "
        "boundary is, and knows no box: leave the clip to whoever needs an image.",
        lambda case, images: (
            _deepfool(clips="each")(case, images) or agree(images, deepfool(case).clamp(0, 1))
        ),
    ),
    (
        "norm unused",
        "The steps are those of the other norm. Hand the argument norm on to shortest_step.",
        lambda case, images: _deepfool()(case.but(norm="L2" if case["norm"] == "Linf" else "Linf"), images),
    ),
)


def passes_the_boundary(student, draw):
    """On a linear model one step ends behind the boundary by the overshoot: a closed form. A large overshoot shows itself."""
    eta = draw.number(0.2, 0.4)
    case = student.task.case(draw, "linear", n=8, grey=True, overshoot=eta, steps=2)
    images, x = student(case), by_hand.clean(case)
    step = ((deepfool(case) - x) / (1 + eta)).flatten(1)
    share = ((images - x).flatten(1) * step).sum(1) / step.square().sum(1)
    reached = (share - 1).abs() < 0.02
    if reached.any() and (reached | (share.abs() < 0.02)).all():
        told = (
            "Images end on the boundary, at 1.00 times the way to it, or come back unchanged. The overshoot takes them "
            f"behind it: to 1 + overshoot times the way, here {1 + eta:.3f}."
        )
        raise Finding("overshoot unused", told, picture(case, images, int(reached.nonzero()[0])))


def adds_up(student, draw):
    """An image that needs two steps, alone: both count."""
    case = student.task.case(draw, **{**CURVED, "n": 96})
    case = case.but(x=0.25 + 0.5 * case["x"])  # so far inside that no clip matters
    x = by_hand.clean(case)
    once, twice = ((deepfool(case.but(steps=n)) != x).flatten(1).any(1) for n in (1, 2))
    for i in (twice & ~once).nonzero().flatten().tolist():
        one = case.image(i)
        one = one.but(y=by_hand.most_likely(one))  # whoever leaves the label is told so elsewhere
        images = student(one)
        if not same_as(deepfool)(one, images) and _deepfool(forgets=True)(one, images):
            told = (
                "An image that needs two steps gets nowhere: each step starts from x again, and the earlier ones are "
                "lost. Add it to the sum of all steps so far."
            )
            raise Finding("forgets the sum", told, picture(one, images, 0))


CURVED = {"n": 24, "shape": (1, 6, 6), "overshoot": 0.1}  # some images need one step, others two or three
