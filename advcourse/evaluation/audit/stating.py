"""Checks 8, 15, 16 and 18: whether what has to be said beside a robust accuracy is said."""

import platform

import torch
from torch import Tensor
from torch.nn import functional

from advcourse.core.identity import code_digest, digest, identity, is_fresh
from advcourse.core.inputs import predict
from advcourse.core.intervals import counted, printed
from advcourse.core.rounding import percent
from advcourse.evaluation.audit.findings import Finding, light_of
from advcourse.evaluation.audit.remedies import smaller
from advcourse.evaluation.audit.scene import Scene
from advcourse.metrics import median_with_failures

_GREY = 0.5  # in L-infinity: here every image can be uniformly grey
_HARM = 0.2  # of the images, which small changes of another kind may cost


def clean(scene: Scene) -> Finding:
    """Check 8: the share of clean images that are read rightly, and of those that are flagged."""
    n, right = scene.n, int(scene.right.sum())
    numbers = {"read rightly": right, "of": n}
    sentence = f"Without an attack the model reads {printed(counted(right, n))} rightly."
    if scene.abstains:
        flagged = int(scene.flagged.sum())
        numbers["flagged"] = flagged
        sentence += f" It flags {flagged} clean images, which count as errors."
    remedy = "x, y = dataset.pick(len(x), seed=0)  # images and labels of one draw"
    index = (~scene.right).nonzero().squeeze(1)
    shown = scene.witnesses(index, scene.x[index])
    if right < n / 2:
        sentence += " A robust accuracy means nothing below that: look at the labels, and at the model."
        return Finding("8", "red", sentence, (), numbers, shown, remedy)
    if scene.known is not None:
        other = int((predict(scene.known, scene.x).argmax(1) == scene.y).sum())
        numbers["read rightly by an undefended network"] = other
        if light_of(other - right, n) == "red" and other - right > 0.1 * n:
            sentence += f" An undefended network reads {other - right} more: the defense costs that much."
            return Finding("8", "amber", sentence, (), numbers, shown)
    return Finding("8", "green", sentence, (), numbers)


def sizes(scene: Scene) -> Finding:
    """Check 15: a distance for attacks without a budget, and a budget that leaves the true class visible."""
    eps = scene.eps
    if scene.subject.minimum_norm:
        fooled = scene.fools(scene.outcome.images, slice(None))[scene.right]
        size = scene.sizes(scene.outcome.images, slice(None))[scene.right]
        median = median_with_failures(size, fooled) if len(size) else float("nan")
        sentence = f"The median of the smallest changes is {median:.3g} in {scene.norm}, failures counted as infinite."
        return Finding("15", "green", sentence, (), {"median": median})
    if scene.norm == "Linf":
        limit, why = _GREY, "at which every image can be grey"
    else:
        limit, why = (
            _nearest_other(scene.x, scene.y),
            "the median distance to the nearest image of another class",
        )
    numbers = {"eps": eps, "limit": limit}
    if eps >= limit:
        sentence = f"The budget {eps:g} is not below {limit:.3g}, {why}: nobody could tell the true class."
        return Finding("15", "red", sentence, (), numbers, remedy=smaller(scene, limit / 2))
    return Finding("15", "green", f"The budget {eps:g} is below {limit:.3g}, {why}.", (), numbers)


def _nearest_other(x, y):
    """Return the median over the images of the L2 distance to the nearest image of another class; infinity for one class."""
    distance = torch.cdist(x.flatten(1).double(), x.flatten(1).double())
    distance[y.unsqueeze(0) == y.unsqueeze(1)] = torch.inf
    return distance.amin(1).median().item()


def other_changes(scene: Scene) -> Finding:
    """Check 16: small turns, shifts and noise. They lie outside the ball, so they don't enter the minimum."""
    if min(scene.x.shape[2:]) < 8:
        return Finding("16", "grey", "What is no picture cannot be turned or shifted.")
    numbers, worst = {}, scene.right.clone()
    for name, images in changed(scene.x, scene.seed).items():
        right = ~scene.fools(images, slice(None)) & scene.right
        numbers[name] = int(right.sum())
        worst &= right
    lost = int(scene.right.sum() - worst.sum())
    share = percent(lost / max(1, int(scene.right.sum())))
    sentence = f"Small turns, shifts and noise, outside of the threat model, cost {lost} images ({share} of those read rightly)."
    light = "amber" if lost > _HARM * scene.n else "green"
    if light == "amber":
        sentence += " Say so beside the robust accuracy."
    return Finding("16", light, sentence, tuple(numbers), numbers | {"all together": int(worst.sum())})


def changed(x: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """Return the images (N, C, H, W) after small changes that no budget of pixels holds: name -> images."""
    images = {}
    for degrees in (-10, 10):
        images[f"turned by {degrees} degrees"] = _turned(x, degrees)
    for rows, columns in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        moved = functional.pad(x, (1, 1, 1, 1), mode="replicate")
        moved = moved[:, :, 1 + rows : 1 + rows + x.shape[2], 1 + columns : 1 + columns + x.shape[3]]
        images[f"shifted by ({rows}, {columns})"] = moved
    drawn = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(x)
    return images | {"noise of 0.1": (x + 0.1 * drawn).clamp(0, 1)}


def _turned(x, degrees):
    angle = torch.deg2rad(torch.tensor(float(degrees), dtype=x.dtype, device=x.device))
    cosine, sine = angle.cos(), angle.sin()
    ratio = x.shape[2] / x.shape[3]
    zero = torch.zeros_like(cosine)
    matrix = torch.stack([cosine, -sine * ratio, zero, sine / ratio, cosine, zero]).view(1, 2, 3)
    places = functional.affine_grid(matrix.expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return functional.grid_sample(x, places, align_corners=False, padding_mode="border").clamp(0, 1)


def stated(scene: Scene) -> tuple[Finding, dict[str, str]]:
    """Check 18: threat model, settings, seeds and hardware, which the audit writes down; and what it can't know."""
    subject = scene.subject
    keys = {"model": identity(scene.model, quiet=True), "attack": identity(subject.attack, quiet=True)}
    facts = {
        "threat model": f"{scene.norm} <= {scene.eps:g}",
        "attack": subject.text,
        "audit's seed": str(scene.seed),
        "model": _key(keys["model"]),
        "attack's key": _key(keys["attack"]),
        "images": _key(digest((scene.x, scene.y))),
        "code": _key(code_digest()),
        "torch": torch.__version__,
        "Python": platform.python_version(),
        "device": scene.x.device.type,
        "processor": platform.machine(),
    }
    if subject.kind == "images":
        sentence = (
            "The images were handed over ready made: nothing says with which attack, budget, seed and model."
        )
        return Finding("18", "amber", sentence, remedy="attack = APGD(eps=eps)"), facts
    if subject.kind == "function" and not subject.settings():
        sentence = "The function has no settings of its own that could be stated. The rest stands at the end."
        return Finding("18", "green", sentence), facts
    return Finding(
        "18", "green", "Threat model, settings, seeds, model, images and versions stand at the end."
    ), facts


def _key(key):
    return "can't be told apart" if not key or is_fresh(key) else key[:12]
