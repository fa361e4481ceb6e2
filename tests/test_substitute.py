"""Substitute training: against the paper's algorithm by hand, closed forms of a linear model, and what comes of it."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from nets import Scaled, conv, images, linear
from scipy import special
from torch import nn

from advcourse import data, models
from advcourse.attacks import FGSM, Transfer, augment, train_substitute
from advcourse.core.inputs import InputError, accuracy, predict
from advcourse.training import fit

X = images(20, (1, 6, 6), dtype=torch.float64)
VICTIM, OWN = linear(3, seed=1), linear(3, seed=2)


class Oracle(nn.Module):
    """Answers with a row that tells its label and no more; keeps what it was asked, and refuses to be differentiated."""

    def __init__(self, model):
        super().__init__()
        self.model, self.asked = model, []

    def forward(self, x):
        assert not (self.training or torch.is_grad_enabled() or x.requires_grad)
        self.asked.append(x.clone())
        logits = self.model(x)
        return 2 * nn.functional.one_hot(logits.argmax(1), logits.shape[1]).to(logits) - 1


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_the_record_is_its_own_copy():
    """Checks the record of one round against the images as they were, after the caller has filled theirs."""
    x = X.clone()
    result = train_substitute(VICTIM, OWN, x, rounds=1, epochs=1)
    x.fill_(0)
    assert torch.equal(result.images, X) and torch.equal(result.labels, VICTIM(X).argmax(1))


def test_augment_a_linear_model():
    """Against the derivative of the softmax by hand, in numpy: dp_y/dx = p_y (w_y - sum_k p_k w_k)."""
    y = torch.arange(20) % 3
    w, flat = OWN.weight.detach().numpy(), X.flatten(1).numpy()
    p = special.softmax(flat @ w.T, axis=1)
    slope = p[range(20), y][:, None] * (w[y] - p @ w)
    expected = np.clip(flat + 0.1 * np.sign(slope), 0, 1).reshape(X.shape)
    assert np.array_equal(augment(OWN, X, y).numpy(), expected)
    assert np.array_equal(augment(OWN, X, y, 0.0).numpy(), X.numpy())


def test_augment_where_the_probability_is_1():
    """Against sign(w_y - w_other), which does not depend on scale: in float32 the probability's own derivative is 0."""
    model, x = Scaled(linear(2, dtype=torch.float32), 1e4), X.float()
    y = model(x).argmax(1)
    assert (model(x).softmax(1).amax(1) == 1).all()
    w = model.model.weight.detach()
    expected = (x + 0.1 * (w[y] - w[1 - y]).sign().view_as(x)).clamp(0, 1)
    assert torch.equal(augment(model, x, y), expected)


@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_queries_are_counted(rounds):
    """Against the victim's own count: n * 2^(rounds - 1) images, each once, in the order of the record; the judge's are extra."""
    victim, held_out = Oracle(VICTIM).eval(), images(7, (1, 6, 6), seed=9, dtype=torch.float64)
    result = train_substitute(victim, OWN, X, rounds, epochs=1)
    assert torch.equal(torch.cat(victim.asked), result.images)
    assert result.queries == len(result.images) == 20 * 2 ** (rounds - 1)
    assert torch.equal(result.labels, VICTIM(result.images).argmax(1))
    assert result.sizes == tuple(20 * 2**k for k in range(rounds))
    assert len(result.agreement) == rounds and all(map(math.isnan, result.agreement))
    victim.asked.clear()
    judged = train_substitute(victim, OWN, X, rounds, epochs=1, held_out=held_out)
    assert judged.queries == result.queries == sum(map(len, victim.asked)) - 7
    agreed = (predict(judged.model, held_out).argmax(1) == VICTIM(held_out).argmax(1)).double().mean()
    assert judged.agreement[-1] == agreed.item()


def test_nothing_but_labels():
    """Against a victim that gives one-hot rows and refuses gradients: bit for bit the substitute of the one with logits."""
    one, other = (train_substitute(victim, OWN, X, 3, epochs=2) for victim in (VICTIM, Oracle(VICTIM).eval()))
    assert torch.equal(weights(one.model), weights(other.model)) and torch.equal(one.images, other.images)
    assert all(parameter.grad is None for parameter in VICTIM.parameters())


