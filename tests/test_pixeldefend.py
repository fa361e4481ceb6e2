"""PixelDefend: purifying against its definition, the detector against its own, and both against what breaks them.

Bars of digits have slack over what was measured with three seeds, which stands beside them.
"""

import io
from itertools import product

import pytest
import torch
from digits import X, Y, left_by, right
from nets import images, linear
from torch import nn

from advcourse import data, models
from advcourse.attacks import BPDA, FGSM, PGD
from advcourse.core.inputs import InputError
from advcourse.defenses import PixelDefend, PixelDetector
from advcourse.models import PixelCNN

SIZE = (1, 5, 6)


def small(levels=5, seed=0, spread=5.0):
    """An untrained network whose distributions are far from uniform, and differ from pixel to pixel."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = PixelCNN(levels, 4, 3).double()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.mul_(spread)
    return net


def defense(**settings):
    return PixelDefend(linear(3, SIZE), small(), **settings)


# ---- purifying ----


def purified_by_definition(net, x, eps):
    """Song et al. 2018, algorithm 1, a whole pass through the network for each pixel of each image."""
    new = torch.zeros_like(x)
    grey = [level / (net.levels - 1) for level in range(net.levels)]
    for n, row, column in product(range(len(x)), range(x.shape[2]), range(x.shape[3])):
        value = x[n, 0, row, column].item()
        log_p = net(new[n : n + 1])[0, :, row, column]
        nearest = min(range(net.levels), key=lambda k: abs(grey[k] - value))
        allowed = [k for k in range(net.levels) if abs(grey[k] - value) <= eps] or [nearest]
        new[n, 0, row, column] = grey[max(allowed, key=lambda k: log_p[k].item())]
    return new


@pytest.mark.parametrize("eps", [0, 0.1, 0.3, 1])
def test_purifying_is_the_papers_algorithm(eps):
    """Against the algorithm written out: none of its pixels may differ, at any reach."""
    x = images(3, SIZE).double()
    made = defense(eps=eps).purify(x)
    torch.testing.assert_close(made, purified_by_definition(small(), x, eps), rtol=0, atol=1e-15)
    assert (made - x).abs().max() <= max(eps, 1 / 8) + 1e-12


def test_each_pixel_follows_the_new_ones_before_it():
    """Against choosing by the old pixels, in one pass, which gives other images: the loop is one, and not a filter."""
    net, x = small(), images(20, SIZE).double()
    made, grey = defense(eps=0.3).purify(x), torch.arange(5) / 4
    far = (x - grey.view(1, 5, 1, 1)).abs() > 0.3
    at_once = grey[net(x).masked_fill(far, -torch.inf).argmax(1)][:, None].double()
    assert made[:, :, 0, 0].equal(at_once[:, :, 0, 0])
    assert not made.equal(at_once)


def test_purified_images_are_levels_and_likelier():
    """Against the definition of the levels, and the aim: at a reach of 1 all images become one, the network's own."""
    x = images(4, SIZE).double()
    made = defense(eps=1).purify(x)
    assert set(made.unique().tolist()) <= {0, 0.25, 0.5, 0.75, 1}
    assert made.equal(made[:1].expand_as(made))
    net = small()
    assert (net.log_prob(made) > net.log_prob(x)).all()


def test_the_adaptive_defense_leaves_likely_images_as_they_are():
    """Against the definition: those of a log-probability above the threshold bit for bit, the others purified."""
    x = images(6, SIZE).double()
    log_p = small().log_prob(x)
    threshold = log_p.sort().values[2:4].mean().item()
    made, all_made = defense(threshold=threshold).purify(x), defense().purify(x)
    likely = log_p > threshold
    assert likely.sum() == 3
    assert made[likely].equal(x[likely]) and made[~likely].equal(all_made[~likely])
    assert not all_made[likely].equal(x[likely])


def test_the_model_sees_the_purified_image_and_no_gradient_leaves_it():
    """Against the composition, and 0, the gradient of a step function; an empty batch stays one."""
    whole, x = defense(), images(2, SIZE).double().requires_grad_()
    logits = whole(x)
    assert logits.equal(whole.model(whole.purify(x)))
    (gradient,) = torch.autograd.grad(logits.sum(), x)
    assert gradient.equal(torch.zeros_like(x))
    assert whole(x.detach()[:0]).shape == (0, 3)


# ---- the detector ----


def test_the_score_is_bits_per_pixel_and_the_p_value_its_rank():
    """Against the paper's permutation test, counted by hand, ties among clean images included."""
    net, clean, x = small(), images(9, SIZE).double(), images(5, SIZE, seed=1).double()
    clean = torch.cat((clean, clean[:1]))
    detector = PixelDetector(linear(3, SIZE), net).calibrate(clean, fpr=0.2)
    assert detector.score(x).equal(net.bits(x).detach())
    p_clean, p_x = net.log_prob(clean).tolist(), net.log_prob(x).tolist()
    expected = [(1 + sum(one <= mine for one in p_clean)) / 11 for mine in p_x]
    assert detector.p_value(x).tolist() == expected
    assert detector.p_value(clean[:1]).item() == (1 + sum(one <= p_clean[0] for one in p_clean)) / 11
    assert detector.flag(clean).sum() <= 2


