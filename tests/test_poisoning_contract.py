"""The contract of the life cycle's attacks and defenses, over all: the seed decides, and nothing is left behind."""

import copy

import numpy as np
import pytest
import torch
from test_poisoning import some
from torch import nn

from advcourse.attacks import PGD
from advcourse.lifecycle import (
    BackdoorRate,
    EvasionRate,
    ExtractionRate,
    FeatureCollision,
    GradientInversion,
    GradientMatching,
    Inversion,
    Oracle,
    PoisoningRate,
    Subject,
    Trigger,
    Warps,
    activation_clustering,
    activations,
    agreement,
    backdoor_success,
    class_means,
    collision_trials,
    condemned,
    exclusionary_test,
    fine_prune,
    flip_labels,
    hunt_triggers,
    label_consistent,
    label_vote,
    label_votes,
    matching_trials,
    poison,
    retrain_without,
    shared_gradient,
    spectral_signatures,
    steal,
    strip_entropy,
    train_shadows,
    train_victim,
    transferred,
    trusted_distance,
    unlearn,
)

SIZE = 90
SMALL = Trigger(size=2, place=(-3, -3))


def network(seed=0):
    """A small net with what could be left changed: dropout, and a part in another mode than the rest."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Dropout(0.5), nn.Linear(12, 3)
        ).train()
    model[2].eval()
    return model


def train(data, seed):
    """A victim that trains in no time: the small net, with its last layer moved towards the data's class means."""
    model = network(seed % 1000).to(data.images.device)
    with torch.no_grad():
        model[4].bias += data.labels.bincount(minlength=3).to(model[4].bias) / len(data)
    return model.eval()


def matched(d, s):
    return GradientMatching(steps=3, restarts=2)(MODEL[0], d, 0.5 + 0 * d.images[:1], 1, 0.1, s)


# What a model is asked for is set anew for each test, on its device.
MODEL = [network()]
# name: (attack (data, seed) -> Poisoned, share of the set that it touches, whether the seed shows)
ATTACKS = {
    "random flips": (lambda d, s: flip_labels(d, 0.2, "random", s), 0.2, True),
    "pair flips": (lambda d, s: flip_labels(d, 0.3, "pair", s), 0.3, True),
    "patch": (lambda d, s: poison(d, SMALL, 1, 0.1, s), 0.1, True),
    "blend": (lambda d, s: poison(d, Trigger("blend", alpha=0.3), 1, 0.1, s), 0.1, True),
    "sinus": (lambda d, s: poison(d, Trigger("sinus", size=1, alpha=0.3), 1, 0.1, s), 0.1, True),
    "clean labels": (lambda d, s: poison(d, SMALL, 1, 0.1, s, clean_label=True), 0.1, True),
    "source and covers": (lambda d, s: poison(d, SMALL, 1, 0.1, s, source=2, covers=0.2), 0.3, True),
    "label-consistent": (
        lambda d, s: label_consistent(d, SMALL, 1, 0.1, MODEL[0], PGD(0.2, steps=2), s),
        0.1,
        True,
    ),
    "gradient matching": (matched, 0.1, True),
}
TRIALS = {"trials": 3, "seed": 1}


def told(column, model):
    """What a column of the scorecard says of a model, and of its control."""
    result = column(
        Subject("net", model, lambda x, y, seed: train(type(some())(x, y, tuple("abc"), **ABOUT), seed))
    )
    return torch.tensor([result.value.value, result.control.value])


