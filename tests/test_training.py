import io
import math
import random
from contextlib import redirect_stderr

import numpy as np
import pytest
import torch
from tiny import blobs, linear, network, quiet, same, snapshot
from torch import nn
from torch.nn import functional as F

from advcourse import data
from advcourse.core.inputs import InputError, accuracy
from advcourse.training import DivergenceError, cross_entropy, fit, one_cycle
from advcourse.training.augmentation import shifts

# ---- it minimises what it is given ----


def test_one_step_of_gradient_descent_in_closed_form():
    """Against the gradient of the mean squared error of a linear model, worked out by hand, with one batch."""
    x, y = blobs()
    model = linear(1)

    def squared_error(model, x, y):
        return ((model(x)[:, 0] - y) ** 2).mean()

    history = quiet(
        model,
        (x, y.double().float()),
        squared_error,
        epochs=1,
        batch_size=60,
        lr=0.1,
        optimizer=torch.optim.SGD,
        schedule="constant",
    )
    flat, residual = x.flatten(1).double(), -y.double()  # all weights were zero
    assert torch.allclose(
        model[1].weight[0].double(), -0.1 * 2 * (residual[:, None] * flat).mean(0), atol=1e-6
    )
    assert model[1].bias.item() == pytest.approx(-0.1 * 2 * residual.mean().item(), rel=1e-5)
    assert history.loss == [pytest.approx((y.double() ** 2).mean().item(), rel=1e-5)]


def test_logistic_regression_reaches_scikit_learns_optimum():
    """Against sklearn's LogisticRegression on its own digits: the same convex loss, the same minimum."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    bunch = load_digits()
    x, y, penalty = bunch.data[:200] / 16, bunch.target[:200], 0.01
    reference = LogisticRegression(C=1 / (penalty * len(x)), tol=1e-6, max_iter=1000).fit(x, y)

    def objective(model, x, y):
        return F.cross_entropy(model(x), y) + penalty / 2 * model[1].weight.square().sum()

    def total(probabilities, weight):
        return log_loss(y, probabilities) + penalty / 2 * np.square(weight).sum()

    model = linear(10, 64)
    images = torch.tensor(x, dtype=torch.float32).view(-1, 1, 8, 8)
    quiet(model, (images, torch.tensor(y)), objective, epochs=150, batch_size=200, lr=0.1)
    ours = total(model(images).detach().double().softmax(1).numpy(), model[1].weight.detach().numpy())
    optimum = total(reference.predict_proba(x), reference.coef_)
    assert optimum - 1e-5 <= ours <= optimum * 1.002


def test_the_first_loss_is_that_of_guessing():
    """Against log K, the cross-entropy of a model whose weights are all zero."""
    history = quiet(linear(), blobs(), epochs=1, batch_size=60, lr=1e-6)
    assert history.loss[0] == pytest.approx(math.log(3), rel=1e-6)


def test_the_mean_loss_counts_every_image_once():
    """Against the mean over all images, where the last batch is smaller than the others."""
    x, y = blobs(50)
    seen = []

    def objective(model, x, y):
        seen.append(x)
        return model(x).mean() * 0 + x.mean()

    history = quiet(linear(), (x, y), objective, epochs=1, batch_size=16)
    assert [len(batch) for batch in seen] == [16, 16, 16, 2]
    assert history.loss[0] == pytest.approx(x.mean().item(), rel=1e-5)
    assert sorted(map(float, torch.cat(seen).flatten())) == sorted(map(float, x.flatten()))


def test_learning_rate_of_each_step():
    """Against the schedule's corners, and the rates that a recording optimizer saw: up, down, never zero."""
    rates = []

    class Recorder(torch.optim.SGD):
        def step(self):
            rates.append(self.param_groups[0]["lr"])
            return super().step()

    quiet(linear(), blobs(), epochs=5, batch_size=6, lr=0.2, optimizer=Recorder)
    assert [one_cycle(0), one_cycle(0.3), one_cycle(1)] == [0, 1, 0]
    assert rates == pytest.approx(
        [0.2 * np.interp((i + 0.5) / 50, [0, 0.3, 1], [0, 1, 0]) for i in range(50)]
    )
    rates.clear()
    history = quiet(
        linear(), blobs(), epochs=2, batch_size=30, lr=0.2, optimizer=Recorder, schedule=lambda done: done
    )
    assert rates == pytest.approx([0.025, 0.075, 0.125, 0.175]) and history.lr == pytest.approx(
        [0.075, 0.175]
    )


def test_it_learns_the_digits():
    """Against the bar that a linear model is known to pass on MNIST (LeCun et al. 1998: 88 % correct)."""
    model, test = linear(10, 784), data.load("mnist-5k")
    quiet(model, data.load("mnist-5k", "train"), epochs=4, lr=0.01)
    assert accuracy(model, test.images, test.labels) > 0.86


# ---- the seed alone decides ----


def _train(seed=0, global_seed=1):
    torch.manual_seed(global_seed)
    model = network()
    quiet(model, blobs(), epochs=2, batch_size=16, augment=shifts(1), seed=seed)
    return snapshot(model)


