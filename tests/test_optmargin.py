"""OptMargin: its directions by hand and by numpy, and against a vote over a region, which restores plain C&W."""

import pytest
import torch
from nets import conv, images, linear

from advcourse import data, models
from advcourse.attacks import CWL2, OptMargin
from advcourse.attacks.optmargin import neighbourhood


@pytest.fixture(scope="module")
def digits():
    model = models.load("mnist-cnn")
    x, y = data.load("mnist-5k").pick(40, seed=7)
    right = model(x).argmax(1) == y
    return model, x[right], y[right]


def vote(model, x, radius=0.3, votes=100):
    """The class that most of `votes` points of the cube around each image get, clipped to the box (Cao and Gong 2017)."""
    g = torch.Generator().manual_seed(0)
    counts = torch.zeros(len(x), 10)
    for _ in range(votes):
        noise = (2 * torch.rand(x.shape, generator=g) - 1) * radius
        with torch.no_grad():
            counts[torch.arange(len(x)), model((x + noise).clamp(0, 1)).argmax(1)] += 1
    return counts.argmax(1)


def test_directions_are_orthogonal_with_the_radius_as_root_mean_square():
    """By their Gram matrix: radius^2 * d on the diagonal, 0 elsewhere; the last is the image itself."""
    v = neighbourhood(torch.zeros(3, 8, 8, dtype=torch.float64), 20, 0.3).flatten(1)
    expected = torch.eye(20, dtype=torch.float64) * 0.3**2 * 192
    expected[-1, -1] = 0
    torch.testing.assert_close(v @ v.T, expected)
    assert (v[:-1].square().mean(1).sqrt() - 0.3).abs().max() < 1e-12


def test_radius_is_not_the_largest_pixel():
    """Scaling by the largest pixel, as another implementation does, gives noise several times smaller in root mean square."""
    v = neighbourhood(torch.zeros(1, 28, 28, dtype=torch.float64), 20, 0.3)[:-1].flatten(1)
    assert (v.abs().amax(1) > 2 * 0.3).all()


@pytest.mark.slow
def test_all_copies_are_misclassified(digits):
    """A fresh pass over x' + v_i, unclipped as in the authors' code: every copy of every success has a wrong label."""
    model, x, y = digits
    record = OptMargin().run(model, x, y)
    assert record.success.all()
    for v in neighbourhood(x[0], 20, 0.3):
        with torch.no_grad():
            assert (model(record.images + v).argmax(1) != y).all()


@pytest.mark.slow
def test_it_beats_region_voting_where_cw_does_not(digits):
    """30 points apart: voting over the cube of half-side 0.3 restores C&W's images and not OptMargin's."""
    model, x, y = digits
    cw, ours = CWL2().run(model, x, y), OptMargin().run(model, x, y)
    assert cw.success.all() and ours.success.all()
    restored = [(vote(model, record.images) == y).double().mean().item() for record in (cw, ours)]
    assert restored[0] - restored[1] >= 0.3
    assert ours.distances["L2"].mean() > cw.distances["L2"].mean()  # a wide margin has its price


@pytest.mark.slow
def test_one_copy_is_cw_without_rival_and_slide(digits):
    """With the image itself as only copy the objective is C&W L2's: the same search gives distances within 10 %."""
    model, x, y = digits
    settings = {"lr": 0.1, "steps": 40, "binary_search_steps": 3}
    ours, cw = OptMargin(copies=1, **settings).run(model, x, y), CWL2(slides=0, **settings).run(model, x, y)
    both = ours.success & cw.success
    assert both.sum() >= 20
    mine, theirs = (record.distances["L2"][both].mean().item() for record in (ours, cw))
    assert mine == pytest.approx(theirs, rel=0.1)


def test_groups_of_copies_change_nothing(monkeypatch):
    """One copy at a time and all at once: the same images, in float64."""
    import advcourse.attacks.optmargin as module

    model, x, y = conv(dtype=torch.float64), images(5, dtype=torch.float64), torch.arange(5)
    attack = OptMargin(copies=4, radius=0.1)
    monkeypatch.setattr(module, "_AT_ONCE", 10_000)
    together = attack(model, x, y)
    monkeypatch.setattr(module, "_AT_ONCE", 1)
    torch.testing.assert_close(attack(model, x, y), together, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "make",
    [lambda **s: OptMargin(copies=1, doublings=0, **s), lambda **s: CWL2(slides=0, doublings=0, **s)],
    ids=["OptMargin", "C&W"],
)
def test_the_distance_is_not_divided_by_255_squared(make):
    """On a linear model |x' - x|^2 + c * hinge has its least value beyond the boundary from c = 2 lead / |w|^2 on; a script
    of the authors divides the distance by 255^2, which makes any c 65 025 times as strong.
    """
    model = linear(2)
    x = torch.full((3, 1, 6, 6), 0.5, dtype=torch.float64) + 0.02 * images(3, (1, 6, 6), dtype=torch.float64)
    logits = model(x).detach()
    y, w = logits.argmax(1), (model.weight[0] - model.weight[1]).detach()
    enough = 2 * (logits[:, 0] - logits[:, 1]).abs() / w.square().sum()
    for factor, succeeds in ((0.5, False), (2.0, True)):
        for i in range(3):
            attack = make(lr=0.02, steps=80, binary_search_steps=1, initial_const=factor * enough[i].item())
            assert attack.run(model, x[i : i + 1], y[i : i + 1]).success.item() is succeeds


def test_linear_model_closed_form():
    """All copies must cross, so the farthest rules: the least distance is max_i (lead + w.v_i) / |w|; within 1.25 times that."""
    model = linear(2)
    x = torch.full((5, 1, 6, 6), 0.5, dtype=torch.float64) + 0.05 * images(5, (1, 6, 6), dtype=torch.float64)
    logits = model(x).detach()
    y = logits.argmax(1)
    w = (model.weight[0] - model.weight[1]).detach() * torch.where(y == 0, 1, -1)[:, None]
    v = neighbourhood(x[0], 8, 0.03).flatten(1)
    lead = (logits[:, 0] - logits[:, 1]).abs()
    exact = (lead[:, None] + w @ v.T).amax(1) / w.norm(dim=1)
    record = OptMargin(copies=8, radius=0.03, steps=20, lr=0.1).run(model, x, y)
    assert record.success.all() and (record.distances["L2"] >= exact * (1 - 1e-9)).all()
    assert (record.distances["L2"] <= 1.25 * exact).all()