ABOUT = {"name": "given", "split": "train", "licence": "none"}
# name: (data, model) -> what is compared; none of them may change data or model
OTHERS = {
    "activations": lambda d, m: activations(m, d.images),
    "clustering": lambda d, m: (
        activation_clustering(activations(m, d.images), d.labels, components=3).suspicious
    ),
    "spectral": lambda d, m: spectral_signatures(activations(m, d.images), d.labels, 3),
    "trusted": lambda d, m: trusted_distance(*[activations(m, d.images), d.labels] * 2),
    "vote": lambda d, m: label_vote(activations(m, d.images), d.labels, 5),
    "exclusion": lambda d, m: exclusionary_test(d, torch.arange(SIZE) < 20, train=train),
    "hunt": lambda d, m: hunt_triggers(m, d.images[:6], steps=4, runs=1, goal=0.1).masks,
    "strip": lambda d, m: strip_entropy(m, d.images[:9], d.images[9:], 5),
    "pruning": lambda d, m: fine_prune(m, d.images, d.labels, epochs=1)(d.images),
    "unlearning": lambda d, m: unlearn(m, d.images, d.labels, SMALL, epochs=1)(d.images),
    "success": lambda d, m: torch.tensor(backdoor_success(m, SMALL, d.images, d.labels, 1).value),
    "collision": lambda d, m: FeatureCollision(steps=3)(m, d.images[:4], d.images[4:5]),
    "collision trials": lambda d, m: (
        collision_trials(m, d, d, FeatureCollision(steps=2), images=30, **TRIALS).won
    ),
    "retraining": lambda d, m: retrain_without(d, torch.arange(SIZE) < 20, 3, train)(d.images),
    "condemned": lambda d, m: condemned(d, torch.arange(SIZE) < 20, torch.tensor([0.5, 2, torch.nan])),
    "class means": lambda d, m: class_means(d),
    "inversion": lambda d, m: Inversion(steps=3)(
        m, 0 * d.images[:3], torch.arange(3, device=d.labels.device)
    ),
    "shared gradient": lambda d, m: shared_gradient(m, d.images[:2], d.labels[:2])[0],
    "gradient inversion": lambda d, m: GradientInversion(steps=2)(
        m, shared_gradient(m, d.images[:1], d.labels[:1]), (1, 4, 4), d.labels[:1]
    ),
    "label votes": lambda d, m: label_votes(m, d.images, d.labels),
    "shadow nets": lambda d, m: train_shadows(d, lambda x, y, seed: m, 4, 1, votes=True).logits,
    "theft": lambda d, m: (
        steal(Oracle(m, 20), network(5).to(d.images), Warps(d.images[:9]), (9, 20), epochs=1, seed=2).images
    ),
    "rounded answers": lambda d, m: Oracle(m, SIZE, "top1", digits=1)(d.images),
    "agreement": lambda d, m: torch.tensor(agreement(network(5).to(d.images), m, d.images)),
    "transfer": lambda d, m: torch.tensor(
        transferred(network(5).to(d.images), m, d.images, d.labels, PGD(0.3, steps=2))
    ),
    "evasion column": lambda d, m: told(EvasionRate(d, PGD(0.2, steps=2), 20), m),
    "poisoning column": lambda d, m: told(PoisoningRate(d, d, FeatureCollision(steps=2), 3, 1, 30), m),
    "backdoor column": lambda d, m: told(BackdoorRate(d, d, d, SMALL, 1, 0.1), m),
    "extraction column": lambda d, m: told(
        ExtractionRate(d, d, network(5).to(d.images), queries=20, first=9), m
    ),
    "matching trials": lambda d, m: (
        matching_trials(d, d, GradientMatching(steps=2, restarts=1), victims=2, train=train, **TRIALS).won
    ),
}


def on_gpu(data):
    return type(data)(
        data.images.cuda(),
        data.labels.cuda(),
        data.classes,
        name=data.name,
        split="train",
        licence=data.licence,
    )


def states():
    return torch.get_rng_state(), np.random.get_state()[1].copy()


@pytest.fixture(autouse=True)
def fresh_model():
    MODEL[0] = network()


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_a_function_of_data_and_seed(name):
    """Against a second run after the global generators moved on, other seeds, and copies of all that was handed in."""
    attack, _, seeded = ATTACKS[name]
    given = some(SIZE)
    before, weights = copy.deepcopy(given), copy.deepcopy(MODEL[0].state_dict())
    torch.manual_seed(5)
    global_state = states()
    (first, touched), modes = attack(given, 3), [part.training for part in MODEL[0].modules()]
    assert all(np.array_equal(*pair) for pair in zip(states(), global_state))
    assert torch.equal(given.images, before.images) and torch.equal(given.labels, before.labels)
    assert all(torch.equal(weights[key], value) for key, value in MODEL[0].state_dict().items())
    assert modes == [part.training for part in network().modules()]
    torch.manual_seed(6)
    second, again = attack(given, 3)
    assert torch.equal(touched, again)
    assert torch.equal(first.images, second.images) and torch.equal(first.labels, second.labels)
    others = [attack(given, seed).data for seed in range(4, 7)]
    differ = [
        not (torch.equal(first.images, each.images) and torch.equal(first.labels, each.labels))
        for each in others
    ]
    assert any(differ) == seeded


