"""Image by image against torchattacks and foolbox: other people's code for the same papers, on real digits.

In float64, for a sign of a gradient near 0 turns on rounding. What is random is left out or handed to both sides.
"""

import foolbox
import pytest
import torch
import torchattacks

from advcourse import attacks, data, models
from advcourse.attacks.noise import Noise
from advcourse.attacks.targets import least_likely

EPS, ALPHA, STEPS = 0.3, 0.04, 10


@pytest.fixture(scope="module")
def digits():
    model = models.load("mnist-cnn").double()
    x, y = data.load("mnist-5k").first(40)
    x = x.double()
    return model, x, y, attacks.choose_target(model, x, y)


def same(ours, theirs, x):
    assert (ours - x).abs().max() > 0.01
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


UNTARGETED = {
    "FGSM": (lambda m: torchattacks.FGSM(m, EPS), attacks.FGSM(EPS)),
    "BIM": (lambda m: torchattacks.BIM(m, EPS, ALPHA, STEPS), attacks.BIM(EPS, ALPHA, STEPS, keep="last")),
    "PGD": (
        lambda m: torchattacks.PGD(m, EPS, ALPHA, STEPS, random_start=False),
        attacks.PGD(EPS, ALPHA, STEPS, random_start=False, keep="last"),
    ),
    "PGD L2": (
        # The default adds 1e-10 to the norm of the gradient, which is more than the gradient of a confident image has.
        lambda m: torchattacks.PGDL2(m, 2.0, 0.2, STEPS, random_start=False, eps_for_division=0),
        attacks.PGD(2.0, 0.2, STEPS, norm="L2", random_start=False, keep="last"),
    ),
    "MI-FGSM": (
        lambda m: torchattacks.MIFGSM(m, EPS, 0.03, 10, decay=1.0),
        attacks.UMIFGSM(EPS, 0.03, 10, decay=1.0, keep="last"),
    ),
}


@pytest.mark.parametrize("name", UNTARGETED)
def test_untargeted_equals_torchattacks(digits, name):
    """torchattacks 3.5.1, last iterate, same settings: equal to 1e-6."""
    model, x, y, _ = digits
    theirs, ours = UNTARGETED[name]
    same(ours(model, x, y), theirs(model)(x, y), x)


TARGETED = {
    "FGSM": (UNTARGETED["FGSM"][0], attacks.FGSM(EPS, targeted=True)),
    "BIM": (UNTARGETED["BIM"][0], attacks.BIM(EPS, ALPHA, STEPS, targeted=True, keep="last")),
    "PGD L2": (
        UNTARGETED["PGD L2"][0],
        attacks.PGD(2.0, 0.2, STEPS, norm="L2", random_start=False, targeted=True, keep="last"),
    ),
    "T-MI-FGSM": (UNTARGETED["MI-FGSM"][0], attacks.TMIFGSM(EPS, 0.03, 10, decay=1.0, keep="last")),
}


@pytest.mark.parametrize("name", TARGETED)
def test_targeted_equals_torchattacks(digits, name):
    """torchattacks in its mode for given target labels: equal to 1e-6."""
    model, x, y, target = digits
    theirs, ours = TARGETED[name]
    peer = theirs(model)
    peer.set_mode_targeted_by_label(quiet=True)
    same(ours(model, x, y, target), peer(x, target), x)


LEAST_LIKELY = {
    "LLC": (UNTARGETED["FGSM"][0], attacks.LLC(EPS)),
    "ILLC": (UNTARGETED["BIM"][0], attacks.ILLC(EPS, ALPHA, STEPS, keep="last")),
}


@pytest.mark.parametrize("name", LEAST_LIKELY)
def test_least_likely_class_equals_torchattacks(digits, name):
    """torchattacks chooses the least likely class itself: the choice and the images are equal."""
    model, x, y, _ = digits
    theirs, ours = LEAST_LIKELY[name]
    peer = theirs(model)
    peer.set_mode_targeted_least_likely(quiet=True)
    same(ours(model, x, y), peer(x, y), x)


