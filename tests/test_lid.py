"""LID: the estimate on data of a known dimension, the features by hand, what the detector sees, and what gets past it."""

import io
import math

import numpy as np
import pytest
import torch
from nets import conv, images
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from torch import nn

from advcourse import data, models
from advcourse.attacks import CWL2, FGSM, PGD, DeepFool
from advcourse.core.inputs import InputError, predict
from advcourse.defenses import Guarded, LIDDetector
from advcourse.defenses.lid import _distances, local_intrinsic_dimensionality
from advcourse.metrics import attacker_win_rate, auc

# ---- the estimate ----


@pytest.mark.parametrize("d", [1, 3, 10])
@pytest.mark.parametrize("k", [10, 20])
def test_the_estimate_is_the_dimension_of_a_ball(d, k):
    """Against the law of the estimate for points uniform in a d-ball: mean d k / (k - 2), deviation that over sqrt(k - 3)."""
    n = 4000
    radii = torch.rand(n, 100, generator=torch.Generator().manual_seed(d), dtype=torch.float64) ** (1 / d)
    found = local_intrinsic_dimensionality(radii, k)
    mean = d * k / (k - 2)
    assert abs(found.mean() - mean) < 4 * mean / math.sqrt((k - 3) * n)
    assert found.std().item() == pytest.approx(mean / math.sqrt(k - 3), rel=0.1)


def test_the_estimate_of_points_in_a_ball_embedded_in_more_dimensions():
    """Against its own dimension 4: points of a 4-ball, turned into 50 dimensions, with distances from scikit-learn."""
    draw = np.random.default_rng(0)
    directions = draw.standard_normal((20_000, 4))
    ball = (
        directions / np.linalg.norm(directions, axis=1, keepdims=True) * draw.random((20_000, 1)) ** (1 / 4)
    )
    points = ball @ np.linalg.qr(draw.standard_normal((50, 4)))[0].T
    inner = points[np.linalg.norm(points, axis=1) < 0.5]
    distances, _ = NearestNeighbors(n_neighbors=21).fit(points).kneighbors(inner)
    found = local_intrinsic_dimensionality(torch.from_numpy(distances[:, 1:]), 20)
    mean = 4 * 20 / 18
    assert len(inner) > 1000 and abs(found.mean() - mean) < 0.1


def test_the_estimate_by_hand():
    """By hand: distances 1, 2, 4 have logarithms of -2 ln 2, -ln 2 and 0 to the third, so that LID = 1 / ln 2; order is free."""
    distances = torch.tensor([[4.0, 1.0, 9.0, 2.0], [0.4, 7.0, 0.1, 0.2]], dtype=torch.float64)
    assert local_intrinsic_dimensionality(distances, 3).tolist() == pytest.approx([1 / math.log(2)] * 2)


def test_copies_and_equal_distances_stay_finite():
    """By hand: a distance of 0 counts as 1e-12 of the k-th, and equally far neighbours give the largest estimate, 1e6."""
    distances = torch.tensor([[0.0, 1, 1], [1, 1, 1], [0, 0, 0]], dtype=torch.float64)
    found = local_intrinsic_dimensionality(distances, 3).tolist()
    assert found == pytest.approx([3 / (12 * math.log(10)), 1e6, 1 / (12 * math.log(10))])


# ---- the features ----


