"""The detectors' contract: a score, a threshold fixed once on clean images, a flag; and what an adaptive attack sees."""

import math

import numpy as np
import pytest
import torch
from nets import Function, conv, images
from sklearn.metrics import roc_auc_score
from torch import nn

from advcourse.attacks import PGD
from advcourse.core.inputs import InputError
from advcourse.defenses import Detector, Guarded
from advcourse.metrics import auc, threshold_at


class Brightness(Detector):
    """The mean of an image: a detector whose scores are known."""

    def suspicion(self, x):
        return x.flatten(1).mean(1)


def grey(*levels):
    """Images 1 x 2 x 2 of one grey level each."""
    return torch.tensor(levels, dtype=torch.float64).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()


def halves(x):
    """Logits (N, 2): the brightness, and one half."""
    mean = x.flatten(1).mean(1)
    return torch.stack([mean, torch.full_like(mean, 0.5)], 1)


@pytest.mark.parametrize(
    "levels, fpr, flagged",
    [
        ([0.1, 0.2, 0.3, 0.4], 0.25, [False, False, False, True]),
        ([0.1, 0.2, 0.3, 0.4], 0.5, [False, False, True, True]),
        ([0.4, 0.1, 0.4, 0.3], 0.25, [False] * 4),  # the tie at the top would be two flags
        ([0.4, 0.1, 0.4, 0.3], 0.5, [True, False, True, False]),
        ([0.4, 0.1, 0.3, 0.3], 0.5, [True, False, False, False]),  # a tie below the top
        ([0.1, 0.2, 0.3, 0.4], 0.24, [False] * 4),  # N * fpr < 1: the index -0 of MagNet's code
        ([0.3], 0.05, [False]),
    ],
)
def test_the_false_positive_rate_on_the_calibration_images_is_exact(levels, fpr, flagged):
    """Against counting by hand: never above `fpr`, ties together or not at all, and none flagged where N * fpr < 1."""
    x = grey(*levels)
    detector = Brightness(Function(halves)).calibrate(x, fpr)
    assert detector.flag(x).tolist() == flagged and detector.threshold in levels
    assert detector.threshold == threshold_at(detector.score(x), fpr)


