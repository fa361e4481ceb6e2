"""stAdv against exact shifts, scipy's interpolation, loops over neighbours, torch's own Adam, and the paper's figures."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import Function, Scaled, conv, images
from scipy.ndimage import map_coordinates

from advcourse import attacks, data, models
from advcourse.attacks import StAdv
from advcourse.attacks.noise import Noise
from advcourse.attacks.stadv import flow_loss, warp
from advcourse.core import inputs


def flow_of(n=2, height=6, width=7, size=1.0, seed=0):
    g = torch.Generator().manual_seed(seed)
    return size * torch.randn(n, 2, height, width, generator=g, dtype=torch.float64)


def moved(x, right, down):
    """The picture one pixel away in plain numpy indexing, its edge repeated."""
    rows = (np.arange(x.shape[2]) - down).clip(0, x.shape[2] - 1)
    columns = (np.arange(x.shape[3]) - right).clip(0, x.shape[3] - 1)
    return x[:, :, rows][:, :, :, columns]


@pytest.mark.parametrize("right, down", [(1, 0), (-1, 0), (0, 1), (0, -1), (2, -3)])
def test_a_flow_of_one_pixel_moves_by_exactly_one_pixel(right, down):
    """Indexing. With align_corners=False and the same formula, or 2 / W in place of 2 / (W - 1), it moves by a little less."""
    x = images(2, (3, 6, 7), dtype=torch.float64)
    flow = torch.tensor([-right, -down], dtype=torch.float64).view(1, 2, 1, 1).expand(2, 2, 6, 7)
    torch.testing.assert_close(warp(x, flow), moved(x, right, down), rtol=0, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**20), st.sampled_from([0.1, 1.0, 5.0]), st.sampled_from([(6, 7), (1, 5), (8, 3)]))
def test_the_warp_is_bilinear_interpolation(seed, size, shape):
    """scipy.ndimage.map_coordinates of order 1 with its edge repeated, for each channel: one flow is shared by all."""
    x, flow = images(2, (3, *shape), seed, torch.float64), flow_of(2, *shape, size, seed)
    rows, columns = np.indices(shape)
    expected = [
        [map_coordinates(c, [rows + f[1], columns + f[0]], order=1, mode="nearest") for c in image]
        for image, f in zip(x.numpy(), flow.numpy(), strict=True)
    ]
    np.testing.assert_allclose(warp(x, flow), expected, rtol=0, atol=1e-9)


def test_the_flow_loss_is_the_papers_sum():
    """A loop over the pixels and their up to four neighbours, equation 4 of the paper."""
    flow = flow_of(1, 4, 5)
    total = 0.0
    for i in range(4):
        for j in range(5):
            for k, m in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                if 0 <= k < 4 and 0 <= m < 5:
                    total += math.sqrt(((flow[0, :, i, j] - flow[0, :, k, m]) ** 2).sum() + 1e-8)
    assert flow_loss(flow).item() == pytest.approx(total, rel=1e-12)


def test_the_neighbours_are_not_the_diagonal_ones():
    """A chessboard of flow: diagonal neighbours are equal and would cost nothing; by hand each of 2 * 31 pairs costs 2."""
    board = torch.ones(1, 2, 4, 5, dtype=torch.float64)
    board[:, :, ::2, ::2] = board[:, :, 1::2, 1::2] = 0
    board[:, 1] = 0
    assert flow_loss(board).item() == pytest.approx(2 * (4 * 4 + 3 * 5), rel=1e-6)


def test_a_shift_of_the_whole_picture_costs_nothing():
    """By hand: 2 * 31 times the root of 1e-8."""
    assert flow_loss(torch.full((1, 2, 4, 5), 3.0)).item() == pytest.approx(62 * 1e-4, rel=1e-5)


def test_the_gradient_at_zero_flow_is_zero_and_not_nan():
    """The root's own derivative at 0 is infinite, and times 0 it is NaN: torch says so without the 1e-8."""
    flow = torch.zeros(1, 2, 4, 5, requires_grad=True)
    (bare,) = torch.autograd.grad(flow.diff(dim=3).square().sum(1).sqrt().sum(), flow)
    assert bare.isnan().any()
    (gradient,) = torch.autograd.grad(flow_loss(flow).sum(), flow)
    assert torch.equal(gradient, torch.zeros_like(flow))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**20), st.sampled_from([0.1, 1.0, 20.0]), st.booleans())
