"""The defended digit models: against the survey's Table 2, the contract of a model, and what is known of an undefended one."""

from functools import partial

import pytest
import torch

from advcourse import data, models
from advcourse.attacks import PGD
from advcourse.core.inputs import InputError, accuracy
from advcourse.core.randomness import seeded
from advcourse.course import coverage
from advcourse.defenses import Guarded
from advcourse.zoo import deployed

X, Y = data.load("mnist-5k").pick(20)
DETECTORS = [name for name, one in deployed.DEFENSES.items() if one.family == "detection"]


def test_every_defense_of_the_survey_is_deployed():
    """Against the ids of docs/survey.md: all 14 rows of Table 2, in its order, each once; "none" is first."""
    ids = [one.identifier for one in deployed.DEFENSES.values() if one.identifier]
    assert ids == [identifier for identifier in coverage.REGISTRY if identifier.startswith("defense.")]
    assert len(ids) == 14 and deployed.names()[0] == "none"


@pytest.mark.slow
@pytest.mark.parametrize("name", deployed.names())
def test_each_is_a_model_that_reads_digits(name):
    """Against the contract, images to finite logits of ten classes (eleven where the last is a flag), and 20 clean digits."""
    with seeded(torch.device("cpu"), 0):
        model = deployed.load(name)
        logits = model(X)
        assert logits.shape == (20, 11 if name in DETECTORS else 10) and torch.isfinite(logits).all()
        assert not model.training and accuracy(model, X, Y) >= 0.8
    assert getattr(model, "abstains", False) == (name in DETECTORS)
    # A network is of a class in `models`; what stands around one is of a class in `defenses`.
    assert type(model).__module__.startswith("advcourse.models.") == deployed.DEFENSES[name].is_network


@pytest.mark.parametrize("name", deployed.names())
def test_each_has_attacks_of_its_own_within_one_budget(name):
    """Against the common budget: at least one attack made for the defense is bounded by 0.3 in L-infinity, and untargeted."""
    terms = [attack.threat_model for attack in deployed.DEFENSES[name].adaptive.values()]
    assert any((one.norm, one.eps, one.aim) == ("Linf", 0.3, "untargeted") for one in terms)


@pytest.mark.slow
@pytest.mark.parametrize("name", DETECTORS)
def test_a_detectors_threshold_is_from_validation_digits(name):
    """Against its false alarms on 500 held-out digits, which played no part: about 5 %, within five standard errors."""
    guarded = deployed.load(name)
    assert isinstance(guarded, Guarded)
    alarms = guarded.detector.flag(data.load("mnist-5k").pick(500)[0]).double().mean()
    assert abs(alarms - deployed.FPR) <= 5 * (deployed.FPR * (1 - deployed.FPR) / 500) ** 0.5 + 0.01


@pytest.mark.slow
def test_who_knows_of_no_defense_sees_the_classifier():
    """Against the shipped network behind the detectors, and the deployed module itself elsewhere."""
    small = models.load("mnist-small")
    for name in DETECTORS:
        seen = deployed.DEFENSES[name].seen(deployed.load(name))
        assert torch.equal(seen(X), small(X))
    for name in ("none", "RT"):
        model = deployed.load(name)
        assert deployed.DEFENSES[name].seen(model) is model


def test_networks_are_told_from_what_stands_around_one():
    """Against the shipped models: a network answers as the one of its name; and by hand, for a function that builds a module."""
    for name, one in deployed.DEFENSES.items():
        if one.is_network:
            assert torch.equal(deployed.load(name)(X), models.load(one.network)(X))
    built_with_settings = partial(deployed.load, "RT", device="cpu")
    assert not deployed.DeployedDefense("random transformation", "own", None, built_with_settings).is_network


def test_the_adaptive_attack_does_what_it_is_for():
    """Against Athalye et al. 2018, 0 %: PGD on the thermometer's own gradient, which is 0, changes next to nothing; through BPDA
    it fools more than that."""
    model, attack = deployed.load("Thermometer"), deployed.DEFENSES["Thermometer"].adaptive["BPDA"]
    plain, adaptive = (one.run(model, X, Y).success_rate for one in (PGD(0.3, steps=40), attack))
    assert plain <= 0.15 and adaptive >= 0.85


def test_an_unknown_defense_is_refused():
    """The expected sentence is written out by hand."""
    with pytest.raises(InputError, match="name: got 'armour'; allowed"):
        deployed.load("armour")
