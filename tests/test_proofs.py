"""Bounds beside exact solutions by mixed-integer programming, closed forms, another program's figures, and attacks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import Linear, linear
from scipy.optimize import Bounds, LinearConstraint, milp
from torch import nn
from torch.nn import functional as F

from advcourse import data, models
from advcourse.attacks import PGD
from advcourse.core.inputs import InputError
from advcourse.defenses import IBP, certified, margin_bounds

METHODS = ("ibp", "crown-ibp", "crown")


def tiny(seed, hidden=6, shape=(1, 2, 2), classes=3):
    """A net with one or two hidden layers of a few units."""
    torch.manual_seed(seed)
    size = shape[0] * shape[1] * shape[2]
    deeper = [nn.Linear(hidden, hidden), nn.ReLU()] if seed % 2 else []
    net = nn.Sequential(nn.Flatten(), nn.Linear(size, hidden), nn.ReLU(), *deeper, nn.Linear(hidden, classes))
    return net.double()


def least_margin(net, x, y, j, eps):
    """The exact minimum of Z_y - Z_j over the ball: each ReLU is a binary variable (Tjeng, Xiao and Tedrake 2019)."""
    low, high = (x - eps).clamp_min(0).flatten().numpy(), (x + eps).clamp_max(1).flatten().numpy()
    lower, upper = list(low), list(high)
    integral, rows, bounds_of_rows = [0] * len(low), [], []
    before, ends = list(range(len(low))), (low, high)

    def variable(a, b, whole=0):
        lower.append(a), upper.append(b), integral.append(whole)
        return len(lower) - 1

    def constrain(terms, a, b):
        rows.append(terms), bounds_of_rows.append((a, b))

    layers = [layer for layer in net if isinstance(layer, nn.Linear)]
    for layer in layers[:-1]:
        w, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        mid, rad = (ends[1] + ends[0]) / 2, (ends[1] - ends[0]) / 2
        l, u = w @ mid + b - np.abs(w) @ rad, w @ mid + b + np.abs(w) @ rad
        after = []
        for i in range(len(b)):
            a, z = variable(0, max(u[i], 0)), variable(0, 1, 1)
            pre = {k: -v for k, v in zip(before, w[i])}
            constrain({a: 1} | pre, b[i], np.inf)  # a >= pre-activation
            constrain({a: 1, z: -min(l[i], 0)} | pre, -np.inf, b[i] - min(l[i], 0))  # a <= pre - l (1 - z)
            constrain({a: 1, z: -max(u[i], 0)}, -np.inf, 0)  # a <= u z
            after.append(a)
        before, ends = after, (np.maximum(l, 0), np.maximum(u, 0))
    w, b = layers[-1].weight.detach().numpy(), layers[-1].bias.detach().numpy()
    cost = np.zeros(len(lower))
    cost[before] = w[y] - w[j]
    matrix = np.zeros((len(rows), len(lower)))
    for row, terms in zip(matrix, rows):
        for k, v in terms.items():
            row[k] = v
    limits = np.array(bounds_of_rows)
    answer = milp(
        cost,
        integrality=np.array(integral),
        bounds=Bounds(np.array(lower), np.array(upper)),
        constraints=LinearConstraint(matrix, limits[:, 0], limits[:, 1]),
    )
    assert answer.success
    return answer.fun + b[y] - b[j]


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), eps=st.sampled_from([0.03, 0.1, 0.3]))
def test_intervals_then_lines_then_the_truth_then_an_attack(seed, eps):
    """IBP <= CROWN-IBP <= CROWN <= the exact minimum of the mixed-integer programme <= the margin that PGD reaches."""
    net = tiny(seed)
    x = torch.rand(1, 1, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    y = net(x).argmax(1)
    bounds = {method: margin_bounds(net, x, y, eps, method)[0] for method in METHODS}
    attacked = net(PGD(eps, steps=20, restarts=2)(net, x, y)).detach()[0]
    for j in set(range(3)) - {y.item()}:
        exact = least_margin(net, x, y.item(), j, eps)
        chain = [*(bounds[method][j].item() for method in METHODS), exact]
        # Tightened inner bounds can choose another lower line, so CROWN-IBP may be the larger one now and then.
        assert chain[0] <= chain[1] + 1e-7 and chain[0] <= chain[2] + 1e-7
        assert max(chain[:3]) <= exact + 1e-6
        assert exact <= (attacked[y.item()] - attacked[j]).item() + 1e-6
    assert all(bounds[method][y.item()] == 0 for method in METHODS)


def test_on_a_linear_net_all_three_are_exact():
    """The closed form: the clean lead minus eps * |w_y - w_j|_1, where the box does not bind."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(9, 4)).double()
    x, y = torch.full((5, 1, 3, 3), 0.5, dtype=torch.float64), torch.arange(5) % 4
    w, b = net[1].weight, net[1].bias
    lead = (w[y] @ x[0].flatten() + b[y]).unsqueeze(1) - (w @ x[0].flatten() + b)
    expected = (lead - 0.1 * (w[y].unsqueeze(1) - w).abs().sum(2)).detach()
    for method in METHODS:
        torch.testing.assert_close(margin_bounds(net, x, y, 0.1, method), expected, rtol=0, atol=1e-9)


