"""Check 17: what a gradient that misleads looks like."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from advcourse.core.inputs import InputError, ask, evaluating
from advcourse.core.randomness import seeded
from advcourse.evaluation.audit.elsewhere import Scaled
from advcourse.evaluation.audit.findings import Finding, light_of
from advcourse.evaluation.audit.remedies import stronger
from advcourse.evaluation.audit.scene import Scene, by_effect
from advcourse.metrics import margin

_SHARE = 0.01  # of the images
_NEAR = 0.01  # of eps: the small box in which the loss should be smooth
_BOX = 100  # draws in it


@dataclass(frozen=True)
class Slopes:
    """The gradients of n images: how many of them are of no use, and why.

    missing: "" or why there is no gradient at all. dead: (n,) bool, zero or not a number, of the true class's lead. saturated:
    (n,) bool, zero of the plain cross-entropy, though not of the lead. downhill: (n,) bool, where a tiny step along the
    gradient does not lower the lead. jumps: (n,) bool, where the lead varies in a tiny box as much as in one of a quarter of
    eps, or not at all.
    """

    missing: str
    dead: Tensor
    saturated: Tensor
    downhill: Tensor
    jumps: Tensor


def slopes(scene: Scene) -> Slopes:
    """Look at the gradient of what the attack differentiates, at the clean images that are read rightly."""
    index = scene.right.nonzero().squeeze(1)
    x, y = scene.x[index], scene.y[index]
    none = torch.zeros_like(index, dtype=torch.bool)
    model = scene.subject.seen(scene.model)
    try:
        with evaluating(model), torch.enable_grad():
            lead = _gradient(model, x, y, margin, scene.seed)
            plain = _gradient(model, x, y, _cross_entropy, scene.seed)
    except InputError as error:
        return Slopes(str(error), ~none, none, none, none)
    dead = _useless(lead)
    with evaluating(model), torch.no_grad():
        down, jumps = _tried(scene, model, x, y, lead)
    return Slopes("", dead, _useless(plain) & ~dead, down & ~dead, jumps)


def _cross_entropy(logits, y):
    return functional.cross_entropy(logits, y, reduction="none")


def _gradient(model: nn.Module, x, y, loss, seed):
    if not len(x):
        return x
    z = x.detach().clone().requires_grad_()
    with seeded(x.device, seed):
        values = loss(ask(model, z), y)
    gradient = torch.autograd.grad(values.sum(), z, allow_unused=True)[0]
    if gradient is None:
        raise InputError("model: no gradient reaches the images")
    return gradient


def _useless(gradient):
    largest = gradient.abs().flatten(1).amax(1) if len(gradient) else gradient.new_zeros(0)
    return (largest == 0) | ~torch.isfinite(largest)


def _tried(scene, model, x, y, gradient):
    """Return where a tiny step along the gradient does not lower the lead, and where the lead is rough in a tiny box."""
    if not len(x):
        return torch.zeros_like(y, dtype=torch.bool), torch.zeros_like(y, dtype=torch.bool)

    def lead(z):
        with seeded(x.device, scene.seed):
            return margin(ask(model, z.clamp(0, 1)), y)

    step = _NEAR * scene.eps * gradient.nan_to_num(0, 0, 0).sign()
    if scene.norm == "L2":
        step = step / x[0].numel() ** 0.5
    begin = lead(x)
    down = lead(x - step) >= begin
    generator = torch.Generator().manual_seed(scene.seed)
    near, far, draws = [], [], _BOX if scene.full else 20
    for _ in range(draws):
        u = (torch.rand(x.shape, generator=generator, dtype=torch.float64) * 2 - 1).to(x)
        u = u * scene.eps / (x[0].numel() ** 0.5 if scene.norm == "L2" else 1)
        near.append(lead(x + _NEAR * u))
        far.append(lead(x + u / 4))
    spread, wide = torch.stack(near).std(0), torch.stack(far).std(0)
    # Where a function is smooth, a box of 1/25 of the width has about 1/25 of the spread.
    return down, (spread > 0.5 * wide) | (spread == 0)


def gradient(scene: Scene, seen: Slopes) -> Finding:
    """Check 17. `seen`: what `slopes` found."""
    n = int(scene.right.sum())
    if not n:
        return Finding("17", "grey", "No image is read rightly, so there is no gradient to look at.")
    counts = {
        "no use": int(seen.dead.sum()),
        "vanish in the cross-entropy": int(seen.saturated.sum()),
        "lead downhill": int(seen.downhill.sum()),
        "rough or flat": int(seen.jumps.sum()),
    }
    if seen.missing:
        sentence = f"No gradient reaches the images, so nothing that follows one can work. ({seen.missing})"
        return Finding("17", "red", sentence, (), counts, remedy=stronger(scene))
    if counts["no use"] > max(1, _SHARE * n):
        sentence = f"The gradient is exactly zero or not a number for {counts['no use']} of {n} images: it shows no way."
        return Finding("17", "red", sentence, (), counts, remedy=stronger(scene))
    rescaled = _rescaled(scene)
    if rescaled is not None and rescaled.light == "red":
        return rescaled
    if counts["vanish in the cross-entropy"] > max(1, _SHARE * n):
        # The library's losses don't saturate, and where rescaling changed nothing, neither does the function's.
        stable = scene.subject.kind == "attack" or rescaled is not None or not scene.left.any()
        sentence = (
            f"The plain cross-entropy's gradient vanishes for {counts['vanish in the cross-entropy']} of {n} images, since the "
            "softmax is certain. "
        )
        sentence += (
            "That does not stop this attack." if stable else "An attack that climbs it sees nothing there."
        )
        return Finding("17", "amber" if stable else "red", sentence, (), counts, remedy=stronger(scene))
    odd = max(counts["lead downhill"], counts["rough or flat"])
    if light_of(odd, n) != "green" and odd > 0.2 * n:
        sentence = (
            f"A tiny step along the gradient does not help for {counts['lead downhill']} of {n} images, and the loss is rough "
            f"or flat nearby for {counts['rough or flat']}."
        )
        return Finding("17", "amber", sentence, (), counts, remedy=stronger(scene))
    return Finding("17", "green", f"The gradient is finite and leads uphill for {n} images.", (), counts)


def _rescaled(scene):
    """Return the finding of running a function on the same model with logits divided by 100, which changes no decision."""
    if scene.subject.kind != "function" or scene.random or not scene.left.any():
        return None
    index = scene.left.nonzero().squeeze(1)
    try:
        outcome = scene.subject.run(Scaled(scene.model, 0.01), scene.x[index], scene.y[index])
    except Exception:  # a function that was made for one defense may need its parts
        return None
    probe = scene.tried(
        f"{scene.subject.text} on logits divided by 100", index, outcome.images, outcome.passes
    )
    bad = "On the same model with logits divided by 100 the attack fools {fallen} more images: its loss saturates."
    return by_effect(scene, "17", [probe], bad, bad, stronger(scene))
