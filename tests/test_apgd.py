"""APGD beside its paper: schedule, losses, closed forms on linear models, and another library's from the same starts."""

import pytest
import torch
import torchattacks
from nets import Linear, conv, images

from advcourse import data, models
from advcourse.attacks import APGD, PGD
from advcourse.attacks.apgd import _Run, checkpoints, dlr, targeted_dlr
from advcourse.attacks.noise import Noise
from advcourse.core.errors import ZeroGradientWarning
from advcourse.core.inputs import InputError, predict


def test_the_checkpoints_are_the_papers():
    """Against section 4.1: p_0 = 0, p_1 = 0.22, p_(j+1) = p_j + max(p_j - p_(j-1) - 0.03, 0.06), of 100 steps, by hand."""
    assert list(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert list(checkpoints(100).values()) == [22, 19, 16, 13, 10, 7, 6, 6]
    assert checkpoints(1) == {1: 1} and max(checkpoints(7)) <= 7


def test_the_difference_of_logits_ratio_by_hand():
    """Logits 1, 5, 3, 2: the label leads by 2 and first and third are 3 apart; the third class is 2 behind the label's 5."""
    logits = torch.tensor([[1.0, 5.0, 3.0, 2.0]], dtype=torch.float64)
    one = torch.tensor([1])
    assert dlr(logits, one).item() == pytest.approx(-2 / 3)
    assert dlr(logits, torch.tensor([2])).item() == pytest.approx(2 / 3)
    # Towards class 3: -(5 - 2) / (5 - (2 + 1) / 2).
    assert targeted_dlr(logits, one, torch.tensor([3])).item() == pytest.approx(-3 / 3.5)
    for loss in (lambda z: dlr(z, one), lambda z: targeted_dlr(z, one, torch.tensor([3]))):
        assert loss(7 * logits + 11).item() == pytest.approx(loss(logits).item())


def test_few_classes_leave_the_numerator():
    """By hand: with two classes there is no third logit, with three no fourth."""
    logits = torch.tensor([[1.0, 4.0], [2.0, 2.5]])
    y = torch.tensor([1, 0])
    torch.testing.assert_close(dlr(logits, y), torch.tensor([-3.0, 0.5]))
    torch.testing.assert_close(targeted_dlr(logits, y, 1 - y), torch.tensor([-3.0, 0.5]))


@pytest.mark.parametrize("loss", ["ce", "dlr"])
def test_on_a_linear_model_it_finds_the_worst_point(loss):
    """Two classes: x - eps * sign(w), cut by the box, has the least margin in L-infinity, in closed form."""
    weight = torch.randn(2, 36, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    model, x = Linear(weight, torch.tensor([6.0, 0.0], dtype=torch.float64)), images(20, (1, 6, 6))
    x, y = x.double(), torch.zeros(20, dtype=torch.long)
    slope = (weight[0] - weight[1]).view(1, 6, 6)
    worst = (x - 0.05 * slope.sign()).clamp(0, 1)
    with torch.no_grad():
        margins = [(z[:, 0] - z[:, 1]) for z in (model(APGD(0.05, loss=loss)(model, x, y)), model(worst))]
    left = margins[1] >= 0  # the others stop as soon as they are fooled
    assert 3 < left.sum() < 20 and (margins[0] < 0).equal(~left)
    torch.testing.assert_close(margins[0][left], margins[1][left], rtol=0, atol=1e-9)


def test_in_l2_on_a_linear_model_it_moves_against_the_slope():
    """Where the box does not bind, the least margin over the ball is the clean one minus eps * |w|."""
    weight = torch.randn(2, 36, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    model = Linear(weight, torch.tensor([40.0, 0.0], dtype=torch.float64))
    x, y = 0.4 + 0.2 * images(8, (1, 6, 6)).double(), torch.zeros(8, dtype=torch.long)
    result = APGD(0.5, norm="L2").run(model, x, y)
    margin = result.logits[:, 0] - result.logits[:, 1]
    with torch.no_grad():
        clean = model(x)
    expected = clean[:, 0] - clean[:, 1] - 0.5 * (weight[0] - weight[1]).norm()
    torch.testing.assert_close(margin, expected, rtol=0, atol=1e-6)


def test_from_the_same_starts_it_fools_the_digits_that_another_library_fools(monkeypatch):
    """torchattacks' APGD in float64, which gets our random numbers: the same digits are fooled, step rule and all."""
    model, (x, y) = models.load("mnist-small").double(), data.load("mnist-5k").pick(60, seed=1)
    x = x.double()
    attack = APGD(0.09, steps=30, seed=2)
    own = attack.run(model, x, y).success
    uniform = Noise(2).uniform(x)
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: uniform.clone())
    monkeypatch.setattr(torch.random, "manual_seed", lambda *_: None)
    peer = torchattacks.APGD(model, norm="Linf", eps=0.09, steps=30, n_restarts=1, loss="ce", rho=0.75)
    fooled = predict(model, peer(x.clone(), y).detach()).argmax(1) != y
    assert 10 < int(own.sum()) < 50
    assert torch.equal(own, fooled)


def test_a_step_is_halved_by_the_papers_two_conditions():
    """Condition 1: at most 75 % of the steps rose; condition 2: best loss as at the last checkpoint, and not halved there."""
    n = 4
    x = torch.full((n, 1, 2, 2), 0.5)
    run = _Run(torch.arange(n), x, x, torch.zeros(n, dtype=torch.long), None, 0.1)
    run.begin(torch.zeros(n), torch.zeros_like(x))
    run.best, run.x_k = x + 0.1, x - 0.1
    run.risen = torch.tensor([15, 16, 20, 20])
    run.best_loss = torch.tensor([1.0, 1.0, 0.0, 0.0])
    run.halved = torch.tensor([True, True, True, False])
    run.check(20)
    assert run.halved.tolist() == [True, False, False, True]
    assert run.eta.flatten().tolist() == pytest.approx([0.1, 0.2, 0.2, 0.1])
    assert (run.x_k > 0.5).flatten(1).all(1).tolist() == [True, False, False, True]  # back at the best point
    assert not run.risen.any()


def test_the_first_step_is_compared_with_the_start():
    """A first step that lowers the loss does not count as a rise; against an unfilled 0 every loss would."""
    x = torch.full((1, 1, 2, 2), 0.5)
    run = _Run(torch.arange(1), x, x, torch.zeros(1, dtype=torch.long), None, 0.1)
    run.begin(torch.tensor([5.0]), torch.zeros_like(x))
    run.compare(torch.tensor([4.0]), torch.zeros_like(x))
    assert run.risen.item() == 0 and run.best_loss.item() == 5


def test_starts_lie_on_the_surface():
    """By hand: the largest change is eps in L-infinity, the length eps in L2, where the box leaves room."""
    x, y = torch.full((5, 1, 8, 8), 0.5), torch.zeros(5, dtype=torch.long)
    seen = []

    class Watched(torch.nn.Module):
        def forward(self, z):
            seen.append(z.detach().clone())
            return (
                z.flatten(1)[:, :3] * 0 + torch.tensor([5.0, 0.0, 0.0]) + 1e-3 * z.sum((1, 2, 3)).unsqueeze(1)
            )

    for norm, order in (("Linf", torch.inf), ("L2", 2)):
        seen.clear()
        with pytest.warns(ZeroGradientWarning):  # of three equal slopes
            APGD(0.2, norm=norm, steps=1)(Watched(), x, y)
        lengths = torch.linalg.vector_norm(seen[0] - x, order, dim=(1, 2, 3))
        torch.testing.assert_close(lengths, torch.full((5,), 0.2))


def test_finalists_are_the_targets_that_came_furthest():
    """Fewer passes than for all targets, and no digit less: what is fooled with all nine is fooled with three, but for one."""
    model, (x, y) = models.load("mnist-small"), data.load("mnist-5k").pick(40, seed=4)
    all_nine, three = (
        APGD(0.1, loss="dlr", targets=9, finalists=f, steps=20).run(model, x, y) for f in (0, 3)
    )
    assert 0.2 < all_nine.success_rate < 0.95
    assert (all_nine.success & ~three.success).sum() <= 1
    assert three.backward_passes < 0.75 * all_nine.backward_passes


def test_it_is_at_least_as_strong_as_pgd_at_equal_passes():
    """The paper's claim, on a hundred digits of an adversarially trained net, within one digit."""
    model, (x, y) = models.load("mnist-pat"), data.load("mnist-5k").pick(100, seed=0)
    own = APGD(0.35, steps=40).run(model, x, y)
    pgd = PGD(0.35, steps=40, alpha=0.35 / 4).run(model, x, y)
    assert own.success.sum() >= pgd.success.sum() - 1


def test_bad_settings_are_named():
    with pytest.raises(InputError, match="finalists: got 3; allowed are at most the 2 targets"):
        APGD(targets=2, finalists=3)
    x, y = images(2), torch.tensor([0, 1])
    model = conv(classes=3)
    assert (
        APGD(0.1, loss="dlr", targets=9, steps=2).run(model, x, y).steps.max() <= 4
    )  # two other classes, two steps each
