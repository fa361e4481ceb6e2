"""Checks 4 and 9 to 13: other attacks, other targets, and other models than the audited one."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from torch import Tensor, nn

from advcourse.attacks import APGD, EOT, PGD, Attack, Square, Transfer
from advcourse.core.inputs import InputError, ask, predict
from advcourse.core.randomness import seeded
from advcourse.evaluation.audit.findings import Finding, light_of
from advcourse.evaluation.audit.remedies import ensemble, stronger
from advcourse.evaluation.audit.scene import Scene, Unflagged, by_effect
from advcourse.evaluation.audit.subject import Outcome, Subject

_DRAWS = 10  # of EOT
_QUERIES, _MANY_QUERIES = 500, 5000  # of Square


class Scaled(nn.Module):
    """A model whose logits are multiplied by `factor`: the same decisions, and a softmax that is certain of each."""

    def __init__(self, model: nn.Module, factor: float = 100.0):
        super().__init__()
        self.model, self.factor = model, factor

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, K) of the images."""
        return self.factor * ask(self.model, x)


class Frozen(nn.Module):
    """A model that draws the same random numbers in each pass."""

    def __init__(self, model: nn.Module, seed: int):
        super().__init__()
        self.model, self.seed = model, seed

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, K) of the images."""
        with seeded(x.device, self.seed):
            return ask(self.model, x)


def without_gradient(scene: Scene) -> Finding:
    """Check 4: images carried over from another network, and a random search that sees logits alone."""
    eps, norm, seed = scene.eps, scene.norm, scene.seed
    queries, tried = _MANY_QUERIES if scene.full else _QUERIES, []
    if scene.known is not None:
        carried = PGD(eps, steps=20, norm=norm, seed=seed)
        tried.append(scene.probe(carried, on=scene.known, text=repr(Transfer(carried, scene.known))))
    tried.append(scene.probe(Square(eps, norm=norm, queries=queries, seed=seed)))
    good = "Without a gradient {fallen} of the {left} images fall that the attack left."
    bad = (
        "Without a gradient {fallen} images fall that the attack left: its gradient leads astray, or it follows it too "
        "briefly."
    )
    return by_effect(scene, "4", tried, good, bad, ensemble(scene))


def targets(scene: Scene) -> Finding:
    """Check 9: an attack that aims at a class fails where it reaches another one, or where its target is far away."""
    subject, eps = scene.subject, scene.eps
    if not subject.targeted:
        if subject.kind != "attack" and not scene.full:
            return Finding(
                "9",
                "grey",
                "A function or images don't say whether they aim at a class; any wrong one counts.",
            )
        if not scene.full:
            sentence = 'The attack is untargeted, and any wrong class counts. (The profile "full" aims at each class, too.)'
            return Finding("9", "green", sentence)
        aimed = APGD(eps, loss="dlr", targets=scene.classes - 1, norm=scene.norm, seed=scene.seed)
        good = "Aimed at each class, an attack fools {fallen} of the {left} images that were left."
        return by_effect(scene, "9", [scene.probe(aimed)], good, good, stronger(scene))
    reached = scene.answers(scene.outcome.images) == scene.outcome.target
    away = scene.fools(scene.outcome.images, slice(None)) & ~reached & scene.right
    free = scene.probe(APGD(eps, norm=scene.norm, steps=50, seed=scene.seed))
    numbers = {
        "reach their target": int((reached & scene.right).sum()),
        "end in another class": int(away.sum()),
    }
    said = (
        f"The attack aims at a class: {numbers['reach their target']} images reach it, {numbers['end in another class']} end "
        "in another wrong one. "
    )
    good = said + "An untargeted attack fools {fallen} of the {left} images that are left."
    bad = (
        said
        + "An untargeted attack fools {fallen} of those left. That an image does not become its target does not make it robust."
    )
    found = by_effect(scene, "9", [free], good, bad, stronger(scene))
    return replace(found, numbers={**numbers, **found.numbers})


def randomness(scene: Scene, handed_random: bool) -> Finding:
    """Check 10: against a model that draws random numbers, the mean over draws; and the same draws again and again.

    Args:
        scene: the scene.
        handed_random: whether the model, in the mode in which it was handed over, answers differently each time.
    """
    if not scene.random:
        if handed_random:
            sentence = (
                "In the mode in which it was handed over, the model draws random numbers (dropout, say)."
            )
            return Finding("10", "amber", sentence, remedy="model = model.eval()")
        return Finding("10", "grey", "The model answers the same each time.")
    averaged = APGD(scene.eps, norm=scene.norm, steps=20, seed=scene.seed)
    probe = scene.probe(
        averaged, on=EOT(scene.victim, _DRAWS), text=repr(Transfer(averaged, partial(EOT, draws=_DRAWS)))
    )
    averages = scene.subject.averages(scene.model)
    good = "An attack on the mean of ten draws fools {fallen} of the {left} images that were left."
    bad = (
        good if averages else f"The model draws random numbers, which the attack does not average out. {good}"
    )
    found = by_effect(scene, "10", [probe], good, bad, stronger(scene), "green" if averages else "amber")
    frozen = Frozen(scene.model, scene.seed)
    index = scene.right.nonzero().squeeze(1)
    if len(index) and not probe.error:
        images = averaged(
            Unflagged(frozen, scene.x, scene.y) if scene.abstains else frozen, scene.x[index], scene.y[index]
        )
        left = (predict(frozen, images).argmax(1) == scene.y[index]).sum()
        numbers = {**found.numbers, "left with the same draws in every pass": int(left)}
        found = replace(found, numbers=numbers)
    return found


def straight_gradient(scene: Scene) -> Finding:
    """Check 11: an attack through the caller's `straight` version of the model."""
    if scene.straight is None:
        if scene.gradient_is_dead:
            sentence = (
                "No useful gradient reaches the images, and no `straight` version of the model was given."
            )
            return Finding("11", "grey", sentence, remedy="straight = nn.Sequential(BPDA(part), rest)")
        return Finding("11", "grey", "No `straight` version of the model was given.")
    on = (
        Unflagged(scene.straight, scene.x, scene.y)
        if getattr(scene.straight, "abstains", False)
        else scene.straight
    )
    tried: list[Attack] = [APGD(scene.eps, norm=scene.norm, steps=50, seed=scene.seed)]
    probes = [scene.probe(one, on=on, text=f"{one!r} on straight") for one in tried]
    good = "Through the straight version {fallen} of the {left} images fall that the attack left."
    bad = "Through the straight version {fallen} images fall that the attack left: it does not see past the defense."
    return by_effect(scene, "11", probes, good, bad, stronger(scene))