def test_no_clip_is_needed(seed, size, ends):
    """An average lies between the least and the largest of its terms: float32 goes beyond by its rounding alone."""
    x, flow = images(2, (3, 6, 7), seed), flow_of(size=size, seed=seed).float()
    x = x.round() if ends else x
    bent = warp(x, flow)
    assert bent.min() >= x.min() - 1e-6 and bent.max() <= x.max() + 1e-6
    exact = warp(x.double(), flow.double())
    assert exact.min() >= -1e-14 and exact.max() <= 1 + 1e-14


def test_the_start_is_not_biased():
    """A model that any warp fools returns the start. N(0, 0.01) has mean 0; a uniform start moves all by 1/2."""
    x = images(4, (1, 28, 28))
    model = Function(
        lambda z: torch.stack([0 * z.flatten(1)[:, 0] + 1e-3, (z - x).abs().flatten(1).sum(1)], 1)
    )
    flow = (
        StAdv(steps=1, lr=1e-6)(model, x, torch.zeros(4).long()),
        StAdv(steps=1, lr=1e-6).run(model, x, torch.zeros(4).long()),
    )
    flow = flow[1].details["flow"]
    assert flow.mean().abs() < 4 * 0.01 / math.sqrt(flow.numel())
    assert flow.std().item() == pytest.approx(0.01, rel=0.05)


def by_hand(model, x, y, steps, lr, tau, seed):
    """The paper's objective with torch's own Adam and cosine: the flow of least loss that fools, and that loss."""
    with torch.no_grad():
        clean = model(x)
    unit = (clean[:, 0] - clean[:, 1]) * (1 - 2 * y) / 16
    flow = (0.01 * Noise(seed).normal(x.new_zeros(len(x), 2, *x.shape[2:]))).requires_grad_()
    adam = torch.optim.Adam([flow], lr=lr)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    best, least = torch.zeros_like(flow), x.new_full((len(x),), torch.inf)
    for step in range(steps + 1):
        logits = model(warp(x, flow))
        lead = (logits[:, 0] - logits[:, 1]) * (1 - 2 * y)
        loss = flow_loss(flow)
        better = (lead < 0) & (loss < least)
        best[better], least[better] = flow.detach()[better], loss.detach()[better]
        if step < steps:
            adam.zero_grad()
            (lead.clamp_min(0) / unit + tau * loss).sum().backward()
            adam.step()
            cosine.step()
    return best.detach(), least


def test_the_steps_are_those_of_torchs_adam():
    """torch.optim.Adam and CosineAnnealingLR on the same objective in float64, with a fixed tau and two classes."""
    model, x = conv(classes=2, dtype=torch.float64).eval(), images(8, dtype=torch.float64)
    y = model(x).argmax(1)
    record = StAdv(tau=0.01, steps=20, adapt=False, seed=3).run(model, x, y)
    best, least = by_hand(model, x, y, 20, 0.2, 0.01, 3)
    assert record.success.any() and torch.equal(record.success, least.isfinite())
    torch.testing.assert_close(record.details["flow"], best, rtol=0, atol=1e-9)


def test_the_record_tells_the_flow_that_was_applied():
    """scipy's interpolation of the clean colour image with the flow told gives the attacked image; so do loss and shift."""
    model, x = conv((3, 8, 8)), images(5, (3, 8, 8))
    record = StAdv(steps=30).run(model, x, model.eval()(x).argmax(1))
    flow, ok = record.details["flow"], record.success
    assert ok.any() and flow.shape == (5, 2, 8, 8)
    rows, columns = np.indices((8, 8))
    for image, clean, f in zip(record.images[ok], x[ok], flow[ok].numpy(), strict=True):
        for channel, before in zip(image, clean.numpy(), strict=True):
            expected = map_coordinates(before, [rows + f[1], columns + f[0]], order=1, mode="nearest")
            np.testing.assert_allclose(channel, expected, rtol=0, atol=2e-6)
    torch.testing.assert_close(record.details["flow_loss"], flow_loss(flow))
    torch.testing.assert_close(
        record.details["shift"], torch.hypot(flow[:, 0], flow[:, 1]).flatten(1).amax(1)
    )