FOOLBOX = {
    "FGSM": (foolbox.attacks.LinfFastGradientAttack(random_start=False), attacks.FGSM(EPS)),
    "BIM": (
        foolbox.attacks.LinfBasicIterativeAttack(abs_stepsize=ALPHA, steps=STEPS, random_start=False),
        attacks.BIM(EPS, ALPHA, STEPS, keep="last"),
    ),
    "PGD L2": (
        foolbox.attacks.L2ProjectedGradientDescentAttack(abs_stepsize=0.2, steps=STEPS, random_start=False),
        attacks.PGD(2.0, 0.2, STEPS, norm="L2", random_start=False, keep="last"),
    ),
}


@pytest.mark.parametrize("name", FOOLBOX)
def test_untargeted_equals_foolbox(digits, name):
    """foolbox 3.3.4, same settings: equal to 1e-6."""
    model, x, y, _ = digits
    theirs, ours = FOOLBOX[name]
    same(ours(model, x, y), theirs.run(foolbox.PyTorchModel(model, bounds=(0, 1)), x, y, epsilon=ours.eps), x)


@pytest.mark.parametrize("name", ["FGSM", "BIM"])
def test_targeted_equals_foolbox(digits, name):
    """foolbox with its criterion for given targets: equal to 1e-6. Its FGSM refuses targets, its BIM of one step does not."""
    model, x, y, target = digits
    steps = 1 if name == "FGSM" else STEPS
    alpha = EPS if name == "FGSM" else ALPHA
    theirs = foolbox.attacks.LinfBasicIterativeAttack(abs_stepsize=alpha, steps=steps, random_start=False)
    ours = attacks.BIM(EPS, alpha, steps, targeted=True, keep="last")
    criterion = foolbox.criteria.TargetedMisclassification(target)
    same(
        ours(model, x, y, target),
        theirs.run(foolbox.PyTorchModel(model, bounds=(0, 1)), x, criterion, epsilon=EPS),
        x,
    )


@pytest.mark.parametrize("name", ["RFGSM", "RLLC"])
def test_random_step_then_foolboxs_gradient_step(digits, name):
    """R+FGSM and R+LLC are one step of foolbox's BIM, of size eps - alpha, from the point of the random step."""
    model, x, y, _ = digits
    start = (x + 0.05 * Noise(seed=4).normal(x).sign()).clamp(0, 1)
    step = foolbox.attacks.LinfBasicIterativeAttack(abs_stepsize=EPS - 0.05, steps=1, random_start=False)
    criterion = foolbox.criteria.Misclassification(y)
    if name == "RLLC":
        criterion = foolbox.criteria.TargetedMisclassification(least_likely(model(x).detach(), y))
    theirs = step.run(foolbox.PyTorchModel(model, bounds=(0, 1)), start, criterion, epsilon=EPS)
    same(attacks.REGISTRY[name](EPS, alpha=0.05, seed=4)(model, x, y), theirs, x)


def test_as_many_are_fooled_as_by_the_strongest_peer(digits):
    """The same budget and steps: PGD fools no fewer images than torchattacks' and foolbox's, at a budget that leaves some."""
    model, x, y, _ = digits
    settings = {"eps": 0.08, "alpha": 0.01, "steps": STEPS}
    theirs = torchattacks.PGD(model, **settings)(x, y)
    peer = foolbox.attacks.LinfPGD(abs_stepsize=0.01, steps=STEPS)
    other = peer.run(foolbox.PyTorchModel(model, bounds=(0, 1)), x, y, epsilon=0.08)
    fooled = [(model(images).argmax(1) != y).double().mean().item() for images in (theirs, other)]
    assert 0 < attacks.PGD(**settings).run(model, x, y).success_rate < 1
    assert attacks.PGD(**settings).run(model, x, y).success_rate >= max(fooled)
