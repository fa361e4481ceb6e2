"""FAB beside linear programmes, closed forms and another library."""

import numpy as np
import pytest
import torch
import torchattacks
from nets import Linear, images
from scipy.optimize import linprog

from advcourse import data, models
from advcourse.attacks import FAB, DeepFool
from advcourse.attacks.fab import least_linf_step
from advcourse.core.inputs import predict


def smallest_change(z, need, w):
    """The least t with |d| <= t, w.d = need and z + d in [0, 1], by scipy's linear programming; the variables are d and t."""
    d = len(z)
    eye, ones = np.eye(d), np.ones((d, 1))
    rows = np.block([[eye, -ones], [-eye, -ones]])
    bounds = [(-a, 1 - a) for a in z] + [(0, None)]
    answer = linprog(np.r_[np.zeros(d), 1], rows, np.zeros(2 * d), np.r_[w, 0][None], [need], bounds)
    return answer.x[-1] if answer.success else None


def test_the_least_step_in_l_infinity_is_the_linear_programmes():
    """Sixty random planes in the box against scipy's simplex: the same size, on the plane, and in the box."""
    g = torch.Generator().manual_seed(0)
    z = torch.rand(60, 1, 4, 4, generator=g, dtype=torch.float64)
    z[::3] = z[::3].round()
    w = torch.randn(60, 1, 4, 4, generator=g, dtype=torch.float64)
    need = 6 * torch.rand(60, generator=g, dtype=torch.float64)
    d = least_linf_step(z, need, w)
    assert (z + d).min() >= 0 and (z + d).max() <= 1
    feasible = 0
    for i in range(60):
        size = smallest_change(z[i].flatten().numpy(), need[i].item(), w[i].flatten().numpy())
        if size is None:  # the plane misses the box: all room is taken
            assert torch.equal(z[i] + d[i], (w[i] > 0).double())
            continue
        feasible += 1
        assert d[i].abs().max().item() == pytest.approx(size, abs=1e-6)
        assert (w[i] * d[i]).sum().item() == pytest.approx(need[i].item(), abs=1e-6)
    assert 30 < feasible < 60


@pytest.mark.parametrize(("norm", "dual"), [("Linf", 1), ("L2", 2)])
def test_on_a_linear_model_it_ends_at_the_nearest_plane(norm, dual):
    """The distance to the plane of class t is (Z_y - Z_t) / |w_y - w_t|_dual where the box does not bind: the least over t.

    A point goes back to 0.9 of its change, and then 1.05 of the way to the plane: it ends at 0.9 + 1.05 * 0.1 = 1.005 of it.
    """
    weight = torch.randn(4, 64, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    model, x = Linear(weight, torch.zeros(4, dtype=torch.float64)), 0.4 + 0.2 * images(12).double()
    with torch.no_grad():
        logits = model(x)
    y = logits.argmax(1)
    gaps = logits.gather(1, y.unsqueeze(1)) - logits
    lengths = torch.linalg.vector_norm(weight[y].unsqueeze(1) - weight, dual, dim=2)
    expected = (gaps / lengths).scatter(1, y.unsqueeze(1), torch.inf).amin(1)
    result = FAB(targets=3, steps=60, norm=norm).run(model, x, y)
    assert result.success.all()
    torch.testing.assert_close(result.distances[norm], 1.005 * expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_it_is_no_farther_than_another_librarys(norm):
    """torchattacks' FAB with the same targets and steps, on twenty digits: ours succeeds on all, and in the mean no farther."""
    model, (x, y) = models.load("mnist-small"), data.load("mnist-5k").pick(20, seed=5)
    own = FAB(targets=9, steps=20, norm=norm).run(model, x, y)
    peer = torchattacks.FAB(
        model, norm=norm, eps=100, steps=20, n_restarts=1, multi_targeted=True, n_classes=10
    )
    images = peer(x, y).detach()
    fooled = predict(model, images).argmax(1) != y
    order = torch.inf if norm == "Linf" else 2
    distance = torch.linalg.vector_norm(images - x, order, dim=(1, 2, 3)).double()
    assert own.success.all() and fooled.float().mean() > 0.9
    assert own.distances[norm][fooled].mean() <= 1.02 * distance[fooled].mean()


def test_it_comes_nearer_than_deepfool():
    """Both follow planes; FAB's pull towards the clean image must pay: smaller on nearly all of thirty digits."""
    model, (x, y) = models.load("mnist-small"), data.load("mnist-5k").pick(30, seed=6)
    own, other = FAB(targets=3, steps=30, norm="L2").run(model, x, y), DeepFool().run(model, x, y)
    both = own.success & other.success
    assert both.sum() >= 28
    assert (own.distances["L2"] <= other.distances["L2"])[both].double().mean() > 0.9


def test_an_image_that_is_misread_already_stays():
    """By definition the nearest point is the image itself."""
    model, (x, _) = models.load("mnist-small"), data.load("mnist-5k").pick(4, seed=7)
    wrong = (predict(model, x).argmax(1) + 1) % 10
    result = FAB(steps=3).run(model, x, wrong)
    assert torch.equal(result.images, x) and result.success.all() and not result.steps.any()
