"""Free adversarial training: the loop of its paper, what it carries from batch to batch, and that `fit` can resume it."""

from itertools import count

import numpy as np
import pytest
import torch
from objectives import Recorder, left, linear_model, plain, trained
from tiny import blobs, linear, network, quiet, same, snapshot
from torch.nn import functional as F

from advcourse.attacks import PGD
from advcourse.core.identity import stands_for
from advcourse.core.inputs import InputError
from advcourse.defenses import FreeAT
from advcourse.training import cross_entropy
from advcourse.training.augmentation import shifts


def grey(n=60, classes=3, seed=0):
    """A linear model with random weights, and images of which no change of 0.3 leaves [0, 1], nor is cut there."""
    model, x, y = linear_model(classes, seed)
    return model, 0.4 + 0.4 * (x[:n] - 0.25), y[:n]


def by_hand(model, x, y, eps, replays, epochs, batch_size, lr):
    """Algorithm 1 of the paper for a linear model and gradient descent, its gradients in closed form, in NumPy.

    The order of the images is `fit`'s: a permutation for each epoch, from a generator of seed 0. Returns (W, b, delta, losses).
    """
    w, b = (p.detach().double().numpy().copy() for p in model[1].parameters())
    x, y, onehot = x.flatten(1).double().numpy(), y.numpy(), np.eye(len(b))
    delta, losses, order = np.zeros((batch_size, x.shape[1])), [], torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for places in torch.randperm(len(x), generator=order).split(batch_size):
            batch, labels = x[places], y[places]
            n = len(batch)
            for _ in range(replays):
                attacked = batch + delta[:n]
                scores = np.exp(attacked @ w.T + b)
                p = scores / scores.sum(1, keepdims=True)
                losses.append(-np.log(p[range(n), labels]).mean())
                error = (p - onehot[labels]) / n
                g_w, g_b, g_x = error.T @ attacked, error.sum(0), error @ w
                w, b = w - lr * g_w, b - lr * g_b
                delta[:n] = np.clip(delta[:n] + eps * np.sign(g_x), -eps, eps)
    return w, b, delta, losses


@pytest.mark.parametrize("replays, epochs, batch_size", [(1, 3, 60), (4, 2, 20), (3, 2, 16), (8, 1, 25)])
def test_fit_takes_the_steps_of_the_papers_algorithm(replays, epochs, batch_size):
    """Against algorithm 1 in NumPy, with the gradients of a linear model in closed form: the same weights and mean losses.

    Batches of 16 and 25 leave a smaller one at the end, which moves the first rows of delta alone.
    """
    model, x, y = grey()
    w, b, _, losses = by_hand(model, x, y, 0.1, replays, epochs, batch_size, lr=0.5)
    start, settings = model[1].weight.detach().clone(), {"optimizer": torch.optim.SGD, "schedule": "constant"}
    history = quiet(
        model, (x, y), FreeAT(0.1, replays), epochs=epochs, batch_size=batch_size, lr=0.5, **settings
    )
    assert torch.allclose(model[1].weight.double(), torch.tensor(w), atol=1e-5)
    assert torch.allclose(model[1].bias.double(), torch.tensor(b), atol=1e-5)
    assert (model[1].weight - start).abs().max() > 0.01
    sizes = np.repeat([len(part) for part in torch.arange(60).split(batch_size)] * epochs, replays)
    means = (np.array(losses) * sizes).reshape(epochs, -1).sum(1) / (60 * replays)
    assert history.loss == pytest.approx(means.tolist(), rel=1e-4)


def test_a_loop_of_ones_own_moves_the_perturbation():
    """Against delta by hand, after three batches of falling size: rows that no image takes stay as they are."""
    model, x, y = grey()
    objective = FreeAT(0.1, replays=1)
    assert objective.state_dict() == {}
    expected = torch.zeros(20, 16)
    for n in (20, 12, 5):
        attacked = (x[:n].flatten(1) + expected[:n]).view(n, 1, 4, 4).requires_grad_()
        exact = F.cross_entropy(model(attacked), y[:n])
        (gradient,) = torch.autograd.grad(exact, attacked)
        expected[:n] = (expected[:n] + 0.1 * gradient.flatten(1).sign()).clamp(-0.1, 0.1)
        loss = objective(model, x[:n], y[:n])
        assert loss.item() == pytest.approx(exact.item(), rel=1e-5)
        loss.backward()
        assert torch.allclose(objective.state_dict()["delta"].flatten(1), expected, atol=1e-7)
    assert expected.abs().max() == pytest.approx(0.1)


