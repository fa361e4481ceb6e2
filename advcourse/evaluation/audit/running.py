"""The audit of an evaluation: all checks in order, and its result."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from advcourse import models
from advcourse.core.errors import DoubtfulResultWarning, called
from advcourse.core.inputs import (
    InputError,
    ask,
    check_batch,
    check_choice,
    check_classes,
    check_labels,
    check_model,
    check_range,
    check_seed,
    on_device,
)
from advcourse.core.randomness import seeded
from advcourse.evaluation.audit import contract, effort, elsewhere, pages, stating, symptoms
from advcourse.evaluation.audit.findings import CHECKS, Finding, Findings
from advcourse.evaluation.audit.scene import Scene
from advcourse.evaluation.audit.subject import NORMS, Made, Subject
from advcourse.evaluation.store import Store


@dataclass(frozen=True)
class Audit(Findings):
    """The result of `audit`: its findings, and three ways to read them."""

    def as_html(self, title: str = "Audit") -> str:
        """Return one HTML page, without scripts, that needs no network."""
        return pages.html(self, title)

    def as_markdown(self) -> str:
        """Return the verdict and a table of the checks."""
        return pages.markdown(self)

    def as_json(self) -> str:
        """Return strict JSON; a number that is infinite or none is a text there."""
        return pages.as_json(self)


def audit(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    attack: Made,
    *,
    straight: nn.Module | Callable[[nn.Module], nn.Module] | None = None,
    known: nn.Module | None = None,
    profile: Literal["quick", "full"] = "quick",
    eps: float | None = None,
    norm: Literal["Linf", "L2"] | None = None,
    folder: Path | str | None = None,
    seed: int = 0,
) -> Audit:
    """Try what a right evaluation withstands, and say of each check whether this one does.

    The attack is run once. Then each check tries something else on the images that it left, within the same budget: if many of
    them fall, the attack was too weak, and its light turns amber or red. A green light proves nothing; a red one shows images.

    Papers: Carlini et al. 2019, "On Evaluating Adversarial Robustness" (arXiv 1902.06705), whose checklist the numbers 1 to 18
    follow; Pintor et al. 2022, "Indicators of Attack Failure" (arXiv 2106.09947), for silent success, flat losses and
    unfinished searches; Croce and Hein 2020 (arXiv 2003.01690) for APGD and Square, which are tried.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K), as it is deployed. Hand it over in the mode that it is used in.
        x, y: clean images and their true labels (N,), N at least 1; forty are enough to begin with.
        attack: what the evaluation used: an `Attack`; a function (model, x, y) -> images, whose keyword parameters `eps`,
            `steps`, `restarts`, `alpha` and `seed`, if it has them, are varied; or the attacked images themselves.
        straight: the model with a useful gradient where it has none, as by `attacks.BPDA`, or a function that makes it of
            `model` (default None).
        known: an undefended network for the same images (default None: a shipped one for digits and signs).
        profile: "quick" (default) or "full", which tries the same with about ten times as many passes.
        eps, norm: the budget and norm of the claim (default None: the attack's). A function, ready images and an attack of the
            "minimum-norm" kind have no budget of their own, so `eps` is needed.
        folder: where finished probes are kept, so that the next audit begins there (default None: nowhere).
        seed: of all that the audit draws (default 0).

    Returns:
        the findings, their worst light, and the minimum over all that was tried, image by image.

    Raises:
        InputError: an argument breaks its contract.

    Example:
        >>> result = audit(models.load("mnist-nat"), x, y, FGSM(0.3))
        >>> result.light, result["6"].sentence, result["6"].remedy
    """
    y, subject = _checked(model, x, y, attack, check_seed(seed))
    norm, eps = _ball(subject, norm, eps)
    full = check_choice(profile, "profile", ("quick", "full")) == "full"
    store = None if folder is None else Store(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DoubtfulResultWarning)  # what they say, the findings say
        broken = contract.box(x)
        if broken:
            return _stopped(broken, subject, x, y, norm, eps, profile)
        handed_random = _random_as_handed(model, x)
        scene = Scene(model, x, y, subject, norm, eps, seed, store, full)
        check_classes(y, scene.classes)
        scene.known = known if known is None else _network(known, x, "known")
        if known is None:
            scene.known = elsewhere.known_for(x, y, models.load)
        scene.straight = _straight(straight, model, x)
        findings, facts = _all(scene, handed_random)
    ordered = tuple(sorted(findings, key=lambda finding: list(CHECKS).index(finding.check)))
    marks = (scene.right, scene.claimed, scene.minimum, scene.worst, y.clone())
    return Audit(ordered, subject.text, norm, eps, *marks, profile, facts)


def _all(scene: Scene, handed_random: bool) -> tuple[list[Finding], dict[str, str]]:
    """Run the attack and all checks."""
    seen = symptoms.slopes(scene)
    many = max(1, 0.01 * int(scene.right.sum()))
    scene.gradient_is_dead = bool(seen.missing) or int(seen.dead.sum()) > many
    scene.saturates = int(seen.saturated.sum()) > many
    scene.mode_matters = contract.modes_differ(scene.model, scene.x)
    with contract.listening(scene) as passed:
        scene.judge()
    silent = scene.passed(passed)
    findings = [
        contract.contract(scene, silent),
        contract.budget(scene),
        effort.single_step(scene),
        effort.smaller_budgets(scene),
        effort.huge_budget(scene),
        elsewhere.without_gradient(scene),
        effort.noise(scene),
        effort.more_effort(scene),
        stating.clean(scene),
        elsewhere.targets(scene),
        elsewhere.randomness(scene, handed_random),
        elsewhere.straight_gradient(scene),
        *elsewhere.undefended(scene),
        effort.other_loss(scene),
        stating.sizes(scene),
        stating.other_changes(scene),
        symptoms.gradient(scene, seen),
    ]
    last, facts = stating.stated(scene)
    return [*findings, effort.per_image(scene), last], facts


def _checked(model, x, y, attack, seed):
    """Return labels and subject. Pixels outside of [0, 1] are a finding, and no error."""
    check_model(model, check_batch(x))
    if not len(x):
        raise InputError("x: got no images; allowed is at least one")
    y = check_labels(y, x)
    if isinstance(attack, Tensor) and attack.shape != x.shape:
        raise InputError(
            f"attack: got images of shape {tuple(attack.shape)}; allowed is the shape of x, {tuple(x.shape)}"
        )
    return y, Subject(attack, seed)


def _ball(subject, norm, eps):
    """Return norm and budget of the claim."""
    own = subject.attack.norm if subject.kind == "attack" else "Linf"
    norm = own if norm is None else check_choice(norm, "norm", NORMS)
    if norm not in NORMS:
        raise InputError(
            f"norm: got an attack in {norm}; the audit knows 'Linf' and 'L2', since its probes need a ball in one of them"
        )
    if subject.kind == "attack" and subject.attack.universal:
        raise InputError(
            f"attack: got {subject.text}, which makes one change for all images; allowed are attacks on each image by itself"
        )
    if eps is None:
        threat = subject.attack.threat_model if subject.kind == "attack" else None
        eps = threat.eps if threat else subject.value("eps")
        if eps is None:
            kind = "a minimum-norm attack" if subject.minimum_norm else "a function or ready images"
            raise InputError(
                f"eps: got None, but {kind} has no budget; give the one for which robustness is claimed"
            )
    return norm, check_range(eps, "eps", 0, exclusive_low=True)


def _network(model, x, name):
    with called(name):
        if not isinstance(model, nn.Module):
            raise InputError(f"model: got {model!r}; allowed is a torch.nn.Module")
        return on_device(model, x.device)


def _straight(straight, model, x):
    if straight is None or isinstance(straight, nn.Module):
        return None if straight is None else _network(straight, x, "straight")
    if not callable(straight):
        raise InputError(
            f"straight: got {straight!r}; allowed is a module, or a function of the model that returns one"
        )
    return _network(straight(model), x, "straight")


def _random_as_handed(model, x):
    """Return whether the model, in its own mode, answers the same images differently under two seeds."""
    if not any(module.training for module in model.modules()):
        return False
    state = {name: value.clone() for name, value in model.named_buffers()}
    answers = []
    with torch.no_grad():
        for seed in (0, 1):
            with seeded(x.device, seed):
                answers.append(ask(model, x))
        for name, value in model.named_buffers():  # batch normalisation has counted along
            value.copy_(state[name])
    return not torch.allclose(*answers, rtol=1e-4, atol=1e-4)


def _stopped(broken, subject, x, y, norm, eps, profile):
    """Return the audit of images that break the contract: one finding, and no other check."""
    why = "Not tried: the contract is broken."
    rest = [Finding(check, "grey", why) for check in CHECKS if check != "0"]
    none = torch.zeros_like(y, dtype=torch.bool)
    facts = {"threat model": f"{norm} <= {eps:g}", "attack": subject.text}
    marks = (none, none, none, x.detach().clone(), y.clone())
    return Audit((broken, *rest), subject.text, norm, eps, *marks, profile, facts)
