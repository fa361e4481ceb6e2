"""Check 0: box, budget, labels, mode and logits are as they should be, success is counted again, and the budget is used."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from advcourse.core.inputs import ask
from advcourse.core.randomness import seeded
from advcourse.evaluation.audit.findings import Finding, light_of
from advcourse.evaluation.audit.remedies import stronger
from advcourse.evaluation.audit.scene import Scene


def box(x: Tensor) -> Finding | None:
    """Return the finding for clean images (N, C, H, W) outside [0, 1], after which nothing else makes sense; None if inside."""
    low, high = x.min().item(), x.max().item()
    if low >= 0 and high <= 1:  # NaN fails, too
        return None
    sentence = f"The images lie in [{low:.4g}, {high:.4g}], where the model's contract and every budget assume [0, 1]."
    span = high - low
    if not (span > 0 and span < float("inf")):
        return Finding("0", "red", "The images have pixels that are no numbers, or infinite.")
    remedy = (
        f"x, model = ((x - {low!r}) / {span!r}).clamp(0, 1), nn.Sequential(transforms.Normalize([{-low / span!r}], "
        f"[{1 / span!r}]), model)"
    )
    return Finding("0", "red", sentence, numbers={"lowest": low, "highest": high}, remedy=remedy)


def contract(scene: Scene, silent: Tensor) -> Finding:
    """Check 0. `silent` (N,) bool: which images were misread on the way, inside of the ball, and are read rightly in the end."""
    problems, numbers, witnesses = [], {}, ()
    outcome, whole = scene.outcome, slice(None)
    pixels = outcome.images.flatten(1)
    outside = ~((pixels.amin(1) >= -1e-6) & (pixels.amax(1) <= 1 + 1e-6))  # NaN is outside
    if outside.any():
        numbers["images outside the box"] = int(outside.sum())
        problems.append((f"{int(outside.sum())} attacked images leave [0, 1]", _projected(scene)))
    sizes = scene.sizes(outcome.images, whole)
    large = ~outside & (sizes > scene.eps * (1 + 1e-4) + 1e-6)
    if large.any() and not scene.subject.minimum_norm:
        numbers |= {"images beyond the budget": int(large.sum()), "largest change": sizes.max().item()}
        problem = f"{int(large.sum())} changes are larger than eps {scene.eps:g}, the largest {sizes.max().item():.3g}"
        problems.append((problem, _projected(scene)))
        index = large.nonzero().squeeze(1)
        witnesses = scene.witnesses(index, outcome.images[index])
    if scene.mode_matters:
        problems.append(("the model was handed over in training mode, and answers differently there", _EVAL))
    if _probabilities(scene.logits):
        problems.append(("the model returns probabilities instead of logits", _without_softmax(scene.model)))
    wrong = _miscounted(scene)
    if light_of(wrong, scene.n) != "green":  # at the boundary a batch of another size may change one
        numbers["successes miscounted"] = wrong
        problems.append((f"the attack's own count of successes is wrong for {wrong} images", stronger(scene)))
    if light_of(int(silent.sum()), scene.n) != "green":
        numbers["passed by a success"] = int(silent.sum())
        problem = f"for {int(silent.sum())} images the attack passed a success and returned another point"
        problems.append((problem, stronger(scene)))
    if not problems:
        good = "Box, budget, mode, logits and the count of successes are as they should be."
        return Finding("0", "green", good, passes=outcome.passes)
    sentence = "; ".join(problem for problem, _ in problems)
    remedy, passes = problems[0][1], outcome.passes
    return Finding("0", "red", _sentence(sentence), (), numbers, witnesses, remedy, passes)


_EVAL = "model = model.eval()"


def _sentence(text):
    return text[0].upper() + text[1:] + "."


def _projected(scene):
    if scene.norm == "Linf":
        change = f"(attack(model, x, y) - x).clamp(-{scene.eps:g}, {scene.eps:g})"
    else:
        change = f"torch.renorm(attack(model, x, y) - x, 2, 0, {scene.eps:g})"
    return f"attack = lambda model, x, y, attack=attack: (x + {change}).clamp(0, 1)"


def modes_differ(model: nn.Module, x: Tensor) -> bool:
    """Return whether the model, as it was handed over, answers differently than in eval mode. Fresh wrappers are no reason."""
    modes = [(module, module.training) for module in model.modules()]
    if not any(training for _, training in modes):
        return False
    state = {name: value.clone() for name, value in model.named_buffers()}
    answers = []
    with torch.no_grad():
        for evaluating in (False, True):
            with seeded(x.device, 0):
                model.eval() if evaluating else None
                answers.append(ask(model, x))
        for name, value in model.named_buffers():  # batch normalisation has counted along
            value.copy_(state[name])
    for module, training in modes:
        module.training = training
    return not torch.allclose(*answers, rtol=1e-4, atol=1e-4)


def _probabilities(logits):
    return bool(logits.min() >= 0 and (logits.sum(1) - 1).abs().max() < 1e-3)


def _without_softmax(model):
    for name, part in model.named_modules():
        if isinstance(part, nn.Softmax):
            parent, _, last = name.rpartition(".")
            owner = f'model.get_submodule("{parent}")' if parent else "model"
            return f'setattr({owner}, "{last}", nn.Identity())'
    return "# return the values that the softmax is taken of, from the model's forward"


def _miscounted(scene):
    """Return for how many images a deterministic attack's own count differs from a new look at its images."""
    outcome = scene.outcome
    if outcome.success is None or scene.random:
        return 0
    answers = scene.answers(outcome.images.clamp(0, 1))
    if outcome.target is None:
        again = scene.fools(outcome.images, slice(None))
    else:
        again = answers == outcome.target
    return int((again != outcome.success).sum())