def test_a_failure_is_the_clean_image():
    """The contract, on a black image: nothing that is moved changes it."""
    model = Function(lambda x: torch.stack([3 - x[:, 0, 0, 0], x[:, 0, -1, -1]], 1))
    x = torch.zeros(2, 1, 8, 8)
    record = StAdv(steps=5).run(model, x, torch.zeros(2).long())
    assert not record.success.any() and torch.equal(record.images, x) and not record.details["flow"].any()


@pytest.fixture(scope="module")
def digits():
    model = models.load("mnist-cnn")
    x, y = data.load("mnist-5k").first(26)
    right = inputs.predict(model, x).argmax(1) == y
    x, y = x[right][:20], y[right][:20]
    return model, x, y, attacks.choose_target(model, x, y)


@pytest.fixture(scope="module")
def targeted(digits):
    return StAdv(targeted=True).run(*digits)


def test_it_fools_as_often_as_the_paper_says(digits, targeted):
    """Xiao et al. report 99.95 % and more on MNIST. Bent, not torn: no pixel comes from more than 3 pixels away."""
    model, x, y, _ = digits
    assert targeted.success_rate >= 0.95 and StAdv().run(model, x, y).success_rate >= 0.95
    assert targeted.details["shift"].max() < 3


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_the_scale_of_the_logits_does_not_matter(digits, targeted, scale):
    """The same decisions, so the same attack: with raw logits tau = 0.05 drowns the hinge at 0.01, and vanishes at 100."""
    model, *rest = digits
    record = StAdv(targeted=True).run(Scaled(model, scale), *rest)
    assert torch.equal(record.success, targeted.success)
    median = record.details["flow_loss"].median() / targeted.details["flow_loss"].median()
    assert 0.8 < median < 1.25


def test_a_search_on_tau_succeeds_where_one_tau_does_not(digits, targeted):
    """A fixed tau of the paper fails for some images, and spends more flow than needed on others."""
    fixed = {tau: StAdv(tau=tau, adapt=False, targeted=True).run(*digits) for tau in (0.01, 0.05)}
    assert fixed[0.05].success_rate < targeted.success_rate
    both = fixed[0.01].success & targeted.success
    assert both.sum() > 10
    losses = [run.details["flow_loss"][both].mean() for run in (targeted, fixed[0.01])]
    assert losses[0] < losses[1]


@pytest.mark.slow
def test_signs_reach_their_targets_too():
    """Fresh forward passes of the flows; the paper's tau, fixed, holds most signs where they are."""
    model = models.load("signs-cnn")
    x, y = data.load("signs").pick(40, 0)
    target = attacks.choose_target(model, x, y)
    record, held = (StAdv(adapt=adapt, targeted=True).run(model, x, y, target) for adapt in (True, False))
    found = inputs.predict(model, warp(x, record.details["flow"]).clamp(0, 1)).argmax(1) == target
    assert record.success_rate >= 0.9 > held.success_rate + 0.3
    assert found[record.success].double().mean() > 0.95


def test_a_larger_tau_bends_less(digits):
    """The objective's own meaning: where both succeed, more weight on the flow loss gives less of it, and fewer successes."""
    low, high = (StAdv(tau=tau, adapt=False, targeted=True).run(*digits) for tau in (0.005, 0.05))
    both = low.success & high.success
    assert high.success_rate <= low.success_rate and both.any()
    assert (high.details["flow_loss"][both] < low.details["flow_loss"][both]).double().mean() > 0.9


@pytest.mark.slow
def test_confidence_is_the_lead_that_is_left(digits):
    """A fresh forward pass: the wrong label leads by 2 and more, and it costs more flow."""
    model, x, y, _ = digits
    sure, plain = StAdv(confidence=2.0).run(model, x, y), StAdv().run(model, x, y)
    ahead = (
        sure.logits.scatter(1, y.unsqueeze(1), -torch.inf).amax(1)
        - sure.logits.gather(1, y.unsqueeze(1))[:, 0]
    )
    assert sure.success_rate >= 0.95 and ahead[sure.success].min() >= 2 - 1e-4
    assert sure.details["flow_loss"].mean() > plain.details["flow_loss"].mean()
