"""EAD against closed forms, hand-computed steps, C&W and torchattacks."""

import pytest
import torch
import torchattacks
from nets import linear

from advcourse import attacks, data, metrics, models
from advcourse.attacks import CWL2, EAD
from advcourse.attacks.ead import Fista, shrink


@pytest.fixture(scope="module")
def digits():
    model = models.load("mnist-cnn")
    x, y = data.load("mnist-5k").pick(40, seed=5)
    right = model(x).argmax(1) == y
    x, y = x[right], y[right]
    return model, x, y, attacks.choose_target(model, x, y)


def test_l1_rule_on_a_linear_model():
    """Two classes: the least L1 change goes all into the steepest pixels, one after the other, each up to the box."""
    model = linear(2, seed=1)
    x = torch.rand(20, 1, 6, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    logits = model(x).detach()
    y = logits.argmax(1)
    w = (model.weight[0] - model.weight[1]).detach() * torch.where(y == 0, 1, -1)[:, None]
    flat, lead = x.flatten(1), (logits[:, 0] - logits[:, 1]).abs()
    room = torch.where(w > 0, flat, 1 - flat)  # how far each pixel can go in the direction that helps
    order = w.abs().argsort(1, descending=True)
    steep, room = w.abs().gather(1, order), room.gather(1, order)
    before = torch.cat([torch.zeros(20, 1, dtype=torch.float64), (steep * room).cumsum(1)], 1)[:, :-1]
    exact = ((lead[:, None] - before).clamp_min(0) / steep).minimum(room).sum(1)
    record = EAD(rule="L1", slides=60).run(model, x, y)
    assert record.success.all() and (record.distances["L1"] >= exact * (1 - 1e-9)).all()
    assert (record.distances["L1"] <= 1.25 * exact).all()


def test_beta_0_is_cw_l2(digits):
    """With beta 0 nothing shrinks: mean L2 within 5 % of C&W's."""
    model, x, y, _ = digits
    ours, theirs = EAD(beta=0, slides=30).run(model, x, y), CWL2().run(model, x, y)
    assert ours.success.all() and theirs.success.all()
    assert ours.distances["L2"].mean().item() == pytest.approx(theirs.distances["L2"].mean().item(), rel=0.05)


@pytest.mark.parametrize("targeted", [False, True])
def test_the_papers_ordering(digits, targeted):
    """Table 1 of the paper: in L1 the L1 rule < EN < C&W, in L2 the reverse."""
    model, x, y, target = digits
    goal = target if targeted else None
    l1, en, cw = (
        attack.run(model, x, y, goal)
        for attack in (EAD(rule="L1", targeted=targeted), EAD(targeted=targeted), CWL2(targeted=targeted))
    )
    assert l1.success.all() and en.success.all() and cw.success.all()
    for norm, order in (("L1", (l1, en, cw)), ("L2", (cw, en, l1))):
        means = [record.distances[norm].mean().item() for record in order]
        assert means == sorted(means) and means[0] < 0.95 * means[2]


@pytest.mark.parametrize("rule", ["EN", "L1"])
def test_no_larger_than_torchattacks(digits, rule):
    """torchattacks' EADEN and EADL1, 5 x 100 steps: at least as many succeed, and the mean L1 is no larger."""
    model, x, y, _ = digits
    x, y = x[:25], y[:25]
    peer = {"EN": torchattacks.EADEN, "L1": torchattacks.EADL1}[rule](
        model, lr=0.01, max_iterations=100, binary_search_steps=5, beta=1e-3
    )
    theirs = peer(x, y)
    fooled = model(theirs).argmax(1) != y
    record = EAD(rule=rule).run(model, x, y)
    assert record.success.all()
    assert record.distances["L1"][fooled].mean() <= metrics.l1(x, theirs)[fooled].mean()


def test_shrinking_by_hand():
    """S_beta of the paper's equation 8, each branch: back to x, beta nearer to x, and the ends of the box."""
    x = torch.tensor([0.5, 0.5, 0.5, 0.95, 0.05])
    z = torch.tensor([0.55, 0.9, 0.1, 1.3, -0.4])
    expected = torch.tensor([0.5, 0.8, 0.2, 1.0, 0.0])
    torch.testing.assert_close(shrink(z, x, 0.1), expected)


def test_the_threshold_is_beta_and_not_the_step_times_beta():
    """A pixel pushed by 0.05 in a step of size 0.1 stays where beta is 0.06 and moves by 0.05 - 0.03 where beta is 0.03."""
    x, push = torch.full((1, 1, 1, 1), 0.5), torch.full((1, 1, 1, 1), -0.5)
    for beta, expected in ((0.06, 0.5), (0.03, 0.52)):
        walk = Fista(x, x, 10, beta=beta, lr=0.1)
        walk.step(push)
        assert walk.images.item() == pytest.approx(expected)


def test_extrapolation_and_step_size_by_hand():
    """Algorithm 1: step sizes lr * sqrt(1 - k/N), and y = x_{k+1} + k / (k + 3) * (x_{k+1} - x_k), from k = 0."""
    x, push = torch.full((1, 1, 1, 1), 0.5), torch.full((1, 1, 1, 1), -1.0)
    walk = Fista(x, x, 4, beta=0.0, lr=0.1)
    first = 0.5 + 0.1
    walk.step(push)
    assert walk.images.item() == pytest.approx(first) and walk.point.item() == pytest.approx(first)
    second = first - 0.1 * 0.75**0.5 * (-1 + 2 * (first - 0.5))
    walk.step(push + 2 * (walk.point - x))
    assert walk.images.item() == pytest.approx(second)
    assert walk.point.item() == pytest.approx(second + (second - first) / 4)


def test_the_rules_differ_in_bookkeeping_alone(digits):
    """As in the authors' two files: of the points of one run without slide, each keeps the best by its own measure."""
    model, x, y, _ = digits
    settings = {"steps": 40, "binary_search_steps": 1, "initial_const": 10.0, "slides": 0}
    en, l1 = EAD(rule="EN", **settings).run(model, x, y), EAD(rule="L1", **settings).run(model, x, y)
    assert torch.equal(en.success, l1.success) and en.success.any()

    def net(record):
        return record.distances["L2"] ** 2 + 0.001 * record.distances["L1"]

    both = en.success
    assert (net(en) <= net(l1) + 1e-6)[both].all()
    assert (l1.distances["L1"] <= en.distances["L1"] + 1e-6)[both].all()
    assert not torch.equal(en.images, l1.images)


def test_a_larger_beta_changes_fewer_pixels(digits):
    """What the L1 norm is for: each larger beta leaves fewer than 70 % of the changed pixels, where nothing follows the search.

    The slide along the boundary changes pixels again, and no longer tells 0.001 from 0.01: both stay below half of what
    beta 0 changes.
    """
    model, x, y, _ = digits

    def pixels(beta, **fields):
        return EAD(beta=beta, **fields).run(model, x, y).distances["L0"].mean().item()

    search = [pixels(beta, slides=0) for beta in (0, 1e-3, 1e-2, 1e-1)]
    assert all(fewer < 0.7 * more for more, fewer in zip(search, search[1:]))
    assert max(pixels(1e-3), pixels(1e-2)) < 0.5 * pixels(0)