def test_the_algorithm_by_hand():
    """Against the paper's loop written out: label, train, move along the substitute's own Jacobian, label, train on both."""
    by_hand = linear(3, seed=2)
    settings = {"epochs": 2, "batch_size": 32, "lr": 3e-3, "seed": 4, "device": "cpu", "progress": False}
    first = VICTIM(X).argmax(1)
    fit(by_hand, (X, first), **settings)
    moved = augment(by_hand, X, first, 0.2)
    fit(by_hand, (torch.cat([X, moved]), torch.cat([first, VICTIM(moved).argmax(1)])), **settings)
    result = train_substitute(VICTIM, OWN, X, 2, 0.2, epochs=2, seed=4)
    assert torch.equal(weights(result.model), weights(by_hand))
    assert torch.equal(result.images, torch.cat([X, moved]))


def test_nothing_is_left_behind():
    """Against everything as it was: modes, weights, buffers and the global random state; the same seed trains the same net."""
    victim, own, x = conv().train(), conv(seed=3).train(), images(24, (1, 8, 8))
    before, state = [weights(net) for net in (victim, own)], torch.get_rng_state()
    one, other = (train_substitute(victim, own, x, 2, epochs=2, seed=s) for s in (5, 6))
    assert torch.equal(torch.get_rng_state(), state) and victim.training and own.training
    assert all(torch.equal(weights(net), old) for net, old in zip((victim, own), before))
    assert all(buffer.float().mean() in (0, 1) for net in (victim, own) for buffer in net.buffers())
    again = train_substitute(victim, own, x, 2, epochs=2, seed=5).model
    assert torch.equal(weights(one.model), weights(again)) and not one.model.training
    assert not torch.equal(weights(one.model), weights(other.model))


# ---- on digits ----


@cache
def attacked(name):
    """A victim, a substitute that has learnt from 1200 of its labels, and 200 digits that neither knows."""
    digits, victim = data.load("mnist-5k"), models.load(name)
    own = models.build("mnist-mlp", seed=1)
    found = train_substitute(victim, own, digits.images[:300], 3, lr=1e-3, held_out=digits.images[500:])
    return victim, found, digits.images[300:500], digits.labels[300:500]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist-small", "mnist-distilled"])
def test_a_substitute_agrees_and_its_images_carry_over(name):
    """Against chance, an agreement of 10 %, and against random signs of the same size: the look-alike's signs fool more."""
    victim, found, x, y = attacked(name)
    assert found.queries == 1200 and min(found.agreement) >= 0.75
    carried = Transfer(FGSM(0.3), found.model).run(victim, x, y)
    assert carried.success_rate >= 0.3
    noise = (x + 0.3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).sign()).clamp(0, 1)
    assert 1 - accuracy(victim, noise, y) <= carried.success_rate - 0.2


def test_it_gets_round_a_hidden_gradient():
    """Against the victim's own float32 cross-entropy, 0 for most digits: the look-alike's sign fools more than its sign does."""
    victim, found, x, y = attacked("mnist-distilled")
    z = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(nn.functional.cross_entropy(victim(z), y, reduction="sum"), z)
    assert (g == 0).flatten(1).all(1).double().mean() >= 0.5
    naive = (x + 0.3 * g.sign()).clamp(0, 1)
    carried = Transfer(FGSM(0.3), found.model).run(victim, x, y)
    assert carried.success_rate >= 1 - accuracy(victim, naive, y) + 0.1


# ---- arguments ----


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"x": X[:0]}, "x: got no images"),
        ({"x": X[0]}, "x: got a tensor of shape"),
        ({"victim": "mnist-cnn"}, "victim: got 'mnist-cnn'; allowed is a torch.nn.Module"),
        ({"substitute": None}, "substitute: got None; allowed is a torch.nn.Module"),
        ({"rounds": 0}, "rounds: got 0; allowed is an integer >= 1"),
        ({"step": -0.1}, "step: got -0.1; allowed is a number >= 0"),
        ({"seed": -1}, "seed: got -1; allowed is an integer >= 0"),
        ({"epochs": 0}, "epochs: got 0"),
        ({"held_out": X * 2}, "x: got values in"),
        ({"victim": linear(5, seed=1)}, "victim's labels: got label [34]; allowed are 0 to 2"),
    ],
)
def test_bad_settings_are_named(settings, message):
    """Against one bad argument at a time; the error names it."""
    with pytest.raises(InputError, match=message):
        train_substitute(**({"victim": VICTIM, "substitute": OWN, "x": X} | settings))


def test_bad_labels_are_named():
    """Against labels that the model does not have, and too few of them."""
    with pytest.raises(InputError, match="y: got label 3; allowed are 0 to 2"):
        augment(OWN, X, torch.full((20,), 3))
    with pytest.raises(InputError, match="y: got a tensor of shape"):
        augment(OWN, X, torch.zeros(3, dtype=torch.long))