def test_images_stay_in_the_ball_and_in_the_range():
    """Against a record of the model: every pass is in training mode, and changes no pixel by more than eps."""
    (x, y), model = blobs(), Recorder(network())
    x = (x * 2).clamp(0, 1)
    quiet(model, (x, y), FreeAT(0.3, replays=5), epochs=1, batch_size=60)
    seen = torch.stack(model.learnt_from())
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    assert len(model.seen) == len(seen) == 5 and torch.equal(seen[0], x[order])
    assert seen.min() == 0 and seen.max() == 1 and (seen - x[order]).abs().max() <= 0.3 + 1e-6
    assert all((later != earlier).any() for earlier, later in zip(seen, seen[1:]))


def test_a_clipped_pixel_can_come_back():
    """Against white images and a model that fears dark ones: delta, first driven above the range, follows the gradient down."""
    model = linear(2)
    with torch.no_grad():
        model[1].weight[1] = -1.0
    objective, x = FreeAT(0.2), torch.ones(4, 1, 4, 4)
    for label, expected in ((1, 0.2), (0, 0.0), (0, -0.2)):
        objective(model, x, torch.full((4,), label)).backward()
        assert torch.allclose(objective.state_dict()["delta"], torch.full_like(x, expected), atol=1e-7)


def test_without_a_budget_or_a_replay_it_is_ordinary_training():
    """Against the weights that `cross_entropy` gives, bit for bit, at eps 0 and one step on each batch."""
    ordinary, free = network(), network()
    quiet(ordinary, blobs(), cross_entropy, epochs=3, augment=shifts(1))
    quiet(free, blobs(), FreeAT(eps=0.0, replays=1), epochs=3, augment=shifts(1))
    assert same(free, ordinary.state_dict())


def test_one_batch_replayed_is_one_epoch_of_each_replay():
    """Against ordinary training of 6 epochs on the only batch: at eps 0 six replays take the same steps at the same rates."""
    (x, y), ordinary, free = blobs(), linear(), linear()
    history = quiet(ordinary, (x, y), epochs=6, batch_size=60, lr=0.1)
    once = quiet(free, (x, y), FreeAT(eps=0.0, replays=6), epochs=1, batch_size=60, lr=0.1)
    assert once.lr == history.lr[-1:] and once.loss == [pytest.approx(np.mean(history.loss), rel=1e-5)]
    assert torch.allclose(free[1].weight, ordinary[1].weight, atol=1e-5)


def test_a_batch_is_augmented_once():
    """Against a count: the replays of a batch see one and the same augmented image."""
    calls, model = count(), Recorder(linear())

    def noting(x, generator):
        next(calls)
        return shifts(1)(x, generator)

    quiet(model, blobs(), FreeAT(eps=0.0, replays=3), epochs=2, batch_size=20, augment=noting)
    seen = torch.stack(model.learnt_from()).view(6, 3, 20, 1, 4, 4)
    assert next(calls) == 6 and (seen == seen[:, :1]).all()


# ---- the ramp, and nothing left behind ----


def test_the_budget_grows_with_each_step():
    """Against the straight line: after step i of n the largest delta is eps * (i + 1/2) / n / ramp, at most eps."""
    objective, found = FreeAT(0.2, replays=4, ramp=0.5), []
    schedule = objective.following("constant")

    def noting(done):
        if done > 0.05:  # before the first step nothing is carried
            found.append(objective.state_dict()["delta"].abs().max().item())
        return schedule(done)

    model, x, y = grey()
    quiet(model, (x, y), objective, schedule=noting, epochs=3, batch_size=60, lr=1e-4)
    done = (np.arange(12) + 0.5) / 12
    assert found == pytest.approx((0.2 * np.minimum(1, done / 0.5))[:-1].tolist(), abs=1e-6)


def train(objective, checkpoint=None, seed=0):
    model, settings = network(), {"epochs": 5, "batch_size": 16, "lr": 0.05, "augment": shifts(1)}
    schedule = objective.following() if objective.ramp else "one-cycle"
    history = quiet(
        model, blobs(), objective, schedule=schedule, seed=seed, checkpoint=checkpoint, **settings
    )
    return model, history