@pytest.mark.parametrize("name", ATTACKS)
def test_the_indices_touched_are_exactly_what_changed(name):
    """Against the two sets, image by image: the indices are ascending, apart from the data, and as many as the share says."""
    attack, share, _ = ATTACKS[name]
    given = some(SIZE)
    poisoned, touched = attack(given, 0)
    changed = (poisoned.images != given.images).flatten(1).any(1) | (poisoned.labels != given.labels)
    assert torch.equal(changed.nonzero()[:, 0], touched) and touched.dtype == torch.int64
    assert len(touched) == round(share * SIZE) and len(poisoned) == SIZE
    assert vars(poisoned).keys() == vars(given).keys()  # nothing in the set gives the poison away
    for what in ("name", "split", "licence", "classes"):
        assert getattr(poisoned, what) == getattr(given, what)
    assert poisoned.images.dtype == given.images.dtype
    assert 0 <= poisoned.images.min() and poisoned.images.max() <= 1
    if poisoned.images.data_ptr() == given.images.data_ptr():
        pytest.fail("the poisoned set shares its memory with the clean one")


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_an_attack_leaves_all_as_it_was(name):
    """Against copies of data and model, the global generators, and a second run."""
    run, given, model = OTHERS[name], some(SIZE), network()
    before, weights = copy.deepcopy(given), copy.deepcopy(model.state_dict())
    modes = [part.training for part in model.modules()]
    torch.manual_seed(5)
    global_state = states()
    first = run(given, model)
    assert all(np.array_equal(*pair) for pair in zip(states(), global_state))
    assert torch.equal(given.images, before.images) and torch.equal(given.labels, before.labels)
    assert all(torch.equal(weights[key], value) for key, value in model.state_dict().items())
    assert modes == [part.training for part in model.modules()]
    assert all(part.grad is None and part.requires_grad for part in model.parameters())
    assert not any(part._forward_pre_hooks for part in model.modules())
    torch.manual_seed(6)
    assert torch.equal(run(given, model), first)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ATTACKS)
def test_a_gpu_poisons_as_the_cpu(name):
    """Checks the set and the indices against the CPU's; an iterated attack may differ by what rounding does to a sign."""
    attack, given = ATTACKS[name][0], some(SIZE)
    expected, touched = attack(given, 0)
    MODEL[0] = MODEL[0].cuda()
    found, there = attack(on_gpu(given), 0)
    assert found.images.is_cuda and found.labels.is_cuda and torch.equal(there, touched)
    assert torch.equal(found.labels.cpu(), expected.labels)
    close = (found.images.cpu() - expected.images).abs() < 1e-3
    assert close.double().mean() >= 0.98


@pytest.mark.gpu
@pytest.mark.parametrize("name", OTHERS)
def test_a_gpu_defends_as_the_cpu(name):
    """Checks the results against the CPU's: the same images flagged, the same numbers up to a GPU's rounding."""
    run, given = OTHERS[name], some(SIZE)
    expected, found = run(given, network()), run(on_gpu(given), network().cuda())
    assert found.shape == expected.shape
    found, expected = (part.detach().cpu().double() for part in (found, expected))
    assert torch.isclose(found, expected, rtol=0.02, atol=0.02, equal_nan=True).double().mean() >= 0.95


def test_a_victim_is_a_function_of_data_and_seed():
    """Against a second training after the global generators moved on, and another seed: bit by bit, the same and not."""
    x = torch.rand(40, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    given = type(some())(
        x, torch.arange(40) % 10, tuple("0123456789"), name="r", split="train", licence="none"
    )
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = train_victim(given, 1, epochs=1)(x)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    assert torch.equal(train_victim(given, 1, epochs=1)(x), first)
    assert not torch.equal(train_victim(given, 2, epochs=1)(x), first)
