"""Checks 1, 2, 3, 5, 6, 7 and 14: whether the attack made the effort that its budget allows."""

import torch

from advcourse.attacks import APGD, FGSM, PGD, RFGSM
from advcourse.evaluation.audit.findings import Finding, light_of
from advcourse.evaluation.audit.remedies import stronger
from advcourse.evaluation.audit.scene import Probe, Scene, by_effect

_DRAWS, _MANY_DRAWS = 100, 1000  # of noise, for each image
_FLAT = 0.05  # how much of its clean margin an image may still lose when the steps are doubled


def single_step(scene: Scene) -> Finding:
    """Check 1: one step of the gradient, from the image and from a random point beside it."""
    eps, seed = scene.eps, scene.seed
    if scene.norm == "Linf":
        tried = [FGSM(eps), RFGSM(eps, alpha=eps / 2, seed=seed)]
    else:
        steps = {"steps": 1, "alpha": eps, "norm": "L2"}
        tried = [PGD(eps, random_start=False, **steps), PGD(eps, seed=seed, **steps)]
    good = "A single step fools {fallen} of the {left} images that the attack left."
    bad = "A single step fools {fallen} images that the attack left: its many steps lead nowhere, or it takes too few."
    return by_effect(scene, "1", [scene.probe(one) for one in tried], good, bad, stronger(scene))


def smaller_budgets(scene: Scene) -> Finding:
    """Check 2: the same attack with a part of its budget may not fool what it leaves with the whole."""
    subject = scene.subject
    if not subject.has("eps"):
        return Finding("2", "grey", _FIXED.format("eps"))
    shares = [k / 10 for k in range(1, 10)] if scene.full else [0.5, 0.8]
    whole = subject.value("eps")
    tried = [scene.again(subject.varied(eps=share * whole)) for share in shares]
    good = "With a smaller budget the attack fools {fallen} of the {left} images that it left."
    bad = (
        "With a smaller budget the attack fools {fallen} images that it leaves with the whole: it overshoots."
    )
    return by_effect(scene, "2", tried, good, bad, stronger(scene))


_FIXED = "The attack has no setting {} that could be changed."


def huge_budget(scene: Scene) -> Finding:
    """Check 3: with a budget of half the pixels' range every image can be grey, so no more than one class can be left."""
    subject, x = scene.subject, scene.x
    if subject.minimum_norm:
        fooled, text, limit = scene.fools(scene.outcome.images, slice(None)), "any size", 0
        passes = 0
    elif not subject.has("eps"):
        return Finding("3", "grey", _FIXED.format("eps"))
    else:
        # in units of the claim, so that an attack that misunderstands its unit still does
        reach = 0.5 if scene.norm == "Linf" else 0.5 * x[0].numel() ** 0.5
        subject = subject.varied(eps=subject.value("eps") * reach / scene.eps)
        outcome = subject.run(scene.model, x, scene.y)
        fooled, passes, text = scene.fools(outcome.images, slice(None)), outcome.passes, subject.text
        limit = int(scene.y.bincount().max())
    left = scene.right & ~fooled
    beyond = max(0, int(left.sum()) - limit)
    light = light_of(beyond, scene.n)
    numbers = {"left": int(left.sum()), "at most": limit}
    sentence = (
        f"With {'no' if subject.minimum_norm else 'a huge'} budget the attack leaves {int(left.sum())} images"
    )
    if light == "green":
        return Finding("3", light, f"{sentence}, of at most {limit}.", (text,), numbers, passes=passes)
    sentence += (
        f", where a constant answer would leave {limit}: the attack fails even where nothing can resist."
    )
    index = left.nonzero().squeeze(1)
    images = scene.outcome.images[index] if subject.minimum_norm else outcome.images[index]
    return Finding(
        "3", light, sentence, (text,), numbers, scene.witnesses(index, images), stronger(scene), passes
    )


def noise(scene: Scene) -> Finding:
    """Check 5: random changes of the same size, half of them with every value at the border."""
    index = scene.left.nonzero().squeeze(1)
    draws = _MANY_DRAWS if scene.full else _DRAWS
    generator = torch.Generator().manual_seed(scene.seed)
    x, images = scene.x[index], scene.x[index].clone()
    done, passes = torch.zeros_like(index, dtype=torch.bool), 0
    for draw in range(draws if len(index) else 0):
        drawn = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)
        if scene.norm == "L2":
            step = drawn / drawn.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        else:
            step = drawn.sign() if draw % 2 else torch.special.ndtr(drawn) * 2 - 1
        moved = (x + scene.eps * step)[~done].clamp(0, 1)
        fooled = scene.fools(moved, index[~done])
        passes += len(moved)
        images[~done] = torch.where(fooled.view(-1, 1, 1, 1), moved, images[~done])
        done[~done] = fooled
        if done.all():
            break
    probe = scene.tried(f"random noise, {draws} draws", index, images, passes)
    good = "Random noise of this size fools {fallen} of the {left} images that the attack left."
    bad = "Random noise of the same size fools {fallen} images that the attack left, which no right attack would leave."
    return by_effect(scene, "5", [probe], good, bad, stronger(scene))