def budget(scene: Scene) -> Finding:
    """Check whether the attack goes as far as it may where it fails: the median size of those changes."""
    left = scene.left
    if scene.subject.minimum_norm:
        return Finding(
            "budget", "grey", "The attack seeks the smallest change, and returns the clean image if it fails."
        )
    if not left.any():
        return Finding("budget", "grey", "The attack leaves no image.")
    # An attack may return the clean image where it fails; then what it asked about says how far it went.
    sizes = scene.sizes(scene.outcome.images, slice(None)).double()
    size = torch.maximum(sizes, scene.reached)[left].median().item()
    numbers = {"median size where it fails": size, "eps": scene.eps}
    if size < scene.eps / 2:
        sentence = f"Where the attack fails, the median change is {size:.3g}: less than half of the budget, {scene.eps:g}."
        index = left.nonzero().squeeze(1)
        shown = scene.witnesses(index, scene.outcome.images[index])
        return Finding("budget", "red", sentence, (), numbers, shown, stronger(scene))
    return Finding(
        "budget",
        "green",
        f"Where the attack fails, the median change is {size:.3g} of {scene.eps:g}.",
        (),
        numbers,
    )


@contextmanager
def listening(scene: Scene) -> Iterator[Tensor]:
    """Inside the block, yield (N,) bool flags, which turn True for images that the model misreads inside of the ball.

    Those images, and how far the attack went, are noted in the scene. Only functions are listened to, on models that do not
    draw random numbers: the library's attacks keep the best point, and a single draw shows nothing.
    """
    passed = torch.zeros_like(scene.right)
    if scene.subject.kind != "function" or scene.random:
        yield passed
        return

    def look(_, given, logits):
        z = given[0].detach()
        if z.shape[1:] != scene.x.shape[1:] or not isinstance(logits, Tensor) or scene.mode_matters:
            return
        distance = torch.cdist(z.flatten(1).to(scene.x.dtype), scene.x.flatten(1), torch.inf)
        index = distance.argmin(1)
        size = scene.sizes(z.to(scene.x.dtype), index).double()
        size = size.where(size <= scene.eps * (1 + 1e-4) + 1e-6, 0)
        scene.reached.scatter_reduce_(0, index, size, "amax")
        answer = logits.detach().argmax(1)
        wrong = (answer != scene.y[index]) & (answer != scene.classes) & scene.right[index]
        if wrong.any():
            wrong = wrong & scene.inside(z, index)
            passed[index[wrong]] = True
            scene.on_the_way[index[wrong]] = z[wrong].to(scene.x.dtype)

    handle = scene.model.register_forward_hook(look)
    try:
        yield passed
    finally:
        handle.remove()
