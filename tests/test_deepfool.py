"""DeepFool against closed forms, where the model is linear, and against foolbox and torchattacks on real digits."""

import foolbox
import numpy as np
import pytest
import torch
import torchattacks
from nets import Function, Linear, conv, images, linear
from scipy.optimize import brentq

from advcourse import data, metrics, models
from advcourse.attacks import CWL2, DeepFool, deepfool
from advcourse.core.inputs import predict

SHAPE = (1, 6, 6)
CENTRE = images(8, SHAPE, dtype=torch.float64) * 0.02 + 0.49  # far from the ends of [0, 1]
NORMS = {"L2": 2, "Linf": 1}  # each norm with the order of its dual
norms = pytest.mark.parametrize("norm", NORMS)


def distances(model, x, norm):
    """Closed form: |f_k| / ||w_k||_q to each class boundary of a linear model, infinite for the prediction; shape (N, K)."""
    w, b = model.weight.detach().numpy(), model.bias.detach().numpy()
    z = x.flatten(1).numpy() @ w.T + b
    k0 = z.argmax(1)
    lengths = np.linalg.norm(w[None] - w[k0][:, None], ord=NORMS[norm], axis=2)
    lengths[np.arange(len(x)), k0] = 1
    found = (z[np.arange(len(x)), k0][:, None] - z) / lengths
    found[np.arange(len(x)), k0] = np.inf
    return found


def size(change, norm):
    return np.linalg.norm(change.flatten(1).numpy(), ord=2 if norm == "L2" else np.inf, axis=1)


@pytest.fixture(scope="module")
def digits():
    model = models.load("mnist-cnn")
    x, y = data.load("mnist-5k").first(100)
    right = predict(model, x).argmax(1) == y
    return model, x[right], y[right]


# Linear models


@norms
@pytest.mark.parametrize("classes", [2, 10])
def test_linear_model(norm, classes):
    """Closed form: the nearest boundary is min_k |f_k| / ||w_k||_q away, and one step goes (1 + overshoot) as far, plus 1e-4."""
    model = linear(classes, SHAPE)
    result = DeepFool(norm=norm).run(model, CENTRE, predict(model, CENTRE).argmax(1))
    nearest = distances(model, CENTRE, norm).min(1)
    assert result.success.all() and (result.steps == 1).all()
    assert (result.distances[norm].numpy() <= 1.05 * nearest).all()
    np.testing.assert_allclose(result.distances[norm], 1.02 * (nearest + 1e-4), rtol=1e-9)


def test_the_nearest_boundary_is_not_the_runner_ups():
    """By hand: class 1 trails by 1 at slope 1, class 2 by 2 at slope 8; so class 2 is 4 times as near."""
    weight = torch.zeros(3, 36, dtype=torch.float64)
    weight[1, 0], weight[2, 1] = 1, 8
    x = torch.full((1, *SHAPE), 0.5, dtype=torch.float64)
    model = Linear(weight, torch.tensor([0.0, -1.5, -6.0], dtype=torch.float64))
    result = DeepFool(overshoot=0).run(model, x, torch.tensor([0]))
    assert result.predictions.tolist() == [2]
    assert result.distances["L2"].item() == pytest.approx(0.25, abs=2e-4)


def test_few_classes_are_those_with_the_largest_logits():
    """Closed form: with two classes only the runner-up's boundary counts, also where another is nearer."""
    model, x = linear(10, SHAPE), images(40, SHAPE, dtype=torch.float64)
    z = predict(model, x)
    runner_up = z.topk(2).indices[:, 1].numpy()
    to_each = distances(model, x, "L2")
    away = 1.02 * (to_each[np.arange(len(x)), runner_up] + 1e-4)
    nearer = to_each.argmin(1) != runner_up
    assert nearer.any() and not nearer.all()
    unclipped = size(DeepFool(classes=2).run(model, x, z.argmax(1)).details["unclipped"], "L2")
    np.testing.assert_allclose(unclipped, away, rtol=1e-9)
    assert (
        size(DeepFool().run(model, x, z.argmax(1)).details["unclipped"], "L2")[nearer] < away[nearer]
    ).all()