def undefended(scene: Scene) -> tuple[Finding, Finding]:
    """Checks 12 and 13: the same attack on a network without a defense, and on that network with logits a hundredfold."""
    why = _no_ablation(scene)
    if why:
        return Finding("12", "grey", why), Finding("13", "grey", why)
    read = predict(scene.known, scene.x).argmax(1) == scene.y
    index = read.nonzero().squeeze(1)
    try:
        plain = _fooled(scene, scene.subject, scene.known, index)
        reference = APGD(scene.eps, norm=scene.norm, steps=20, seed=scene.seed)
        other = _fooled(scene, Subject(reference, scene.seed), scene.known, index)
        scaled = _fooled(scene, scene.subject, Scaled(scene.known), index)
    except Exception as error:  # an attack made for one defense may need parts that this network lacks
        why = f"The attack can't be run on an undefended network: {type(error).__name__}: {error}"
        return Finding("12", "grey", why), Finding("13", "grey", why)
    passes = plain[1].passes + other[1].passes
    twelve = _ablated(scene, plain[0], other[0], repr(reference), passes)
    lost = int((plain[0] & ~scaled[0]).sum())
    light = light_of(lost, scene.n)
    if light == "red" and not scene.saturates:
        light = "amber"
    sentence = f"With logits a hundredfold, {lost} images of an undefended network survive that fall without."
    if light != "green":
        sentence += " The attack's loss saturates" + (
            ", and the audited model's logits are large enough for it."
            if scene.saturates
            else "; here it does not yet matter."
        )
    remedy = stronger(scene) if light != "green" else None
    numbers = {
        "fooled": int(plain[0].sum()),
        "fooled with logits a hundredfold": int(scaled[0].sum()),
        "of": len(index),
    }
    return twelve, Finding(
        "13", light, sentence, (scene.subject.text,), numbers, (), remedy, scaled[1].passes
    )


def _no_ablation(scene):
    """Return why there is nothing to run the attack on; "" if there is."""
    if scene.known is None:
        return "No undefended network for such images is known; give one as `known`."
    if scene.subject.replays:
        return "The attack's images do not depend on the model."
    return ""


def _fooled(scene, subject, model, index) -> tuple[Tensor, Outcome]:
    outcome = subject.run(model, scene.x[index], scene.y[index])
    fooled = predict(model, outcome.images.clamp(0, 1)).argmax(1) != scene.y[index]
    return fooled & scene.inside(outcome.images, index), outcome


def _ablated(scene, own, other, reference, passes):
    spared = int((other & ~own).sum())
    light = light_of(spared, scene.n)
    numbers = {
        "fooled by the attack": int(own.sum()),
        "fooled by the reference": int(other.sum()),
        "of": len(own),
    }
    sentence = f"On an undefended network the attack spares {spared} of the {int(other.sum())} images that APGD fools there."
    remedy = stronger(scene) if light != "green" else None
    return Finding("12", light, sentence, (scene.subject.text, reference), numbers, (), remedy, passes)


def known_for(x: Tensor, y: Tensor, load: Callable[[str], nn.Module]) -> nn.Module | None:
    """Return a shipped undefended network that reads at least half of the images; None if there is none.

    Args:
        x, y: images and labels.
        load: the function that loads a shipped network by its name.
    """
    names = {(1, 28, 28): "mnist-cnn", (3, 32, 32): "signs-cnn"}
    name = names.get(tuple(x.shape[1:]))
    if name is None:
        return None
    model = load(name).to(x.device, x.dtype)
    try:
        right = predict(model, x).argmax(1) == y
    except InputError:
        return None
    return model if right.double().mean() >= 0.5 else None