def parts(n=24, seed=0):
    """A detector of few neighbours on an untrained net, with clean images, adversarial and noisy ones."""
    x = images(n, seed=seed)
    noisy = (x + 0.02 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    x_adv = FGSM(0.1)(conv().eval(), x, torch.arange(n) % 5)
    return LIDDetector(conv(), k=4, batch=12), x, x_adv, noisy


def lids_by_hand(model, x, reference, k):
    """The features by scikit-learn's neighbours and numpy, layer by layer through the sequence of modules."""
    lids, model = [], model.eval()
    with torch.no_grad():
        for module in model:
            x, reference = module(x), module(reference)
            rows, others = (part.flatten(1).double().numpy() for part in (x, reference))
            distances, _ = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(others).kneighbors(rows)
            lids.append(-1 / np.log(distances / distances[:, -1:]).mean(1))
    return np.stack(lids, 1)


def test_the_features_are_those_of_every_layer_among_the_clean_reference():
    """Against scikit-learn's nearest neighbours, in every layer; new images have no partner, and no neighbour is dropped."""
    detector, x, x_adv, noisy = parts()
    detector.fit(x, x_adv, noisy).eval()
    new = images(7, seed=5)
    assert detector.reference.shape == (11, 1, 8, 8)
    expected = lids_by_hand(conv(), new, detector.reference, 4)
    assert detector.features(new).detach().numpy() == pytest.approx(expected, rel=1e-4)
    assert len(detector.layers) == 6 and detector.features(new).shape == (7, 6)


def test_the_nearest_neighbour_trap():
    """Against an attack that changes nothing: its features are those of the clean images, so it can't be told from them.

    Were the partner left out of the clean set alone, the adversarial one would have a neighbour at distance 0.
    """
    detector, x, _, _ = parts()
    seen = {name: detector._features_among(other, x) for name, other in (("clean", x), ("same", x.clone()))}
    assert torch.equal(seen["clean"], seen["same"])
    near = detector._features_among((x + 1e-4).clamp(0, 1), x)
    assert (near / seen["clean"]).log().abs().max() < 0.05
    detector.fit(x, x.clone(), x.clone())
    assert detector.weight.abs().max() < 1e-3 and auc(detector.score(x), detector.score(x)) == 0.5


def test_the_regression_is_that_of_scikit_learn():
    """Against its `decision_function` on features scaled by hand, adversarial images being the positives."""
    detector, x, x_adv, noisy = parts(12)
    detector.fit(x, x_adv, noisy)
    sets = torch.cat([detector._features_among(other, x) for other in (x, noisy, x_adv)]).numpy()
    low, high = sets.min(0), sets.max(0)
    regression = LogisticRegression().fit((sets - low) / (high - low), np.repeat([0, 1], [24, 12]))
    new = images(9, seed=7)
    scaled = (detector.eval().features(new).detach().numpy() - low) / (high - low)
    assert detector.score(new).numpy() == pytest.approx(regression.decision_function(scaled), abs=1e-3)


def test_the_noise_has_the_size_of_the_attack():
    """Against the same noise handed in: normal, with the attack's mean L2 as its length, drawn from the detector's own seed."""
    x = 0.4 + 0.2 * images(24)
    x_adv = x + 0.05  # an L2 of 0.05 * 8 for each image of 8 x 8
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    noisy = x + 0.4 * noise / noise.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    drawn, given = (
        LIDDetector(conv(), k=4, batch=24) for _ in range(2)
    )  # one batch, whose order is of no weight
    drawn.fit(x, x_adv)
    given.fit(x, x_adv, noisy)
    assert noisy.min() > 0 and noisy.max() < 1
    assert torch.allclose(drawn.weight, given.weight, atol=1e-3) and drawn.weight.abs().max() > 0.1


def test_hooks_are_gone_and_an_in_place_layer_changes_nothing():
    """Against the registries of hooks, after a pass and after an error; and against the same net without writing in place."""
    detector, x, x_adv, noisy = parts()
    detector.fit(x, x_adv, noisy).eval().score(x)
    with pytest.raises(RuntimeError):
        detector.model(x[:, :, :5])
    with pytest.raises(InputError, match="got images of shape"):
        detector._outputs(x[:, :, :5])
    assert not any(module._forward_hooks for module in detector.model.modules())
    writing = conv()
    writing[2] = nn.ReLU(inplace=True)
    other = LIDDetector(writing, k=4, batch=12).fit(x, x_adv, noisy)
    assert torch.equal(other.score(images(5, seed=9)), detector.score(images(5, seed=9)))


def test_fitting_repeats_and_leaves_the_random_state():
    """Against a second fit, bit for bit, and torch's generator; a new fit takes the old threshold away."""
    detector, x, x_adv, _ = parts()
    state = torch.get_rng_state()
    detector.fit(x, x_adv).calibrate(images(20, seed=3), 0.1)
    assert torch.equal(torch.get_rng_state(), state) and detector.threshold is not None
    weight = detector.weight.clone()
    assert torch.equal(detector.fit(x, x_adv).weight, weight) and detector.threshold is None


def test_distances_and_their_gradients_are_those_of_torch():
    """Against `torch.cdist` in float64, values and gradients; a copy is nearly at 0, with a finite gradient."""
    rows, others = (images(n, seed=n).flatten(1).double() for n in (5, 30))
    found, expected = rows.clone().requires_grad_(), rows.clone().requires_grad_()
    ours, theirs = (
        _distances(found, others),
        torch.cdist(expected, others, compute_mode="donot_use_mm_for_euclid_dist"),
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=0)
    for distances in (ours, theirs):
        distances.log().sum().backward()
    torch.testing.assert_close(found.grad, expected.grad, rtol=1e-7, atol=1e-9)
    copy = rows.clone().requires_grad_()
    distances = _distances(copy, rows)
    distances.sum().backward()
    assert distances.diagonal().max() < 1e-6 and torch.isfinite(copy.grad).all()


def test_a_fitted_detector_can_be_saved_and_loaded():
    """Against the detector that was saved, bit for bit: scores, threshold and flags of a new one, and of one fitted otherwise."""
    detector, x, x_adv, noisy = parts()
    file, new = io.BytesIO(), images(20, seed=3)
    detector.fit(x, x_adv, noisy).calibrate(new, 0.2)
    torch.save(detector.state_dict(), file)
    unfitted, other = (LIDDetector(conv(), k=4, batch=size) for size in (12, 24))
    for loaded in (unfitted, other.fit(x, x_adv, noisy)):
        file.seek(0)
        loaded.load_state_dict(torch.load(file, weights_only=True))
        assert torch.equal(loaded.score(new), detector.score(new)) and loaded.threshold == detector.threshold
        assert torch.equal(loaded.flag(new), detector.flag(new)) and loaded.flag(new).sum() == 4


def test_a_state_that_does_not_fit_is_refused():
    """Against other layers, another k, another architecture, and a state from before fitting, which undoes a fit."""
    detector, x, x_adv, noisy = parts()
    unfitted = detector.state_dict()
    fitted = detector.fit(x, x_adv, noisy).state_dict()
    with pytest.raises(
        InputError, match="state_dict: got a detector fitted on 6 layers; allowed is one fitted on the 2"
    ):
        LIDDetector(conv(), k=4, batch=12, layers=["0", "2"]).load_state_dict(fitted)
    with pytest.raises(InputError, match="state_dict: got a detector with k = 4; allowed is one with k = 5"):
        LIDDetector(conv(), k=5, batch=12).load_state_dict(fitted)
    with pytest.raises(RuntimeError, match="size mismatch|Missing key"):
        LIDDetector(models.load("mnist-cnn"), k=4, batch=12, layers=["0"] * 6).load_state_dict(fitted)
    detector.load_state_dict(unfitted)
    with pytest.raises(InputError, match="LIDDetector that was not fitted"):
        detector.score(x)


# ---- bad input ----


def test_bad_input_is_named():
    """Against one mistake at a time; the error names the argument and what is allowed."""
    detector, x, x_adv, noisy = parts()
    for question in (detector.score, detector.flag, detector.calibrate, detector.features):
        with pytest.raises(InputError, match=r"LIDDetector that was not fitted; allowed is one after fit"):
            question(x)
    with pytest.raises(InputError, match="adversarial: got none.*needs both classes"):
        detector.fit(x, x_adv[:0])
    with pytest.raises(InputError, match="clean: got none.*needs both classes"):
        detector.fit(x[:0], x_adv)
    with pytest.raises(InputError, match=r"adversarial: got shape \(23, 1, 8, 8\); allowed is that of clean"):
        detector.fit(x, x_adv[1:])
    with pytest.raises(InputError, match=r"noisy: got shape \(1, 1, 8, 8\)"):
        detector.fit(x, x_adv, noisy[:1])
    with pytest.raises(InputError, match="clean: got 11 images; allowed is a mini-batch of 12"):
        detector.fit(x[:11], x_adv[:11])
    with pytest.raises(InputError, match=r"layers: got \['9'\]; allowed are some of"):
        LIDDetector(conv(), layers=["0", "9"])
    with pytest.raises(InputError, match="batch: got 20; allowed is an integer >= 21"):
        LIDDetector(conv(), batch=20)
    with pytest.raises(InputError, match="k: got 1"):
        LIDDetector(conv(), k=1)
    with pytest.raises(InputError, match="k: got 5; allowed is an integer >= 2 and <= 4"):
        local_intrinsic_dimensionality(torch.rand(3, 4), 5)
    with pytest.raises(InputError, match="distances: got no floating-point tensor"):
        local_intrinsic_dimensionality(torch.arange(4), 2)


# ---- what it sees, and what gets past it ----


@pytest.fixture(scope="module")
def fitted():
    """Fitted on DeepFool against 200 digits, calibrated on 200 at a false positive rate of 5 %; and 40 others, labelled."""
    model, (x, y) = models.load("mnist-cnn"), data.load("mnist-5k").pick(440)
    train = x[240:], y[240:]
    detector = LIDDetector(model).fit(train[0], DeepFool()(model, *train))
    return detector.calibrate(x[40:240], 0.05), detector.score(x[40:240]), x[:40], y[:40]


def outcome(fitted, x_adv):
    """The area under the ROC curve, and the attacker's win rate at the threshold."""
    detector, clean, _, y = fitted
    scores, fooled = detector.score(x_adv), predict(detector, x_adv).argmax(1) != y
    return auc(clean, scores), attacker_win_rate(scores, fooled, detector.threshold)


def test_it_sees_attacks_that_stop_at_the_boundary(fitted):
    """Against chance, an area of 1/2: of DeepFool, which it was fitted on, and of C&W, which it was not (0.79 to 0.84)."""
    _, _, x, y = fitted
    for attack in (DeepFool(), CWL2()):
        assert outcome(fitted, attack(fitted[0], x, y))[0] >= 0.7


def test_confident_images_look_clean(fitted):
    """Against Athalye et al. 2018, who do not stop at the boundary: chance is left (0.55, 0.51, 0.51 on 3 seeds)."""
    detector, _, x, y = fitted
    area, wins = outcome(fitted, CWL2(confidence=20.0)(detector, x, y))
    assert area <= 0.65 and wins >= 0.75


def test_an_attack_on_the_score_breaks_it(fitted):
    """Against a PGD of the same L2 budget that does not know of it: on 3 seeds 97, 93, 97 % win, not 82, 65, 88."""
    detector, _, x, y = fitted
    target = predict(detector, x).scatter(1, y[:, None], -torch.inf).argmax(1)
    unaware = PGD(2.5, steps=15, norm="L2")(detector, x, y)
    aware = PGD(2.5, steps=15, norm="L2", targeted=True)(Guarded(detector), x, y, target)
    (area, wins), (unaware_area, unaware_wins) = (outcome(fitted, one) for one in (aware, unaware))
    assert wins >= 0.85 and wins > unaware_wins
    assert area <= 0.6 and area < unaware_area