def more_effort(scene: Scene) -> Finding:
    """Check 6: twice the steps, twice the restarts or another seed, and a search that chooses its steps by itself."""
    subject, tried, dead = scene.subject, [], ""
    still = None
    if subject.has("steps") and subject.value("steps"):
        tried.append(scene.again(subject.varied(steps=2 * subject.value("steps"))))
        still = _moves(scene, tried[0])
    restarts = subject.value("restarts")
    if subject.has("restarts") and isinstance(restarts, int) and subject.value("random_start") is not False:
        tried.append(scene.again(subject.varied(restarts=2 * restarts)))
        if restarts > 1:
            dead = _dead(scene, restarts)
    elif subject.has("seed"):
        tried.append(scene.again(subject.varied(seed=subject.value("seed") + 1)))
    search = {"steps": 100 if scene.full else 50, "restarts": 5 if scene.full else 1}
    tried.append(scene.probe(APGD(scene.eps, norm=scene.norm, seed=scene.seed, **search)))
    good = "More steps and starts fool {fallen} of the {left} images that the attack left."
    bad = "More steps and starts fool {fallen} images that the attack left, so it was stopped too early, or it is stuck."
    if dead:
        good = bad = dead + " " + good
    elif still:
        good = bad = f"{still} {good}"
    remedy, least = stronger(scene, 2 if dead else 1), "amber" if dead or still else "green"
    return by_effect(scene, "6", tried, good, bad, remedy, least)


def _moves(scene, probe):
    """Return a sentence if doubling the steps still lowers the margins of what is left; None if not, or if unknown."""
    if scene.random or scene.abstains or not len(probe.index):
        return None
    from_clean, before, after = (
        scene.margins(images, probe.index)
        for images in (scene.x[probe.index], scene.outcome.images[probe.index], probe.images)
    )
    lost = ((before - after) / from_clean.clamp_min(1e-12)).mean().item()
    return f"Doubling the steps takes another {lost:.0%} of the clean margin." if lost > _FLAT else None


def _dead(scene, restarts):
    """Return a sentence if one run alone gives the same images, bit by bit; "" otherwise."""
    one, several = (scene.again(scene.subject.varied(restarts=number)) for number in (1, restarts))
    if len(one.index) < 2 or not torch.equal(one.images, several.images):
        return ""
    return "The restarts are dead: a single run gives the same images, bit by bit."


def per_image(scene: Scene) -> Finding:
    """Check 7, after all others: the minimum over everything that was tried, beside the strongest single run."""
    minimum, single = int(scene.minimum.sum()), min(scene.runs)
    gap = single - minimum
    light = "green" if light_of(gap, scene.n) == "green" else "amber"
    numbers = {"left by the strongest single run": single, "left by all together": minimum}
    sentence = f"The strongest single run leaves {single} of {scene.n} images, all runs together {minimum}."
    if light == "green":
        return Finding("7", light, sentence, (), numbers)
    sentence += " Report the minimum, image by image: no single run is the worst for every image."
    return Finding("7", light, sentence, (), numbers, remedy="attack = audited.images")


def other_loss(scene: Scene) -> Finding:
    """Check 14: a loss that no rescaling changes, and shorter and longer steps."""
    subject, steps = scene.subject, 100 if scene.full else 50
    tried: list[Probe] = [
        scene.probe(APGD(scene.eps, loss="dlr", norm=scene.norm, steps=steps, seed=scene.seed))
    ]
    if subject.has("alpha") and subject.has("steps") and subject.value("steps"):
        alpha = subject.value("alpha") or 2.5 * (subject.value("eps") or scene.eps) / subject.value("steps")
        tried += [scene.again(subject.varied(alpha=share * alpha)) for share in (0.25, 4)]
    few = " The model has fewer than four classes, so the difference of two logits stood in for the DLR loss."
    few = few if scene.classes < 4 else ""
    good = (
        "Another loss, and other step sizes, fool {fallen} of the {left} images that the attack left." + few
    )
    bad = "Another loss or step size fools {fallen} images that the attack left." + few
    return by_effect(scene, "14", tried, good, bad, stronger(scene))