def test_a_calibrated_detector_can_be_saved_and_loaded():
    """Against the detector that was saved, bit for bit: scores, flags and p-values of a new one, and of one of other images."""
    clean, x, file = images(9, SIZE).double(), images(5, SIZE, seed=1).double(), io.BytesIO()
    detector = PixelDetector(linear(3, SIZE), small()).calibrate(clean, 0.2)
    torch.save(detector.state_dict(), file)
    new, other = (PixelDetector(linear(3, SIZE, seed=2), small(seed=1)) for _ in range(2))
    before = {name: tensor.clone() for name, tensor in new.state_dict().items()}
    for loaded in (new, other.calibrate(images(4, SIZE, seed=3).double())):
        file.seek(0)
        loaded.load_state_dict(torch.load(file, weights_only=True))
        for told in ("score", "flag", "p_value"):
            assert torch.equal(getattr(loaded, told)(x), getattr(detector, told)(x))
    new.load_state_dict(before)
    with pytest.raises(InputError, match="threshold: got None"):
        new.p_value(x)
    old = {name: tensor for name, tensor in detector.state_dict().items() if name != "_clean"}
    new.load_state_dict(old)
    assert torch.equal(new.flag(x), detector.flag(x))
    with pytest.raises(
        InputError, match="saved without the clean images' scores; allowed is one after calibrate"
    ):
        new.p_value(x)


# ---- digits ----

MODEL, PIXELCNN = models.load("mnist-small"), models.load("mnist-pixelcnn")


def through_identity(whole):
    """Purified images before the model, with the identity's gradient."""
    return nn.Sequential(BPDA(whole.purify), whole.model)


def test_pgd_is_stopped_and_bpda_gets_through_beyond_the_reach():
    """Against Song et al. 2018, who stop attacks on the model, and Athalye et al. 2018, whose BPDA leaves 9 %.

    28 digits clean, 20 of 0 under FGSM on the model, 28 under PGD on the defense; at 0.4, BPDA leaves 0 with each of three seeds.
    """
    whole = PixelDefend(MODEL, PIXELCNN)
    assert right(whole, X) >= 27
    assert left_by(FGSM(0.3), MODEL, MODEL) <= 2 and left_by(FGSM(0.3), MODEL, whole) >= 15
    assert left_by(PGD(0.3, 0.15, 3), whole, whole) >= 25
    assert left_by(PGD(0.4, 0.1, 6), through_identity(whole), whole) <= 2


def test_the_reach_decides_what_bpda_leaves():
    """Against what a pixel can be put back to: at 0.3 a reach of 0.15 leaves 0 to 1 digit, one of 0.3 about half of 30."""
    attack = PGD(0.3, 0.1, 6)
    near, far = (PixelDefend(MODEL, PIXELCNN, eps=eps) for eps in (0.15, 0.3))
    assert left_by(attack, through_identity(near), near) <= 4
    assert 10 <= left_by(attack, through_identity(far), far) <= 24


def test_the_detector_sees_attacks_that_do_not_know_of_it():
    """Against the paper's section 3: all 30 digits under PGD are flagged, 2 clean ones, at a rate of 5 % on training digits."""
    detector = PixelDetector(MODEL, PIXELCNN).calibrate(data.load("mnist-5k", "train").pick(100)[0])
    attacked = PGD(0.3, 0.1, 6)(MODEL, X, Y)
    assert detector.flag(X).sum() <= 5 and detector.flag(attacked).all()
    assert (detector.p_value(attacked) == 1 / 101).all() and detector.p_value(X).median() > 0.2


@pytest.mark.parametrize(
    ("make", "settings", "complaint"),
    [
        (PixelDefend, {"eps": 1.5}, r"eps: got 1.5; allowed is a number >= 0 and <= 1"),
        (PixelDefend, {"threshold": "high"}, r"threshold: got 'high'; allowed is a number"),
        (PixelDefend, {"pixelcnn": nn.Identity()}, r"pixelcnn: got Identity; allowed is a PixelCNN"),
        (PixelDetector, {"pixelcnn": None}, r"pixelcnn: got NoneType; allowed is a PixelCNN"),
        (PixelDetector, {"model": "net"}, r"model: got str; allowed is a torch.nn.Module"),
    ],
)
def test_a_bad_argument_is_named(make, settings, complaint):
    """Against the limits that the documentation names."""
    with pytest.raises(InputError, match=complaint):
        make(**{"model": MODEL, "pixelcnn": PIXELCNN} | settings)


def test_coloured_images_are_refused():
    """Against the documented limit: one channel."""
    with pytest.raises(InputError, match="x: got images of 3 channels; allowed are grey images"):
        defense().purify(images(2, (3, 5, 6)).double())