@pytest.mark.parametrize("ramp", [0.0, 0.9])
def test_an_interrupted_run_goes_on_to_the_same_weights(ramp, tmp_path, monkeypatch):
    """Against an uninterrupted run, bit for bit: stopped within the replays of a batch in epoch 3, resumed by a new objective.

    One that starts from no perturbation ends elsewhere: what the checkpoint carries is what makes the weights the same.
    """
    whole, whole_history = train(FreeAT(0.2, 3, ramp))
    calls, loss, stopped = count(1), FreeAT.__call__, FreeAT(0.2, 3, ramp)

    def stopping(objective, model, x, y):
        if next(calls) == 32:
            raise KeyboardInterrupt
        return loss(objective, model, x, y)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(FreeAT, "__call__", stands_for(stopping, loss))
        train(stopped, tmp_path / "a.pt")
    state = torch.load(tmp_path / "a.pt", weights_only=True)
    assert len(state["history"]["loss"]) == 2 and state["objective"]["delta"].shape == (16, 1, 4, 4)
    torch.save(state | {"objective": {}}, tmp_path / "forgetful.pt")
    resumed, history = train(FreeAT(0.2, 3, ramp), tmp_path / "a.pt")
    assert same(resumed, whole.state_dict()) and history.loss == whole_history.loss
    assert not same(train(FreeAT(0.2, 3, ramp), tmp_path / "forgetful.pt")[0], whole.state_dict())
    assert stopped.state_dict() == {} and same(train(stopped)[0], whole.state_dict())


def test_a_run_leaves_nothing_in_the_objective():
    """Against a second run with the same one, and its text, which is its settings alone."""
    objective = FreeAT(0.2, replays=2)
    objective(network(), *blobs()).backward()  # what was carried before the run has no part in it
    first = snapshot(train(objective)[0])
    assert objective.state_dict() == {} and same(train(objective)[0], first)
    assert not same(train(objective, seed=1)[0], first)
    assert repr(objective) == "FreeAT(eps=0.2, replays=2, ramp=0.0)" and objective == FreeAT(0.2, 2)


def test_what_it_carries_is_a_copy():
    """Against the state taken earlier, after more steps; and images of another size start from 0."""
    model, x, y = grey()
    objective = FreeAT(0.1)
    objective(model, x, y).backward()
    before = objective.state_dict()
    kept = before["delta"].clone()
    other = FreeAT(0.1)
    other.load_state_dict(before)
    assert other(model, x, y).item() == objective(model, x, y).item()
    other(model, x, 2 - y).backward()
    assert torch.equal(before["delta"], kept) and not torch.equal(other.state_dict()["delta"], kept)
    large, labels = torch.full((3, 1, 8, 8), 0.5), torch.zeros(3).long()
    net = linear(pixels=64)
    assert objective(net, large, labels).item() == pytest.approx(F.cross_entropy(net(large), labels).item())


# ---- arguments ----


@pytest.mark.parametrize(
    "change, message",
    [
        ({"eps": -0.1}, "eps: got -0.1"),
        ({"eps": "0.3"}, "eps: got '0.3'"),
        ({"replays": 0}, "replays: got 0; allowed is an integer >= 1"),
        ({"replays": 2.0}, "replays: got 2.0"),
        ({"ramp": 1.5}, "ramp: got 1.5"),
    ],
)
def test_bad_settings_are_named(change, message):
    """Against one bad argument at a time; the error names it."""
    with pytest.raises(InputError, match=message):
        FreeAT(**change)


def test_fit_checks_the_replays_of_any_objective():
    """Against an objective of the reader's own that keeps the protocol but for its number; and a ramp that nothing feeds."""

    class Own:
        replays = 0.5

        def __call__(self, model, x, y):
            return cross_entropy(model, x, y)

        def state_dict(self):
            return {}

        def load_state_dict(self, state):
            assert state == {}

    with pytest.raises(InputError, match=r"objective.replays: got 0.5; allowed is an integer >= 1"):
        quiet(linear(), blobs(), Own(), epochs=1)
    Own.replays = 2
    assert len(quiet(linear(), blobs(), Own(), epochs=3)) == 3
    with pytest.raises(InputError, match="ramp: got 0.25, but nothing tells"):
        quiet(linear(), blobs(), FreeAT(ramp=0.25), epochs=1)


# ---- it does what its paper says ----


def test_it_holds_against_pgd_for_the_price_of_ordinary_training():
    """Against the same network trained by as many passes without a defense, under PGD on 200 held-out digits (eps 0.2)."""
    attack = PGD(0.2, steps=20)
    free = trained(FreeAT(0.2, replays=8), epochs=2)
    assert left(free, attack) > left(plain(), attack) + 0.3