@norms
def test_no_clip_in_the_paper_and_the_shortest_way_in_the_box(norm):
    """Closed forms: unclipped as ever; in the box the shortest change is clip(t * direction), t from scipy's root finder."""
    model, x = linear(2, SHAPE), images(12, SHAPE, dtype=torch.float64).round()
    y = predict(model, x).argmax(1)
    result = DeepFool(norm=norm).run(model, x, y)
    np.testing.assert_allclose(
        size(result.details["unclipped"], norm), 1.02 * (distances(model, x, norm).min(1) + 1e-4), rtol=1e-9
    )
    outside = x + result.details["unclipped"]
    assert (outside.flatten(1).amin(1) < 0).all() and result.details["crossed"].all()
    w = (model.weight[1 - y] - model.weight[y]).detach().numpy()
    direction = w if norm == "L2" else np.sign(w)
    for i in range(len(x)):
        pixels = x[i].flatten().numpy()

        def gap(t, i=i, pixels=pixels):
            return w[i] @ np.clip(pixels + t * direction[i], 0, 1)

        if gap(1e3) <= 0:
            assert not result.success[i], "no image in the box changes the label"
            continue
        t = brentq(gap, 0, 1e3)
        shortest = np.clip(pixels + t * direction[i], 0, 1) - pixels
        exact = np.linalg.norm(shortest, ord=2 if norm == "L2" else np.inf)
        assert result.success[i] and result.distances[norm][i] <= 1.05 * exact
    assert result.success.sum() >= 6


# Traps


def test_k0_is_the_prediction():
    """The paper's k0 is the prediction: a misread image is beyond its label's boundary already, and comes back as it is."""
    model = conv()
    x = images(6)
    z = predict(model, x)
    y = z.argmax(1)
    y[:3] = z.argmin(1)[:3]
    result = DeepFool().run(model, x, y)
    assert torch.equal(result.images[:3], x[:3]) and (result.steps[:3] == 0).all()
    assert result.success[:3].all() and (result.distances["L2"][:3] == 0).all()
    assert (result.distances["L2"][3:] > 0).all()


@norms
def test_overshoot_on_the_sum_and_no_clip_in_the_loop(digits, norm):
    """foolbox, whose overshoot is on the sum of the steps too, with a box too wide to matter: the same perturbations to 1e-5."""
    model, x, y = digits
    model, x, y = models.load("mnist-cnn").double(), x[:30].double(), y[:30]
    peer = {"L2": foolbox.attacks.L2DeepFoolAttack, "Linf": foolbox.attacks.LinfDeepFoolAttack}[norm]
    theirs = peer(steps=50, candidates=10).run(foolbox.PyTorchModel(model, bounds=(-99, 99)), x, y)
    unclipped = DeepFool(norm=norm).run(model, x, y).details["unclipped"]
    torch.testing.assert_close(unclipped, theirs - x, rtol=0, atol=1e-5)
    assert (x + unclipped).min() < -0.01


@norms
def test_a_clipped_result_is_checked_again(digits, norm):
    """The model itself: hardly a digit stays fooled when the paper's result is clipped, and all are in what is returned."""
    model, x, y = digits
    result = DeepFool(norm=norm).run(model, x, y)
    paper = x + result.details["unclipped"]
    with torch.no_grad():
        assert (model(paper).argmax(1) != y).all()
        assert (model(paper.clamp(0, 1)).argmax(1) != y).float().mean() < 0.1
    assert result.success_rate >= 0.99
    assert result.images.min() >= 0 and result.images.max() <= 1


def test_what_does_not_flip_in_time_is_flagged_and_clean(digits):
    """A curved boundary is not met in one step: the clean digits come back, flagged, with the paper's iterate in the details."""
    model, x, y = digits
    result = DeepFool(steps=1).run(model, x, y)
    missed = ~result.details["crossed"]
    assert missed.float().mean() > 0.5
    assert torch.equal(result.images[missed], x[missed]) and not result.success[missed].any()
    assert (result.details["iterations"][missed] == 1).all()
    assert (result.details["unclipped"][missed].flatten(1).norm(dim=1) > 0).all()


