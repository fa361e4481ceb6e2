"""DDN and FMN beside closed forms and another library; the projections beside their conditions of optimality."""

import foolbox
import numpy as np
import pytest
import torch
from nets import Linear, images
from scipy.optimize import brentq

from advcourse import attacks, data, models
from advcourse.attacks import DDN, FMN
from advcourse.attacks.norms import into_ball, length
from advcourse.core.errors import ZeroGradientWarning
from advcourse.core.inputs import InputError, predict

NORMS = ("L0", "L1", "L2", "Linf")


def test_the_projection_onto_the_l1_ball_solves_its_equation():
    """The threshold t solves sum max(|d| - t, 0) = r, which scipy's root finder gives; inside the ball nothing changes."""
    g = torch.Generator().manual_seed(0)
    change = torch.randn(40, 1, 4, 4, generator=g, dtype=torch.float64)
    radius = 20 * torch.rand(40, generator=g, dtype=torch.float64)
    projected = into_ball(change, radius, "L1")
    inside = 0
    for d, r, found in zip(
        change.flatten(1).numpy(), radius.numpy(), projected.flatten(1).numpy(), strict=True
    ):
        if np.abs(d).sum() <= r:
            inside += 1
            assert (found == d).all()
            continue
        t = brentq(lambda t, d=d, r=r: np.maximum(np.abs(d) - t, 0).sum() - r, 0, np.abs(d).max())
        assert found == pytest.approx(np.sign(d) * np.maximum(np.abs(d) - t, 0), abs=1e-10)
    assert 5 < inside < 35


def test_the_other_projections_by_hand():
    """Three pixels of two channels: the two largest pixels, a vector scaled from length 5 to 2.5, values cut at 1."""
    change = torch.tensor([[[[3.0, 0.0, 0.5]], [[0.0, 2.0, -0.5]]]])
    radius = torch.tensor([2.0])
    assert into_ball(change, radius, "L0").tolist() == [[[[3.0, 0.0, 0.0]], [[0.0, 2.0, 0.0]]]]
    assert length(change, "L0").item() == 3
    short = torch.tensor([[[[3.0, 4.0]]]])
    assert into_ball(short, torch.tensor([2.5]), "L2").tolist() == [[[[1.5, 2.0]]]]
    assert into_ball(short, torch.tensor([6.0]), "L2").tolist() == short.tolist()
    assert into_ball(-short, torch.tensor([3.5]), "Linf").tolist() == [[[[-3.0, -3.5]]]]
    for norm in NORMS:
        assert not into_ball(change, torch.zeros(1), norm).any()