def test_the_figures_of_another_program():
    """mnist-small, eps 0.02, the first digit, class 3: auto_LiRPA's worst leads are 40.0, 7.7 and -11.3, to a tenth."""
    digits = data.load("mnist-5k", "test")
    x, y = digits.images[:1], digits.labels[:1]
    worst = [
        -margin_bounds(models.load("mnist-small"), x, y, 0.02, method)[0, 3].item() for method in METHODS
    ]
    assert worst == pytest.approx([40.0, 7.7, -11.3], abs=0.06)


@pytest.mark.parametrize("method", METHODS)
def test_no_point_of_the_ball_is_below_the_bounds(method):
    """A convolutional net with strides, padding and groups, against 300 corners and inner points of the ball."""
    torch.manual_seed(0)
    net = nn.Sequential(
        models.nets.Normalise((0.3, 0.4), (0.2, 0.5)),
        nn.Conv2d(2, 4, 3, stride=2, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 6, 2, groups=2, bias=False),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(6 * 2 * 2, 3),
    )
    x = torch.rand(2, 2, 6, 5)
    with torch.no_grad():
        net[2].weight.copy_(torch.tensor([1.0, -2.0, 0.5, -0.1]))
        net[2].running_mean.fill_(0.3)
        y = net.eval()(x).argmax(1)
        bounds = margin_bounds(net, x, y, 0.05, method)
        for k in range(300):
            move = torch.rand_like(x) * 2 - 1
            z = (x + 0.05 * (move.sign() if k % 2 else move)).clamp(0, 1)
            logits = net(z).double()
            assert (logits.gather(1, y.unsqueeze(1)) - logits >= bounds - 1e-4).all()
    assert net.training is False and next(net.parameters()).dtype == torch.float32


def test_bounds_fall_as_the_ball_grows():
    net, x = tiny(3), torch.rand(4, 1, 2, 2, dtype=torch.float64)
    y = net(x).argmax(1)
    for method in METHODS:
        bounds = [certified(margin_bounds(net, x, y, eps, method), y) for eps in (0.0, 0.02, 0.1, 0.5)]
        assert bounds[0].all()
        assert all((small | ~large).all() for small, large in zip(bounds, bounds[1:]))


def test_max_pooling_has_intervals_and_no_lines():
    """Against the pooled ends, by hand; CROWN names the layer that it does not know."""
    net = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1, 2)).double()
    x, y = torch.tensor([[[[0.1, 0.5], [0.2, 0.3]]]], dtype=torch.float64), torch.tensor([0])
    w, b = net[2].weight[:, 0].detach(), net[2].bias.detach()
    expected = b[0] - b[1] + min((w[0] - w[1]) * end for end in (0.4, 0.6))
    assert margin_bounds(net, x, y, 0.1, "ibp")[0, 1].item() == pytest.approx(expected.item())
    with pytest.raises(InputError, match='MaxPool2d.*only the method "ibp" knows'):
        margin_bounds(net, x, y, 0.1)


def test_what_is_proven_is_not_broken():
    """The shipped net of interval training: PGD fools none of the digits that intervals prove at 0.3, and others."""
    model, (x, y) = models.load("mnist-ibp"), data.load("mnist-5k").pick(100, seed=1)
    proven = certified(margin_bounds(model, x, y, 0.3, "ibp"), y)
    fooled = PGD(0.3, steps=40, restarts=2).run(model, x, y).success
    assert proven.float().mean() >= 0.65 and fooled.any()
    assert not (proven & fooled).any()
    for eps, bar in ((0.1, 0.88), (0.2, 0.8)):
        assert certified(margin_bounds(model, x, y, eps, "ibp"), y).float().mean() >= bar