def test_where_there_is_no_gradient_there_is_no_step():
    """Logits that are flat at some images and linear at others: the flat ones leave after one look, the others are fooled."""
    model = Function(
        lambda x: torch.stack([x[:, 0, 0, 0] * 0 + 0.1, (x.flatten(1).mean(1) - 0.5).relu() - 0.05], 1)
    )
    x = torch.cat([torch.full((2, 1, 4, 4), 0.2), torch.full((2, 1, 4, 4), 0.6)])
    result = DeepFool(steps=40).run(model, x, torch.zeros(4, dtype=torch.long))
    assert result.steps.tolist()[:2] == [0, 0] and torch.equal(result.images[:2], x[:2])
    assert result.success.tolist() == [False, False, True, True]
    assert result.distances["L2"][2].item() == pytest.approx(
        4 * 0.05, rel=0.05
    )  # |mean| needs 0.05, and there are 16 pixels
    assert result.forward_passes < 30


# Digits


@pytest.mark.slow
def test_no_larger_than_the_peers(digits):
    """foolbox 3.3.4 and torchattacks 3.5.1, default settings: a mean L2 no larger on what they fool, at no lower success."""
    model, x, y = digits
    x, y = x[:40], y[:40]
    ours = DeepFool().run(model, x, y)
    theirs = foolbox.attacks.L2DeepFoolAttack().run(foolbox.PyTorchModel(model, bounds=(0, 1)), x, y)
    ported = torchattacks.DeepFool(model)(x, y)
    for peer in (theirs, ported):
        done = predict(model, peer).argmax(1) != y
        assert done.float().mean() <= ours.success_rate
        assert ours.distances["L2"][done].mean() <= metrics.l2(x, peer)[done].mean() + 1e-6


def test_linf_no_larger_than_foolbox(digits):
    """foolbox's L-infinity DeepFool, default settings: a mean L-infinity no larger, at no lower success."""
    model, x, y = digits
    ours = DeepFool(norm="Linf").run(model, x, y)
    theirs = foolbox.attacks.LinfDeepFoolAttack().run(foolbox.PyTorchModel(model, bounds=(0, 1)), x, y)
    assert ours.success_rate >= (predict(model, theirs).argmax(1) != y).double().mean()
    assert ours.distances["Linf"].mean() <= metrics.linf(x, theirs).mean()


def test_between_one_and_1_6_times_as_long_as_cw(digits):
    """Carlini and Wagner's optimisation (2017) finds nearer points than DeepFool's walk, in far more passes; not much nearer."""
    model, x, y = digits
    x, y = x[:40], y[:40]
    walked, optimised = DeepFool().run(model, x, y), CWL2().run(model, x, y)
    assert walked.success.all() and optimised.success.all()
    ratio = walked.distances["L2"].mean() / optimised.distances["L2"].mean()
    assert 1 <= ratio <= 1.6
    assert walked.backward_passes < optimised.backward_passes


def test_few_iterations_are_enough(digits):
    """The paper (section 4): the boundary is crossed after 2 to 3 iterations, typically."""
    iterations = DeepFool().run(*digits).details["iterations"].double()
    assert 1.5 <= iterations.mean() <= 3.5


@norms
def test_the_three_nearest_classes_are_as_good_as_all(digits, norm, monkeypatch):
    """Against the paper's loop, which looks at all classes in every iteration: the same images, in fewer passes."""
    model, x, y = digits
    model, x = models.load("mnist-cnn").double(), x.double()
    fast = DeepFool(norm=norm).run(model, x, y)
    monkeypatch.setattr(deepfool, "_STILL_NEAR", 99)
    full = DeepFool(norm=norm).run(model, x, y)
    torch.testing.assert_close(fast.details["unclipped"], full.details["unclipped"], rtol=0, atol=1e-9)
    torch.testing.assert_close(fast.images, full.images, rtol=0, atol=1e-9)
    assert fast.backward_passes < 0.8 * full.backward_passes


def test_a_digit_that_is_done_leaves_the_batch(digits):
    """The passes counted: none for digits that are misread already, and together little more than for each alone."""
    model, x, y = digits
    x, y = x[:12], y[:12]
    half_done = DeepFool().run(model, x, torch.cat([y[:6], (y[6:] + 1) % 10]))
    assert half_done.backward_passes == DeepFool().run(model, x[:6], y[:6]).backward_passes
    together = DeepFool().run(model, x, y)
    alone = [DeepFool().run(model, x[i : i + 1], y[i : i + 1]) for i in range(len(x))]
    assert together.backward_passes <= 1.3 * sum(one.backward_passes for one in alone)
