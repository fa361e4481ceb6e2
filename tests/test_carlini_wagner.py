"""C&W L2, L0 and L-infinity against closed forms on linear models, a solver, foolbox, and the other attacks on real digits."""

import foolbox
import pytest
import torch
from nets import Function, Linear, images, linear
from scipy.optimize import minimize

from advcourse import attacks, data, metrics, models
from advcourse.attacks import CWL0, CWL2, CWLinf
from advcourse.attacks.base import AttackedModel
from advcourse.attacks.best import Nearest
from advcourse.attacks.cw_l2 import TanhAdam
from advcourse.attacks.search import Hinge, squared_l2
from advcourse.attacks.slide import slide

PAPER = {
    "lr": 0.02,
    "steps": 100,
    "binary_search_steps": 5,
    "initial_const": 0.1,
    "slides": 0,
    "doublings": 0,
}


@pytest.fixture(scope="module")
def digits():
    model = models.load("mnist-cnn")
    x, y = data.load("mnist-5k").pick(40, seed=3)
    right = model(x).argmax(1) == y
    x, y = x[right], y[right]
    return model, x, y, attacks.choose_target(model, x, y)


@pytest.fixture(scope="module")
def easy():
    """A linear model, images around grey that the box does not hinder, their labels and each other class's lead and weights."""
    model = linear(5, (1, 6, 6))
    x = 0.5 + 0.1 * (
        torch.rand(30, 1, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.5
    )
    logits = model(x).detach()
    y = logits.argmax(1)
    lead = logits.gather(1, y[:, None]) - logits
    weights = model.weight.detach()[y][:, None] - model.weight.detach()
    return model, x, y, lead, weights


def smallest(easy, dual):
    """The closed form: min over the other classes of lead / |w|_q, 1/p + 1/q = 1."""
    _, _, y, lead, weights = easy
    distance = lead / weights.norm(p=dual, dim=2)
    return distance.scatter(1, y[:, None], torch.inf).amin(1)


@pytest.mark.parametrize(
    "attack, norm, dual, factor",
    [(CWL2(), "L2", 2, 1.05), (CWLinf(), "Linf", 1, 1.05)],
    ids=["CWL2", "CWLinf"],
)
def test_linear_model_closed_form(easy, attack, norm, dual, factor):
    """Against lead / |w|_q, the distance of a point from the nearest hyperplane: all succeed, none below it, none much above."""
    model, x, y, *_ = easy
    record = attack.run(model, x, y)
    exact = smallest(easy, dual)
    assert record.success.all()
    assert (record.distances[norm] >= exact * (1 - 1e-9)).all()
    assert (record.distances[norm] <= factor * exact).all()


@pytest.mark.parametrize(
    "attack, norm, dual", [(CWL2(targeted=True), "L2", 2), (CWLinf(targeted=True), "Linf", 1)]
)
def test_linear_model_of_two_classes_targeted(attack, norm, dual):
    """With two classes the target's hyperplane is the only one: lead / |w|_q again."""
    model = linear(2)
    x = 0.5 + 0.1 * (
        torch.rand(10, 1, 6, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64) - 0.5
    )
    logits = model(x).detach()
    y = logits.argmax(1)
    w = (model.weight[0] - model.weight[1]).detach()
    exact = (logits[:, 0] - logits[:, 1]).abs() / w.norm(p=dual)
    record = attack.run(model, x, y, 1 - y)
    assert record.success.all()
    assert ((record.distances[norm] >= exact * (1 - 1e-9)) & (record.distances[norm] <= 1.05 * exact)).all()


def test_l0_on_a_linear_model():
    """Two classes: the fewest pixels are the first whose greatest possible effects, pushed to the box, add up to the lead."""
    model = linear(2, seed=3)
    x = torch.rand(20, 1, 6, 6, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    logits = model(x).detach()
    y = logits.argmax(1)
    w = (model.weight[0] - model.weight[1]).detach() * torch.where(y == 0, 1, -1)[:, None]
    flat = x.flatten(1)
    effects = torch.maximum(w * flat, -w * (1 - flat)).sort(1, descending=True).values.cumsum(1)
    fewest = (effects <= (logits[:, 0] - logits[:, 1]).abs()[:, None]).sum(1) + 1
    record = CWL0().run(model, x, y)
    assert record.success.all() and (record.distances["L0"] >= fewest).all()
    assert record.distances["L0"].sum() <= 1.25 * fewest.sum()


def test_the_slide_ends_at_the_nearest_point_in_the_box():
    """Against scipy's SLSQP: min |x' - x|_2 under one linear constraint and the box, from a poor start."""
    model = linear(2, (1, 3, 3), seed=5)
    x = torch.rand(6, 1, 3, 3, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    y = model(x).argmax(1)
    w = (model.weight[0] - model.weight[1]).detach() * torch.where(y == 0, 1, -1)[:, None]
    start = (w < 0).double().view_as(x)  # the corner that the other class likes best
    victim = AttackedModel(model, y, None, x.dtype)
    nearest = Nearest(x, squared_l2)
    nearest.offer(torch.arange(6), start, torch.ones(6, dtype=torch.bool))
    slide(Hinge(victim, y, None, 0.0, cut=False), x, nearest, steps=60)
    for image, found, weight in zip(x, nearest.distance, w):
        a, weight = image.flatten().numpy(), weight.numpy()
        exact = minimize(
            lambda p, a=a: ((p - a) ** 2).sum(),
            start[0].flatten().numpy(),
            bounds=[(0, 1)] * 9,
            constraints={"type": "ineq", "fun": lambda p, weight=weight: -weight @ p},
        )
        assert exact.success and found == pytest.approx(exact.fun, rel=0.03, abs=1e-6)


@pytest.mark.slow
def test_smaller_than_foolbox_with_a_tenth_of_the_passes(digits):
    """foolbox's L2CarliniWagnerAttack, 5 x 100 steps: at least as many succeed, at a smaller median distance."""
    model, x, y, _ = digits
    peer = foolbox.attacks.L2CarliniWagnerAttack(binary_search_steps=5, steps=80, stepsize=0.05)
    theirs = peer.run(foolbox.PyTorchModel(model, bounds=(0, 1)), x, y)
    size = metrics.l2(x, theirs)
    size[model(theirs).argmax(1) == y] = torch.inf
    record = CWL2().run(model, x, y)
    assert record.success.all() and record.distances["L2"].median() <= size.median()
    assert record.backward_passes <= 0.15 * 400 * len(x)


def test_the_papers_own_search_agrees_with_foolbox(digits):
    """Without slide and estimate, settings as foolbox's: the same optimisation, so the mean distance agrees within 10 %."""
    model, x, y, _ = digits
    x, y = x[:8], y[:8]
    peer = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=5, steps=100, stepsize=0.02, initial_const=0.1, abort_early=False
    )
    theirs = peer.run(foolbox.PyTorchModel(model, bounds=(0, 1)), x, y)
    fooled = model(theirs).argmax(1) != y
    ours = CWL2(**PAPER).run(model, x, y)
    both = fooled & ours.success
    assert both.sum() >= 6
    assert ours.distances["L2"][both].mean() <= 1.1 * metrics.l2(x, theirs)[both].mean()


def test_confidence_is_a_lead_of_the_logits(digits):
    """The wanted logit leads by kappa in a fresh pass: the definition of kappa in section V.A of the paper."""
    model, x, y, target = digits
    for attack, label, sign in ((CWL2(confidence=5), y, 1), (CWL2(confidence=5, targeted=True), target, -1)):
        record = attack.run(model, x, y, target if attack.targeted else None)
        assert record.success.all()
        assert (sign * metrics.misclassification.margin(record.logits, label) <= -5 + 1e-3).all()
    assert record.distances["L2"].mean() > CWL2(targeted=True).run(model, x, y, target).distances["L2"].mean()


def test_all_logits_negative_do_not_stop_the_hinge():
    """One-hot times logits in place of a masked maximum has 0 for the others' maximum: done before it began."""
    base = linear(3)
    model = Linear(base.weight.detach(), base.bias.detach() - 50)
    x = 0.5 + 0 * torch.rand(4, 1, 6, 6, dtype=torch.float64)
    y = model(x).argmax(1)
    record = CWL2().run(model, x, y)
    assert (record.logits < 0).all() and record.success.all() and (record.distances["L2"] > 0).all()


def test_the_first_constant_follows_the_slope():
    """Logits times 1000 ask for a constant a thousand times smaller; the points found are the same, by the closed form."""
    model, scaled = linear(2), linear(2)
    with torch.no_grad():
        scaled.weight *= 1000
    x = torch.full((3, 1, 6, 6), 0.5, dtype=torch.float64)
    y = model(x).argmax(1)
    ours, theirs = CWL2().run(model, x, y), CWL2().run(scaled, x, y)
    torch.testing.assert_close(ours.distances["L2"], theirs.distances["L2"], rtol=1e-3, atol=0)
    torch.testing.assert_close(ours.details["c"], 1000 * theirs.details["c"], rtol=1e-6, atol=0)


def test_the_best_of_all_points_is_kept_not_the_last():
    """A model that is fooled only near 0.6: Adam passes through and beyond, and the point inside is the one that comes back."""
    model = Function(
        lambda x: torch.stack([x.mean((1, 2, 3)) * 0, 0.05 - (x.mean((1, 2, 3)) - 0.6).abs()], 1)
    )
    x = torch.full((1, 1, 4, 4), 0.5)
    attack = CWL2(lr=0.1, steps=30, binary_search_steps=1, initial_const=1e3, slides=0)
    record = attack.run(model, x, torch.tensor([0]))
    assert record.success.all() and 0.55 <= record.images.mean() <= 0.65


def test_the_hinge_by_hand():
    """f6 of the paper at logits (3, 1, 2), and its gradient: the best other class or a rival, both directions, cut or not."""
    model = Function(lambda x: x.flatten(1))
    z = torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64).view(1, 1, 1, 3)
    zero, one, two = (torch.tensor([k]) for k in range(3))
    index, victim = torch.tensor([0]), AttackedModel(model, zero, None, z.dtype)
    for f, value, slope in (
        (Hinge(victim, zero, None, 0.5), 1.5, [1, 0, -1]),
        (Hinge(victim, zero, None, 0.5, rival=one), 1.5, [1, -1, 0]),
        (Hinge(victim, zero, two, 0.5), 1.5, [1, 0, -1]),
        (Hinge(victim, one, None, 0.5), -1.5, [0, 0, 0]),
        (Hinge(victim, one, None, 0.5, cut=False), -1.5, [-1, 1, 0]),
    ):
        to_success, gradient = f(index, z)
        assert to_success.item() == pytest.approx(value, abs=1e-12)
        assert gradient.flatten().tolist() == slope
        assert f(index, z, differentiate=False)[1] is None


def test_tanh_starts_where_saturated_pixels_still_have_a_gradient():
    """d x'/d w = (1 - tanh^2) / 2: 1e-3 at 0.999, 1e-6 at the authors' 0.999999; Adam's first step in w is lr in both."""
    walk = TanhAdam(torch.zeros(1, 1, 1, 1), lr=1.0)
    assert walk.images.item() == pytest.approx(0.0005, rel=1e-3)
    walk.step(torch.full((1, 1, 1, 1), -1.0))
    assert walk.images.item() == pytest.approx((torch.tensor(-3.8002 + 1).tanh().item() + 1) / 2, rel=1e-3)


def test_adam_is_torchs_adam():
    """Ten steps on a quadratic in w, against torch.optim.Adam on the same graph."""
    x = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pull = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    w = torch.atanh((2 * x - 1) * 0.999).requires_grad_()
    adam = torch.optim.Adam([w], lr=0.1)
    walk = TanhAdam(x, lr=0.1)
    for _ in range(10):
        images = (w.tanh() + 1) / 2
        adam.zero_grad()
        ((images - x).square().sum() + (pull * images).sum()).backward()
        adam.step()
        walk.step(2 * (walk.images - x) + pull)
    torch.testing.assert_close(walk.images, (w.detach().tanh() + 1) / 2, rtol=0, atol=1e-9)


@pytest.mark.parametrize("cls", [CWL2, attacks.EAD], ids=["C&W", "EAD"])
def test_an_image_that_converged_leaves_the_run_alone(cls):
    """The abort of the authors' code couples the batch; here each image's result is what it is without company.

    In float64: a long search makes the rounding errors of float32 large, and a batch of another size rounds differently.
    """
    model, (x, y) = models.load("mnist-cnn").double(), data.load("mnist-5k").pick(4, seed=3)
    x, attack = x.double(), cls(lr=0.1, steps=60, binary_search_steps=2, slides=0)
    record = attack.run(model, x, y)
    assert record.success.all() and record.steps.min() < record.steps.max()  # somebody did leave
    for i in range(len(x)):
        alone = attack.run(model, x[i : i + 1], y[i : i + 1])
        assert alone.steps == record.steps[i]
        torch.testing.assert_close(alone.images, record.images[i : i + 1], rtol=0, atol=1e-9)


def test_misclassified_already_means_nothing_to_do(digits):
    """An image whose label is wrong to begin with succeeds at distance 0, for all three norms."""
    model, x, y, _ = digits
    for cls in (CWL2, CWL0, CWLinf):
        record = cls().run(model, x[:5], (y[:5] + 1) % 10)
        assert record.success.all() and torch.equal(record.images, x[:5])


def test_linf_is_below_the_smallest_eps_of_pgd(digits):
    """PGD of 20 steps at each eps of a grid: the mean of the smallest that fools is no more than 10 % below ours."""
    model, x, y = *digits[:1], digits[1][:16], digits[2][:16]
    grid = torch.linspace(0.02, 0.2, 19)
    smallest_eps = torch.full((len(x),), torch.inf)
    for eps in grid.tolist():
        fooled = attacks.PGD(eps, eps / 8, 20, random_start=False, keep="first").run(model, x, y).success
        smallest_eps = torch.where(fooled & smallest_eps.isinf(), eps, smallest_eps)
    record = CWLinf().run(model, x, y)
    assert record.success.all() and smallest_eps.isfinite().all()
    assert record.distances["Linf"].mean() <= 1.1 * smallest_eps.mean()


def test_l0_changes_fewer_pixels_than_jsma(digits):
    """On the images where both reach the target."""
    model, x, y, target = digits
    ours, jsma = CWL0(targeted=True).run(model, x, y, target), attacks.JSMA().run(model, x, y, target)
    both = ours.success & jsma.success
    assert ours.success.all() and both.sum() >= 20
    assert (ours.distances["L0"] <= jsma.distances["L0"])[both].double().mean() >= 0.9
    assert ours.distances["L0"][both].mean() <= 0.6 * jsma.distances["L0"][both].mean()


def test_opposite_changes_of_a_colour_do_not_cancel():
    """A pixel is needed for red minus green: the authors' signed sum over channels scores it 0 and freezes it first."""
    model = Function(
        lambda x: torch.stack(
            [x[:, 0, 0, 0] * 0 + 0.9, x[:, 0, 0, 0] - x[:, 1, 0, 0] + x[:, :, 1, 1].sum(1) * 0.1], 1
        )
    )
    x = torch.full((1, 3, 2, 2), 0.5)
    record = CWL0().run(model, x, torch.tensor([0]))
    changed = (record.images != x).any(1)[0]
    assert record.success.all() and changed[0, 0] and changed.sum() <= 2


def test_each_norm_wins_at_its_own(digits):
    """The three attacks on the same images: each has the smallest mean distance in its own norm."""
    model, x, y, _ = digits
    records = {
        "L0": CWL0().run(model, x, y),
        "L2": CWL2().run(model, x, y),
        "Linf": CWLinf().run(model, x, y),
    }
    for norm in records:
        means = {name: record.distances[norm].mean().item() for name, record in records.items()}
        assert min(means, key=means.get) == norm


@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_the_search_closes_in_on_the_least_constant(factor):
    """On a linear model c = 2 lead / |w|^2 is the least that succeeds: found to 15 % from far below and above, in 10 runs.

    A run that starts at a success must not count as one for that alone, or c could only fall.
    """
    model = linear(2)
    x = torch.full((3, 1, 6, 6), 0.5, dtype=torch.float64) + 0.02 * images(3, (1, 6, 6), dtype=torch.float64)
    logits = model(x).detach()
    y, w = logits.argmax(1), (model.weight[0] - model.weight[1]).detach()
    least = 2 * (logits[:, 0] - logits[:, 1]).abs() / w.square().sum()
    attack = CWL2(
        lr=0.02, steps=100, binary_search_steps=10, initial_const=factor * least[0].item(), slides=0
    )
    torch.testing.assert_close(attack.run(model, x, y).details["c"], least, rtol=0.15, atol=0)


@pytest.mark.parametrize("attack", [CWL2, attacks.EAD], ids=["C&W", "EAD"])
def test_doublings_cost_nothing_where_the_search_succeeds(attack):
    """The same attack without them, on an ordinary model: the same images bit for bit, and as many passes."""
    model, (x, y) = models.load("mnist-cnn"), data.load("mnist-5k").pick(16, seed=3)
    with_them, without = attack().run(model, x, y), attack(doublings=0).run(model, x, y)
    assert torch.equal(with_them.images, without.images)
    assert with_them.forward_passes == without.forward_passes


@pytest.mark.parametrize("targeted", [False, True])
def test_doublings_reach_digits_around_which_the_gradient_is_flat(targeted):
    """An adversarially trained model, and as reference the paper's own long search: 5 constants, 300 steps each.

    Without them the quick default fails on most of these digits, and the model would look robust in L2, which it is not.
    """
    model, (x, y) = models.load("mnist-pat"), data.load("mnist-5k").pick(20, seed=0)
    target = (y + 1) % 10 if targeted else None
    right = model(x).argmax(1) == y
    x, y, target = x[right], y[right], target[right] if targeted else None
    settings = {"lr": 0.05, "steps": 300, "binary_search_steps": 5, "initial_const": 1.0, "slides": 0}
    long = CWL2(**settings, doublings=0, targeted=targeted).run(model, x, y, target)
    ours, without = (CWL2(doublings=n, targeted=targeted).run(model, x, y, target) for n in (6, 0))
    assert without.success_rate < 0.5 and ours.success_rate == 1 and long.success_rate > 0.85
    ours_there, long_there = (run.distances["L2"][long.success].mean() for run in (ours, long))
    assert ours_there < 1.15 * long_there
    assert 4 * ours.forward_passes < long.forward_passes