def test_the_seed_alone_decides():
    """Against a second run, after the global generators were seeded otherwise; another seed gives other weights."""
    first = _train()
    again, other = _train(global_seed=2), _train(seed=1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_global_random_state_is_as_before():
    """Against the states of torch, numpy and random, read before and after."""
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    _ = quiet(network(), blobs(), epochs=1, augment=shifts(1))
    after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    assert torch.equal(before[0], after[0]) and before[1:] == after[1:]


def test_modes_gradients_and_requires_grad_are_as_before():
    """Against the flags set by hand: one part in eval mode, one frozen. The frozen part does not learn."""
    model = network().train()
    model[2].eval()
    model[1].requires_grad_(False)
    frozen = snapshot(model[1])
    quiet(model, blobs(), epochs=2, validation=blobs(seed=1))
    assert model.training and not model[2].training and model[4].training
    assert same(model[1], frozen) and not model[1].weight.requires_grad and model[5].weight.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())
    assert quiet(model.eval(), blobs(), epochs=1).seconds and not any(
        part.training for part in model.modules()
    )


# ---- the best weights ----


def test_the_best_epoch_by_score_is_kept():
    """Against weights recorded by the score itself; the later of two equal epochs wins."""
    seen, scores = [], iter([0.1, 0.9, 0.3, 0.9, 0.2])

    def score(model):
        assert not model.training
        seen.append(snapshot(model))
        return next(scores)

    model = network()
    history = quiet(model, blobs(), epochs=5, score=score)
    assert history.best_epoch == 3 and history.score == [0.1, 0.9, 0.3, 0.9, 0.2]
    assert same(model, seen[3]) and not same(model, seen[4])


def test_the_best_epoch_by_validation_is_kept():
    """Against the accuracy measured afterwards: it is the highest of the history, though the last steps did harm."""
    train, held_out = blobs(), blobs(seed=1)
    model = linear()
    harmful = lambda done: 1.0 if done < 0.5 else -1.0  # noqa: E731  goes uphill in the second half
    history = quiet(model, train, validation=held_out, epochs=8, lr=0.1, schedule=harmful)
    assert accuracy(model, *held_out) == max(history.score) > history.score[-1]
    assert len(history) == len(history.lr) == len(history.seconds) == 8 and min(history.seconds) > 0


