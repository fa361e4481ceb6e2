"""PGD adversarial training: the objective, and the models that ship with it."""

import math
import os
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import torch
from objectives import Recorder
from tiny import blobs, linear, network, quiet, same, snapshot
from torch.nn import functional as F

from advcourse import data, models
from advcourse.attacks import EAD, FGSM, PGD
from advcourse.core.identity import stands_for
from advcourse.core.inputs import InputError, accuracy, predict
from advcourse.defenses import PAT
from advcourse.training import cross_entropy, one_cycle
from advcourse.training.augmentation import shifts
from advcourse.zoo import recipe_kinds, recipes

COMPARED = ("mnist-small", "mnist-pat", "mnist-pat-weak")


def two_classes(seed=0):
    """A linear model of two classes, its weights (2, 16) and biases (2,), and images whose ball of 0.2 lies within [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    model = linear(2)
    with torch.no_grad():
        model[1].weight.copy_(torch.randn(2, 16, generator=generator))
        model[1].bias.copy_(torch.randn(2, generator=generator))
    x = 0.25 + 0.5 * torch.rand(30, 1, 4, 4, generator=generator)
    return model, model[1].weight, model[1].bias, x, torch.arange(30) % 2


def worst_case(weight, bias, x, y, eps):
    """The mean of log(1 + exp(-(margin - eps * ||w_y - w_other||_1))): the highest loss in the ball, in closed form."""
    w, b = weight[y] - weight[1 - y], bias[y] - bias[1 - y]
    margin = (w * x.flatten(1)).sum(1) + b
    return F.softplus(-(margin - eps * w.abs().sum(1))).mean()


# ---- the loss ----


@pytest.mark.parametrize("eps", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("steps", [5, 10])
def test_the_inner_maximum_of_a_linear_model_is_found(eps, steps):
    """Against the closed form of the worst case, and its gradient by the weights (Danskin): eps * ||w||_1 off the margin."""
    model, weight, bias, x, y = two_classes()
    expected = worst_case(weight, bias, x, y, eps)
    found = PAT(eps=eps, steps=steps)(model, x, y)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    for ours, exact in zip(*(torch.autograd.grad(loss, [weight, bias]) for loss in (found, expected))):
        assert torch.allclose(ours, exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mix", [0.25, 0.5, 1.0])
def test_the_mixture_is_shown_as_it_was_made(mix):
    """Against the closed forms of both losses, weighed by hand: the clean images' at eps 0, the adversarial ones' at eps."""
    model, weight, bias, x, y = two_classes()
    clean, attacked = (worst_case(weight, bias, x, y, eps).item() for eps in (0, 0.2))
    found = PAT(eps=0.2, mix=mix)(model, x, y).item()
    assert found == pytest.approx(mix * clean + (1 - mix) * attacked, rel=1e-5) and attacked > 2 * clean


def test_it_learns_from_adversarial_images_alone_and_wastes_no_pass():
    """Against a record of the model: `steps` passes in eval mode, then one in training mode, over images other than the clean."""
    model, (x, y) = Recorder(network()).train(), blobs()
    loss = PAT(eps=0.1, steps=7)(model, x, y)
    assert [training for training, _ in model.seen] == [False] * 7 + [True]
    (images,) = model.learnt_from()
    change = (images - x).abs()
    assert images.shape == x.shape and images.min() >= 0 and images.max() <= 1
    assert change.max() <= 0.1 + 1e-7 and change.flatten(1).amax(1).min() > 0.05
    assert loss.dim() == 0 and loss.requires_grad
    assert not any((seen == x).all() for _, seen in model.seen)


def test_without_a_budget_it_is_ordinary_training():
    """Against the weights that `cross_entropy` gives, bit for bit: the ball of radius 0 holds the image alone."""
    ordinary, adversarial = linear(), linear()
    quiet(ordinary, blobs(), cross_entropy, epochs=3, augment=shifts(1))
    quiet(adversarial, blobs(), PAT(eps=0.0, steps=1), epochs=3, augment=shifts(1))
    assert same(adversarial, ordinary.state_dict())


def test_training_on_the_worst_case_is_training_on_the_closed_form():
    """Against the run whose objective is the closed form itself: the same weights after 20 steps of gradient descent."""
    found, expected = (two_classes() for _ in range(2))
    settings = {"epochs": 20, "batch_size": 30, "lr": 0.05, "optimizer": torch.optim.SGD}
    quiet(found[0], found[3:], PAT(eps=0.2), **settings)
    quiet(
        expected[0],
        expected[3:],
        lambda model, x, y: worst_case(model[1].weight, model[1].bias, x, y, 0.2),
        **settings,
    )
    start = two_classes()[1]
    assert (expected[1] - start).abs().max() > 0.05
    assert torch.allclose(found[1], expected[1], atol=1e-4)


# ---- nothing is left behind ----


def test_modes_gradients_and_images_are_as_before():
    """Against flags and copies: one part in eval mode, one frozen, a gradient from before; the statistics grow by one batch."""
    model, (x, y) = network().train(), blobs()
    model[4].eval()
    model[1].requires_grad_(False)
    model[5].weight.grad = torch.ones_like(model[5].weight)
    images, labels, batches = x.clone(), y.clone(), model[2].num_batches_tracked.item()
    PAT(eps=0.1, steps=3)(model, x, y)
    assert model.training and model[2].training and not model[4].training
    assert not model[1].weight.requires_grad and model[5].weight.requires_grad
    assert model[5].weight.grad.eq(1).all() and model[1].weight.grad is None and model[2].weight.grad is None
    assert torch.equal(x, images) and torch.equal(y, labels) and x.grad is None and not x.requires_grad
    assert model[2].num_batches_tracked.item() == batches + 1


def test_the_global_random_state_is_as_before_training():
    """Against torch's generator, read before and after; the objective is as it was too, and its text is its settings."""
    objective, state = PAT(eps=0.1, steps=2, ramp=0.5), torch.get_rng_state()
    quiet(network(), blobs(), objective, schedule=objective.following(), epochs=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert objective == PAT(eps=0.1, steps=2, ramp=0.5) and hash(objective) == hash(PAT(0.1, None, 2, 0.5))
    assert repr(objective) == "PAT(eps=0.1, alpha=None, steps=2, ramp=0.5, mix=0.0)"
    with pytest.raises(InputError, match="ramp: got 0.5, but nothing tells"):
        objective(network(), *blobs())


# ---- the seed alone decides ----


def train(seed=0, global_seed=1, objective=None, checkpoint=None):
    torch.manual_seed(global_seed)
    model, objective = network(), objective or PAT(eps=0.2, steps=2, ramp=0.9)
    schedule = objective.following("one-cycle")
    history = quiet(
        model,
        blobs(),
        objective,
        schedule=schedule,
        epochs=6,
        batch_size=16,
        lr=0.05,
        augment=shifts(1),
        seed=seed,
        checkpoint=checkpoint,
    )
    return model, history


def test_the_seed_alone_decides():
    """Against a second run, after the global generators were seeded otherwise; another seed gives other weights."""
    first = snapshot(train()[0])
    assert same(train(global_seed=2)[0], first) and not same(train(seed=1)[0], first)


def starts(seed):
    """What the random starts add to grey images, batch by batch: a step of length 0 leaves the start as it is."""
    model, (x, y) = Recorder(linear()), blobs()
    quiet(
        model, (torch.full_like(x, 0.5), y), PAT(0.2, alpha=0.0, steps=1), epochs=2, batch_size=30, seed=seed
    )
    return torch.stack(model.learnt_from()) - 0.5


def test_each_batch_starts_afresh():
    """Against the uniform law on the ball, by mean and variance, and no correlation between batches; the seed repeats it."""
    found = starts(0)
    assert torch.equal(found, starts(0)) and not torch.equal(found, starts(1))
    n = found.numel()
    assert found.abs().max() <= 0.2 and found.abs().max() > 0.199
    assert abs(found.mean()) < 4 * 0.2 / math.sqrt(3 * n)
    assert found.var().item() == pytest.approx(0.2**2 / 3, rel=0.1)
    correlations = np.corrcoef(found.flatten(1).numpy()) - np.eye(4)
    assert np.abs(correlations).max() < 4 / math.sqrt(found[0].numel())


def test_an_interrupted_run_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    """Against an uninterrupted run, bit for bit, where the reader presses stop in epoch 4, while the budget still grows."""
    whole, whole_history = train(checkpoint=tmp_path / "whole.pt")
    calls, loss = count(1), PAT.__call__

    def stopping(objective, model, x, y):
        if next(calls) == 14:
            raise KeyboardInterrupt
        return loss(objective, model, x, y)

    stopped = PAT(eps=0.2, steps=2, ramp=0.9)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(PAT, "__call__", stands_for(stopping, loss))
        train(objective=stopped, checkpoint=tmp_path / "a.pt")
    assert len(torch.load(tmp_path / "a.pt", weights_only=True)["history"]["loss"]) == 3
    resumed, history = train(checkpoint=tmp_path / "a.pt")
    assert same(resumed, whole.state_dict()) and history.loss == whole_history.loss and len(history) == 6
    assert same(train(objective=stopped)[0], whole.state_dict())  # the one that was stopped has kept nothing


@pytest.mark.parametrize(
    "change", [{"eps": 0.1}, {"alpha": 0.1}, {"steps": 3}, {"ramp": 0.5}, {"mix": 0.5}], ids=str
)
def test_a_checkpoint_of_other_settings_is_refused(change, tmp_path):
    """Against one changed setting at a time."""
    train(checkpoint=tmp_path / "a.pt")
    with pytest.raises(InputError, match="checkpoint: .* of another run, with other objective"):
        train(objective=PAT(**{"eps": 0.2, "steps": 2, "ramp": 0.9, **change}), checkpoint=tmp_path / "a.pt")


# ---- the ramp ----


@pytest.mark.parametrize("ramp", [0.0, 1 / 3, 1.0])
@pytest.mark.parametrize("alpha", [None, 0.1])
def test_the_budget_grows_over_the_first_part(ramp, alpha):
    """Against the largest change of each batch: a straight line up to eps. Grey images, and weights that are no zero."""
    x, y = torch.full((60, 1, 4, 4), 0.5), torch.arange(60) % 2
    model = Recorder(two_classes()[0])
    objective = PAT(eps=0.3, alpha=alpha, steps=8, ramp=ramp)
    quiet(model, (x, y), objective, schedule=objective.following(), epochs=4, batch_size=6, lr=1e-4)
    found = [(images - 0.5).abs().max().item() for images in model.learnt_from()]
    done = (np.arange(40) + 0.5) / 40
    assert found == pytest.approx(0.3 * np.minimum(1, done / ramp) if ramp else [0.3] * 40, abs=1e-6)


def test_a_step_grows_with_the_budget():
    """Against one step of 0.2 * 0.05 / 0.5, at a twentieth of training, from a start at most a tenth of 0.1 away."""
    x, y = torch.full((2, 1, 4, 4), 0.5), torch.arange(2)
    model = Recorder(two_classes()[0]).train()
    objective = PAT(eps=0.1, alpha=0.02, steps=1, ramp=0.5)
    objective.following()(0.05)
    torch.manual_seed(0)
    objective(model, x, y)
    (_, start), (_, images) = model.seen
    step = (images - start).abs()
    assert (start - 0.5).abs().max() <= 0.01 + 1e-7 and step.max().item() == pytest.approx(0.002, abs=1e-6)


def test_the_schedule_is_the_one_that_was_asked_for():
    """Against `one_cycle`, 1, and a function of the caller's."""
    for given, expected in (("one-cycle", one_cycle), ("constant", lambda done: 1.0), (math.sqrt, math.sqrt)):
        schedule = PAT(ramp=0.5).following(given)
        assert [schedule(done) for done in (0.1, 0.3, 0.9)] == [expected(done) for done in (0.1, 0.3, 0.9)]
    assert PAT().following()(0.2) == one_cycle(0.2)


def test_a_ramp_that_nothing_feeds_is_refused():
    """Against the forgotten schedule, which would leave the budget unknown; and what was told serves one loss."""
    with pytest.raises(InputError, match="ramp: got 0.25, but nothing tells.*schedule=objective.following"):
        quiet(linear(), blobs(), PAT(ramp=0.25), epochs=1)
    objective, model = PAT(ramp=0.25, steps=1), linear()
    objective.following()(0.5)
    assert objective(model, *blobs()).item() == pytest.approx(math.log(3))
    with pytest.raises(InputError, match="ramp: got 0.25"):
        objective(model, *blobs())


# ---- arguments ----


@pytest.mark.parametrize(
    "change, message",
    [
        ({"eps": -0.1}, "eps: got -0.1; allowed is a number >= 0"),
        ({"eps": math.nan}, "eps: got nan"),
        ({"eps": "0.3"}, "eps: got '0.3'"),
        ({"alpha": -1.0}, "alpha: got -1.0"),
        ({"steps": 0}, "steps: got 0; allowed is an integer >= 1"),
        ({"steps": 2.5}, "steps: got 2.5"),
        ({"ramp": -0.1}, "ramp: got -0.1; allowed is a number >= 0 and <= 1"),
        ({"ramp": 1.5}, "ramp: got 1.5"),
        ({"ramp": None}, "ramp: got None"),
        ({"mix": 1.01}, "mix: got 1.01; allowed is a number >= 0 and <= 1"),
        ({"mix": True}, "mix: got True"),
    ],
)
def test_bad_settings_are_named(change, message):
    """Against one bad setting at a time; the error names it, before any training."""
    with pytest.raises(InputError, match=message):
        PAT(**change)


def test_bad_images_labels_and_schedules_are_named():
    """Against one bad argument at a time, through `fit` where it comes from there; the error names it."""
    x, y = blobs()
    with pytest.raises(InputError, match="y: got label 3; allowed are 0 to 2"):
        quiet(linear(), (x, y + 1), PAT(), epochs=1)
    with pytest.raises(InputError, match="y: got .*allowed are int64 class numbers"):
        quiet(linear(), (x, y.float()), PAT(), epochs=1)
    with pytest.raises(InputError, match=r"x: got values in .*allowed is \[0, 1\]"):
        PAT()(linear(), x * 255, y)
    with pytest.raises(InputError, match="schedule: got 'cosine'.*'one-cycle', 'constant'"):
        PAT().following("cosine")


# ---- the models that ship ----


def robust_accuracy(name, attack, n=1000):
    """The accuracy of a shipped model on `n` held-out digits under `attack`."""
    model, (x, y) = models.load(name), data.load("mnist-5k").pick(n)
    return accuracy(model, attack(model, x, y), y)


def test_cards_tell_the_robustness():
    """Against the bars: robust, less so for the mistake, and not at all undefended; the card names the attack in full."""
    cards = {name: models.card(name) for name in COMPARED}
    assert cards["mnist-pat"]["clean_accuracy"] >= 0.98 and cards["mnist-pat"]["pgd_accuracy"] >= 0.88
    assert cards["mnist-pat-weak"]["pgd_accuracy"] <= cards["mnist-pat"]["pgd_accuracy"] - 0.1
    assert cards["mnist-small"]["pgd_accuracy"] <= 0.01
    for card in cards.values():
        assert repr(PGD(0.3, None, 100, restarts=10)) in card["attacks"]
        assert card["minimum_accuracy"] <= card["pgd_accuracy"]
    assert {models.card(name)["architecture"] for name in COMPARED} == {"mnist-small"}


def test_the_mistake_is_the_only_difference():
    """Against the recipes: half of the loss is clean, and training lasts a fifth as long."""
    right, wrong = recipes.RECIPES["mnist-pat"], recipes.RECIPES["mnist-pat-weak"]
    assert replace(wrong, epochs=right.epochs, objective=right.objective) == right
    assert replace(wrong.objective(), mix=0.0) == right.objective() and wrong.objective().mix == 0.5
    assert wrong.epochs == pytest.approx(0.2 * right.epochs)


def test_the_robust_model_withstands_a_quick_attack():
    """Against 88 %, the bar of the full attack, on 200 digits under 20 steps; undefended, one step breaks the network."""
    quick = PGD(eps=0.3, steps=20)
    assert robust_accuracy("mnist-pat", quick, 200) >= 0.88
    assert robust_accuracy("mnist-small", quick, 200) <= 0.02
    assert robust_accuracy("mnist-small", FGSM(eps=0.3), 200) <= 0.4


def test_one_step_flatters_the_mistake():
    """Against the same digits under 20 steps: FGSM leaves it 75 % or more, and at least 5 points more than PGD does."""
    one, many = (robust_accuracy("mnist-pat-weak", attack, 500) for attack in (FGSM(0.3), PGD(0.3, steps=20)))
    assert one >= 0.75 and many <= one - 0.05


@pytest.mark.slow
def test_another_norm_goes_through():
    """Against Sharma and Chen (arXiv:1710.10733): EAD fools it, and with changes no larger in L1 than the undefended need."""
    nets, (x, y) = (
        [models.load(name) for name in ("mnist-pat", "mnist-small")],
        data.load("mnist-5k").pick(24),
    )
    both_right = torch.stack([predict(net, x).argmax(1) == y for net in nets]).all(0)
    x, y = x[both_right], y[both_right]
    attack = EAD(steps=300, binary_search_steps=9, initial_const=0.1)
    robust, undefended = (attack.run(net, x, y) for net in nets)
    assert robust.success.all() and undefended.success.all() and len(x) >= 20
    assert robust.distances["L1"].median() <= undefended.distances["L1"].median()
    assert (robust.distances["Linf"] > 0.3).float().mean() >= 0.9  # outside the ball that it was trained on


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("ADVCOURSE_SLOW"), reason="minutes; set ADVCOURSE_SLOW=1")
@pytest.mark.parametrize("name", COMPARED)
def test_the_full_attack_gives_the_accuracy_on_the_card(name):
    """Against the card: all held-out digits, 100 steps, 10 restarts; another processor may tip a few images."""
    test = data.load("mnist-5k")
    attacked = recipe_kinds.ATTACK(models.load(name), test.images, test.labels)
    found = accuracy(models.load(name), attacked, test.labels)
    assert found == pytest.approx(models.card(name)["pgd_accuracy"], abs=0.004)