@pytest.mark.parametrize("n", [10, 100, 333])
@pytest.mark.parametrize("fpr", [0.01, 0.05, 0.3])
def test_without_ties_as_many_are_flagged_as_may_be(n, fpr):
    """Against floor(n * fpr) of n different scores, in integers."""
    x = torch.rand(n, 1, 2, 2, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    flagged = Brightness(Function(halves)).calibrate(x, fpr).flag(x)
    assert int(flagged.sum()) == n * round(100 * fpr) // 100


def test_the_threshold_stays_and_scores_make_a_roc_curve():
    """Against scikit-learn's area under the curve, and a threshold that other images and other batches do not move."""
    detector = Brightness(Function(halves)).calibrate(grey(0.1, 0.2, 0.3, 0.4), 0.25)
    clean, bright = images(20).mul(0.7), images(30, seed=1).mul(0.8)
    scores = detector.score(clean), detector.score(bright)
    expected = roc_auc_score(np.repeat([0, 1], [20, 30]), np.concatenate(scores))
    assert auc(*scores) == pytest.approx(expected) and 0.5 < expected < 1
    assert torch.equal(detector.score(bright, batch_size=7), scores[1]) and scores[1].dtype == torch.float64
    assert detector.threshold == pytest.approx(0.3) and len(detector.flag(clean[:0])) == 0


def test_a_detector_is_a_model_and_nothing_is_left_behind():
    """Against the model alone, bit for bit under an attack; modes, statistics and the images are as before a score."""
    model, x, y = conv(), images(6), torch.arange(6) % 5
    detector = Brightness(model).train()
    model[3].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    detector.calibrate(x, 0.2).flag(x)
    assert detector.training and model.training and not model[3].training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    attack = PGD(0.1, steps=3)
    assert torch.equal(attack(detector, x, y), attack(model, x, y))


def test_the_threshold_is_saved():
    """Against the detector that was saved, in float64; None is saved as well, and loads as None."""
    detector = Brightness(Function(halves)).calibrate(grey(0.1, 0.2, 0.3, 0.4), 0.25)
    loaded = Brightness(Function(halves))
    empty = {name: value.clone() for name, value in loaded.state_dict().items()}
    loaded.load_state_dict(detector.state_dict())
    assert loaded.threshold == detector.threshold == pytest.approx(0.3)
    loaded.load_state_dict(empty)
    assert loaded.threshold is None


# ---- the network that an adaptive attack sees ----


@pytest.mark.parametrize("weight", [0.5, 1.0, 20.0])
def test_the_last_class_of_a_guarded_model_wins_iff_the_image_is_flagged(weight):
    """Against `flag`, on logits of either sign; the other logits are the model's own."""
    x = images(40, seed=3) * torch.linspace(0.2, 1, 40).view(-1, 1, 1, 1)
    model = conv().eval()
    detector = Brightness(nn.Sequential(model, Function(lambda z: z - 5))).calibrate(x, 0.3)
    logits = Guarded(detector, weight)(x)
    assert torch.equal(logits[:, :-1], model(x) - 5)
    assert torch.equal(logits.argmax(1) == 5, detector.flag(x)) and 0 < detector.flag(x).sum() < 40


def test_a_targeted_attack_on_a_guarded_model_fools_both():
    """Against the closed form: the model says 0 above 1/2, the detector flags above 0.7, so that success lies in between."""
    x = grey(0.3, 0.4, 0.45)
    detector = Brightness(Function(halves)).calibrate(grey(0.1, 0.7), 0.4)
    y, target = torch.ones(3, dtype=torch.int64), torch.zeros(3, dtype=torch.int64)
    naive = PGD(0.5, alpha=0.05, steps=20, keep="last", targeted=True)(detector, x, y, target)
    aware = PGD(0.5, alpha=0.05, steps=20, targeted=True)(Guarded(detector), x, y, target)
    assert detector.flag(naive).all() and not detector.flag(aware).any()
    assert (detector(aware).argmax(1) == 0).all() and (aware.mean((1, 2, 3)) > 0.5).all()


# ---- bad input ----


@pytest.mark.parametrize("fpr", [0, 1, 0.0, 1.0, -0.1, 1.5, math.nan, "0.05", None, True])
def test_a_false_positive_rate_must_lie_between_0_and_1(fpr):
    """Against each rate that makes no detector; the error names the argument and the value."""
    with pytest.raises(
        InputError,
        match=f"fpr: got {fpr!r}; allowed is a number > 0|fpr: got {fpr!r}; allowed is a number >= 0",
    ):
        Brightness(conv()).calibrate(images(4), fpr)


def test_what_is_missing_is_named():
    """Against one mistake at a time; the error says what was given and what is allowed."""
    detector, x = Brightness(conv()), images(4)
    with pytest.raises(InputError, match=r"threshold: got None.*allowed is a threshold fixed by calibrate"):
        detector.flag(x)
    with pytest.raises(InputError, match="threshold: got None"):
        Guarded(detector)
    with pytest.raises(InputError, match="detector: got Sequential; allowed is a Detector"):
        Guarded(conv())
    with pytest.raises(InputError, match="weight: got 0"):
        Guarded(detector.calibrate(x), 0)
    with pytest.raises(InputError, match="x_clean: got none; allowed is at least one"):
        detector.calibrate(x[:0])
    with pytest.raises(InputError, match=r"x_clean: got values in .*allowed is \[0, 1\]"):
        detector.calibrate(x * 2)
    with pytest.raises(InputError, match="model: got str; allowed is a torch.nn.Module"):
        Brightness("mnist-cnn")
    with pytest.raises(InputError, match="batch_size: got 0"):
        detector.score(x, batch_size=0)


def test_scores_that_are_no_numbers_are_errors():
    """Against a detector that answers NaN, which would never be flagged."""

    class Nothing(Detector):
        def suspicion(self, x):
            return x.flatten(1).mean(1) * math.nan

    with pytest.raises(InputError, match="NaN or infinite; allowed are finite scores"):
        Nothing(conv()).score(images(2))