def test_without_validation_the_last_weights_are_kept():
    """Against the weights after the last step of a recording objective's run."""
    model = linear()
    history = quiet(
        model, blobs(), epochs=3, batch_size=60, lr=0.1, optimizer=torch.optim.SGD, schedule="constant"
    )
    by_hand, (x, y) = linear(), blobs()
    for _ in range(3):
        gradients = torch.autograd.grad(F.cross_entropy(by_hand(x), y), list(by_hand.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(by_hand.parameters(), gradients):
                parameter -= 0.1 * gradient
    assert history.best_epoch == 2 and all(math.isnan(score) for score in history.score)
    for parameter, expected in zip(model.parameters(), by_hand.parameters()):
        assert torch.allclose(parameter, expected, atol=1e-6)


class Spoiled:
    """Cross-entropy, until the given batch (counted from 1) of the run, where something happens instead."""

    def __init__(self, batch, event):
        self.batch, self.event, self.count = batch, event, 0

    def __call__(self, model, x, y):
        self.count += 1
        loss = cross_entropy(model, x, y)
        return self.event(loss) if self.count == self.batch else loss


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run(value):
    """Against a loss spoiled at epoch 2, batch 3: the error says so, and the weights are those of epoch 1."""
    model, kept = network().eval(), network()
    quiet(kept, blobs(), lambda m, x, y: cross_entropy(m, x, y), epochs=1, batch_size=16, schedule="constant")
    with pytest.raises(DivergenceError, match="epoch 2 of 3, batch 3 of 4"):
        quiet(
            model,
            blobs(),
            Spoiled(7, lambda loss: loss * value),
            epochs=3,
            batch_size=16,
            schedule="constant",
        )
    assert same(model, kept.state_dict()) and not model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_interrupted_run_keeps_the_best_weights():
    """Against the run of one epoch, where the reader presses stop in the second."""

    def stop(loss):
        raise KeyboardInterrupt

    model, kept = network(), network()
    quiet(kept, blobs(), Spoiled(0, None), epochs=1, batch_size=16, schedule="constant")
    with pytest.raises(KeyboardInterrupt):
        quiet(model, blobs(), Spoiled(7, stop), epochs=3, batch_size=16, schedule="constant")
    assert same(model, kept.state_dict())


# ---- arguments ----


@pytest.mark.parametrize(
    "change, message",
    [
        ({"model": "cnn"}, "model: got str"),
        ({"model": nn.Flatten()}, "model: got Flatten"),
        ({"data": [1, 2, 3]}, "data: got list"),
        ({"data": (blobs()[0] * 255, blobs()[1])}, "data images"),
        ({"data": (blobs()[0], blobs()[1][:5])}, "data labels"),
        ({"data": (blobs()[0], blobs()[1].float()[:5])}, "data labels"),
        ({"data": (blobs()[0], blobs()[1] + 1)}, "data labels: got label 3"),
        ({"data": (blobs()[0][:0], blobs()[1][:0])}, "data: got no images"),
        ({"validation": blobs()[0]}, "validation: got Tensor"),
        ({"validation": blobs(), "score": len}, "score: got both"),
        ({"score": 3}, "score: got 3"),
        ({"score": lambda model: math.nan}, "score: returned nan at epoch 1"),
        ({"objective": None}, "objective: got None"),
        ({"objective": lambda model, x, y: model(x)}, "objective: returned"),
        ({"objective": lambda model, x, y: torch.tensor(1.0)}, "objective: returned"),
        ({"epochs": 0}, "epochs: got 0"),
        ({"epochs": 1.5}, "epochs: got 1.5"),
        ({"batch_size": 0}, "batch_size: got 0"),
        ({"lr": 0}, "lr: got 0"),
        ({"lr": math.nan}, "lr: got nan"),
        ({"seed": -1}, "seed: got -1"),
        ({"schedule": "cosine"}, "schedule: got 'cosine'.*one-cycle"),
        ({"augment": 2}, "augment: got 2"),
        ({"device": "abacus"}, "device: got 'abacus'"),
    ],
)
def test_bad_arguments_are_named(change, message):
    """Against one bad argument at a time; the error names it."""
    with pytest.raises(InputError, match=message):
        quiet(**{"model": linear(), "data": blobs(), "epochs": 1, **change})


def test_progress_bar_can_be_turned_off():
    """Against what is written to the standard error."""
    output = {}
    for progress in (True, False):
        with redirect_stderr(io.StringIO()) as written:
            fit(linear(), blobs(), epochs=1, device="cpu", progress=progress)
        output[progress] = written.getvalue()
    assert "training" in output[True] and output[False] == ""


@pytest.mark.gpu
def test_a_gpu_trains_the_same_model_up_to_rounding(tmp_path):
    """Against the CPU's weights; the model comes back to the CPU, and the GPU's random state is as before."""
    on_cpu, on_gpu = linear(), linear()
    state = torch.cuda.get_rng_state()
    settings = {
        "epochs": 3,
        "batch_size": 16,
        "augment": shifts(1),
        "validation": blobs(seed=1),
        "progress": False,
    }
    fit(on_cpu, blobs(), device="cpu", **settings)
    fit(on_gpu, blobs(), device="cuda", checkpoint=tmp_path / "a.pt", **settings)
    assert torch.equal(torch.cuda.get_rng_state(), state)
    for expected, found in zip(on_cpu.parameters(), on_gpu.parameters()):
        assert found.device.type == "cpu" and torch.allclose(found, expected, atol=1e-4)
    again = linear()
    fit(again, blobs(), device="cuda", checkpoint=tmp_path / "a.pt", **settings)
    assert same(again, on_gpu.state_dict())


def test_an_image_that_is_left_over_joins_the_last_batch():
    """Against a list of the sizes seen: 9 images by 4 are 4 and 5, by 8 all 9, and by 1 they stay nine."""
    x, y = blobs(9)
    for size, expected in {4: [4, 5], 8: [9], 3: [3, 3, 3], 1: [1] * 9, 20: [9]}.items():
        seen = []

        def objective(model, x, y, seen=seen):
            seen.append(len(x))
            return cross_entropy(model, x, y)

        history = quiet(linear(), (x, y), objective, epochs=1, batch_size=size)
        assert seen == expected and len(history) == 1


def test_batch_normalisation_trains_where_one_image_is_left_over_and_says_why_it_cannot_on_one():
    """torch refuses batches of one in training mode: 33 images by 32 would end in one, and `batch_size=1` has no other."""
    x, y = blobs(33)
    assert len(quiet(network(), (x, y), epochs=1, batch_size=32)) == 1
    with pytest.raises(InputError, match=r"^data images: got a batch of one image, .*batch normalisation"):
        quiet(network(), (x, y), epochs=1, batch_size=1)


@pytest.mark.parametrize("objective", [cross_entropy, lambda model, x, y: model(x).square().mean()])
def test_images_of_another_type_than_the_weights_are_named_before_the_first_step(objective):
    """The weights are as a copy says; so are they where only the validation data are of another type."""
    (x, y), model = blobs(), network()
    before = snapshot(model)
    with pytest.raises(InputError, match=r"^data images: got torch\.float64 images"):
        quiet(model, (x.double(), y), objective, epochs=1)
    with pytest.raises(InputError, match=r"^validation images: got torch\.float64 images"):
        quiet(model, (x, y), objective, validation=(x.double(), y), epochs=1)
    with pytest.raises(InputError, match=r"^validation labels: got label 5; allowed are 0 to 2"):
        quiet(model, (x, y), objective, validation=(x, y + 3), epochs=1)
    assert same(model, before)