def planes(n=12, classes=4):
    """A linear model, images far from the box, their labels, and for each class its lead (n, K) and difference of rows."""
    weight = torch.randn(classes, 64, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    model, x = Linear(weight, torch.zeros(classes, dtype=torch.float64)), 0.4 + 0.2 * images(n).double()
    with torch.no_grad():
        logits = model(x)
    y = logits.argmax(1)
    return model, x, y, logits.gather(1, y.unsqueeze(1)) - logits, weight[y].unsqueeze(1) - weight


@pytest.mark.parametrize(
    ("attack", "dual"),
    [(DDN(steps=200), 2), (FMN(norm="L2"), 2), (FMN(norm="L1", alpha=0.2), torch.inf), (FMN(norm="Linf"), 1)],
    ids=["DDN", "L2", "L1", "Linf"],
)
def test_on_a_linear_model_the_distance_is_that_of_the_nearest_plane(attack, dual):
    """(Z_y - Z_t) / |w_y - w_t|_dual, the least over t, where the box does not bind; never less, and at most 3 % more."""
    model, x, y, gaps, rows = planes()
    expected = (
        (gaps / torch.linalg.vector_norm(rows, dual, dim=2)).scatter(1, y.unsqueeze(1), torch.inf).amin(1)
    )
    if attack.norm == "L1":  # one pixel has room for about 0.4
        expected = room_for_l1(x, y, gaps, rows)
    result = attack.run(model, x, y)
    assert result.success.all()
    ratio = result.size / expected
    assert ratio.min() >= 1 - 1e-9
    assert ratio.max() <= 1.03


def room_for_l1(x, y, gaps, rows):
    """The least L1 distance in the box: the pixels of largest weight are used up one after the other, towards each class."""
    found = []
    for z, label, gap, row in zip(x.flatten(1), y, gaps, rows, strict=True):
        sizes = []
        for t in range(len(gap)):
            if t == label:
                continue
            need, spent = gap[t].item(), 0.0
            for i in row[t].abs().argsort(descending=True):
                w = row[t][i].item()
                step = min(need / abs(w), (z[i] if w > 0 else 1 - z[i]).item())
                need, spent = need - step * abs(w), spent + step
            sizes.append(spent)
        found.append(min(sizes))
    return torch.tensor(found, dtype=torch.float64)


def test_on_a_linear_model_the_fewest_pixels_are_found():
    """The largest |w_i| * room_i, added up until they exceed the lead: the least number over the classes."""
    model, x, y, gaps, rows = planes()
    fewest = []
    for z, label, gap, row in zip(x.flatten(1), y, gaps, rows, strict=True):
        counts = []
        for t in range(len(gap)):
            if t != label:
                gain = (
                    (row[t].abs() * torch.where(row[t] > 0, z, 1 - z)).sort(descending=True).values.cumsum(0)
                )
                counts.append(int((gain <= gap[t]).sum()) + 1)
        fewest.append(min(counts))
    result = FMN(norm="L0", alpha=10.0).run(model, x, y)
    assert result.success.all()
    more = result.size - torch.tensor(fewest)
    assert more.min() >= 0
    assert more.mean() <= 0.5 and more.max() <= 2


@pytest.fixture(scope="module")
def digits():
    """A shipped network and forty digits that it reads correctly."""
    net, test = models.load("mnist-small"), data.load("mnist-5k", "test")
    right = predict(net, test.images[:60]).argmax(1) == test.labels[:60]
    return net, test.images[:60][right][:40], test.labels[:60][right][:40]


@pytest.mark.numerical
@pytest.mark.parametrize("norm", [*NORMS, "DDN"])
def test_no_farther_than_foolbox_with_as_many_steps(digits, norm):
    """Mean distance over forty digits, a failure counted as the largest that ours has: at most 3 % above foolbox's."""
    net, x, y = digits
    ours = DDN(steps=100) if norm == "DDN" else FMN(norm=norm, steps=100)
    name = "DDNAttack" if norm == "DDN" else f"{norm.replace('inf', 'Inf')}FMNAttack"
    wrapped = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    _, theirs, success = getattr(foolbox.attacks, name)(steps=100)(wrapped, x, y, epsilons=None)
    result = ours.run(net, x, y)
    assert result.success.float().mean() >= success.float().mean()
    widest = result.size.max()
    peers = torch.where(success, length(theirs - x, ours.norm).double(), widest).clamp_max(widest)
    assert result.size.mean() <= 1.03 * peers.mean()


def test_targets_are_reached_and_missed_ones_come_back_clean(digits):
    """Targeted, the wanted label is the answer; in one step no image gets there, and each is flagged and unchanged."""
    net, x, y = digits
    for attack in (DDN(steps=60, targeted=True), FMN(steps=60, targeted=True, norm="Linf")):
        result = attack.run(net, x[:10], y[:10], (y[:10] + 1) % 10)
        assert (result.predictions == (y[:10] + 1) % 10).float().mean() >= 0.8
        assert (result.success == (result.predictions == result.target)).all()
    missed = DDN(steps=1, radius=0.01, targeted=True).run(net, x[:10], y[:10], (y[:10] + 1) % 10)
    assert not missed.success.any() and torch.equal(missed.images, x[:10])


@pytest.mark.parametrize("field", [{"gamma": 0.6}, {"gamma": 0}, {"alpha": 0}, {"steps": 0}])
@pytest.mark.parametrize("cls", [DDN, FMN])
def test_settings_out_of_range_are_refused(cls, field):
    """The message names the field."""
    with pytest.raises(InputError, match=f"^{next(iter(field))}: "):
        cls(**field)
    assert cls.__name__ in attacks.REGISTRY


@pytest.mark.parametrize("attack", [DDN(), *(FMN(norm=norm) for norm in NORMS)], ids=["DDN", *NORMS])
def test_a_flat_model_is_asked_about_finite_images_alone(attack):
    """Without a gradient no image moves, however often the radius grows: in float32 it would be infinite after 300 steps."""
    asked = []

    class Flat(torch.nn.Module):
        def forward(self, x):
            asked.append(x.detach())
            return torch.tensor([1.0, 0.0]).expand(len(x), 2) + 0 * x.flatten(1).sum(1, keepdim=True)

    x = images(3)
    with pytest.warns(ZeroGradientWarning):
        result = attack.run(Flat(), x, torch.zeros(3, dtype=torch.long))
    assert all(torch.isfinite(seen).all() for seen in asked)
    assert torch.equal(result.images, x) and not result.success.any()