def test_the_training_loss_by_hand():
    """A linear net: the worst lead in closed form, weighted with the clean loss; kappa 1 is the plain cross-entropy."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).double()
    x, y = torch.full((3, 1, 2, 2), 0.5, dtype=torch.float64), torch.tensor([0, 1, 2])
    w = net[1].weight
    z = net(x)
    worst = z - z.gather(1, y.unsqueeze(1)) + 0.2 * (w[y].unsqueeze(1) - w).abs().sum(2)
    expected = 0.3 * F.cross_entropy(z, y) + 0.7 * F.cross_entropy(worst, y)
    assert IBP(0.2, kappa=0.3)(net, x, y).item() == pytest.approx(expected.item())
    assert IBP(0.2, kappa=1.0)(net, x, y).item() == pytest.approx(F.cross_entropy(z, y).item())
    assert IBP(0.0, kappa=0.3)(net, x, y).item() == pytest.approx(F.cross_entropy(z, y).item())


def test_bad_input_is_named():
    net, x = tiny(0), torch.rand(2, 1, 2, 2)
    y = torch.tensor([0, 1])
    unknown = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2))
    for model, fields, message in (
        (unknown, {}, "model: has a layer Sigmoid"),
        (Linear(torch.zeros(2, 4), torch.zeros(2)), {}, "model: has a layer Linear"),
        (net, {"eps": -1}, "eps: got -1"),
        (net, {"method": "alpha"}, "method: got 'alpha'"),
        (net, {"y": torch.tensor([0, 7])}, "y: got label 7"),
        (net, {"x": x + 3}, "x: got values"),
    ):
        with pytest.raises(InputError, match=message):
            margin_bounds(model, **{"x": x, "y": y, "eps": 0.1} | fields)
    assert margin_bounds(net, x[:0], y[:0], 0.1).shape == (0, 3)
    assert linear().training


class Negated(nn.Sequential):
    """A chain by its class, and another function by its forward."""

    def forward(self, x):
        return -super().forward(x)


def hooked():
    """A net whose ReLU a hook turns round."""
    net = tiny(0)
    net[2].register_forward_hook(lambda layer, x, answer: -answer)
    return net


@pytest.mark.parametrize("model", [Negated(nn.Flatten(), nn.Linear(4, 3)).double(), hooked()])
def test_what_a_class_does_not_tell_is_refused(model):
    """A subclass's forward and a hook are invisible to the bounds: a proof of the plain layers would be false."""
    x, y = torch.rand(2, 1, 2, 2), torch.tensor([0, 1])
    for refuse in (lambda: margin_bounds(model, x, y, 0.1), lambda: IBP(0.1)(model, x.double(), y)):
        with pytest.raises(InputError, match="a forward of its own or a hook"):
            refuse()


@pytest.mark.parametrize("method", METHODS)
def test_layers_that_work_in_place_have_the_same_bounds(method):
    """Against the same net whose ReLUs make new tensors, on digits of a trained net."""
    plain, (x, y) = models.load("mnist-small"), data.load("mnist-5k").pick(4, seed=3)
    in_place = models.load("mnist-small")
    for layer in in_place:
        if isinstance(layer, nn.ReLU):
            layer.inplace = True
    bounds = [margin_bounds(net, x, y, 0.05, method) for net in (plain, in_place)]
    assert torch.equal(*bounds)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_no_picture_is_bounded_before_it_is_flattened(method):
    """Linear layers along the last axis of (N, 1, 1, D), against 200 points of the ball."""
    torch.manual_seed(2)
    net = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 6), nn.ReLU(), nn.Flatten(), nn.Linear(6, 3))
    x = torch.rand(3, 1, 1, 5)
    with torch.no_grad():
        y = net(x).argmax(1)
        bounds = margin_bounds(net, x, y, 0.1, method)
        assert bounds.shape == (3, 3)
        for _ in range(200):
            logits = net((x + 0.1 * (torch.rand_like(x) * 2 - 1)).clamp(0, 1)).double()
            assert (logits.gather(1, y.unsqueeze(1)) - logits >= bounds - 1e-4).all()


def test_parametrized_layers_are_bounded_as_they_are():
    """Weight normalisation by torch's parametrisation computes a plain linear layer: the same bounds as with its weights."""
    net = tiny(0)
    plain = [margin_bounds(net, torch.full((1, 1, 2, 2), 0.5), torch.tensor([0]), 0.1)]
    nn.utils.parametrizations.weight_norm(net[1])
    plain.append(margin_bounds(net, torch.full((1, 1, 2, 2), 0.5), torch.tensor([0]), 0.1))
    torch.testing.assert_close(*plain)
