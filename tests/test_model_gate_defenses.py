"""The gate to a model, from within: every training objective, every detector and every defense around a model says what is wrong
with the model in the gate's own sentence, where torch would say that a tuple has no `softmax`.

The tests run over all objectives, detectors and defenses that the package hands on, and check against sentences written by hand.
"""

import inspect

import pytest
import torch
from nets import Function
from objectives import OBJECTIVES, is_objective
from tiny import blobs, network, quiet
from torch import nn

from advcourse import defenses
from advcourse.attacks import EOT, FGSM, Transfer
from advcourse.core import inputs
from advcourse.core.inputs import InputError
from advcourse.defenses.detection import Detector
from advcourse.defenses.magnet import Denoising, Divergence, ReconstructionError
from advcourse.defenses.squeezing import EveryView
from advcourse.models import PixelCNN
from advcourse.models.pixelcnn import bits_per_pixel
from advcourse.training import cross_entropy

X, Y = blobs(24)
CHANGES = {
    "tuple": (lambda z: (z, None), r"returned a tuple of Tensor, NoneType; .* returns self\.net\(x\)\[0\]"),
    "dictionary": (lambda z: {"logits": z}, r"returned a dict of Tensor; .* self\.net\(x\)\['logits'\]"),
    "labels": (lambda z: z.argmax(1), r"returned a tensor of shape \(\d+,\)"),
    "one-hot labels": (lambda z: z.argmax(1)[:, None] == torch.arange(3), r"returned .*torch\.bool"),
}
KINDS = pytest.mark.parametrize("kind", CHANGES)


def broken(kind, net=None):
    """A network whose last layer gives another kind of answer, and the sentence about it."""
    change, message = CHANGES[kind]
    return nn.Sequential(*(net or network()), Function(change)), rf"^model: {message}"


def codes_network(levels=4):
    """What `network` is, on the codes of a thermometer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(16 * levels, 8), nn.ReLU(), nn.Linear(8, 3))


# Training

ALL = OBJECTIVES | {
    "cross_entropy": lambda: cross_entropy,
    "teacher_objective": lambda: defenses.teacher_objective(2.0),
    "LSPGA": lambda: defenses.LSPGA(eps=0.2, steps=2),
}


def learning(name, kind):
    """The broken model that the objective `name` can learn with, its sentence, and the objective, told how far training is."""
    model, message = broken(kind, codes_network() if name == "LSPGA" else None)
    objective = ALL[name]()
    if getattr(objective, "ramp", 0):
        objective.following()(0.5)
    return defenses.Thermometer(model, 4) if name == "LSPGA" else model, message, objective


def test_all_objectives_and_detectors_are_tried():
    """Against what the package hands on: a new one has to stand in the tables."""
    handed_on = {name: getattr(defenses, name) for name in defenses.__all__}
    assert {name for name, one in handed_on.items() if is_objective(one)} <= {*ALL}
    modules = {name for name, one in handed_on.items() if inspect.isclass(one) and issubclass(one, nn.Module)}
    assert modules - {"Detector"} <= {*AROUND} | {*DETECTORS}
    detectors = {one.__name__ for one in Detector.__subclasses__() if one.__module__.startswith("advcourse.")}
    assert detectors <= {*DETECTORS}


@KINDS
@pytest.mark.parametrize("name", ALL)
def test_every_objective_names_what_the_model_does_wrong(name, kind):
    """The sentences, by hand: of the loss itself, and of `fit`, which puts the model's mode back."""
    model, message, objective = learning(name, kind)
    with pytest.raises(InputError, match=message):
        objective(model, X, Y)
    model, message, objective = learning(name, kind)
    with pytest.raises(InputError, match=message):
        quiet(model.eval(), (X, Y), objective, epochs=1, batch_size=8)
    assert not any(part.training for part in model.modules())


@pytest.mark.parametrize("name", [name for name in ALL if name != "LSPGA"])
def test_every_objective_names_images_of_another_type(name):
    """Both types; `fit` calls the images by the name that its caller knows, "data images"."""
    objective = learning(name, "tuple")[2]
    with pytest.raises(InputError, match=r"^x: got torch\.float64 images, .*weights are torch\.float32"):
        objective(network(), X.double(), Y)
    with pytest.raises(InputError, match=r"^data images: got torch\.float64 images"):
        quiet(network(), (X.double(), Y), learning(name, "tuple")[2], epochs=1, batch_size=8)


@pytest.mark.parametrize("value", [(lambda x: (x, None)), lambda x: x.flatten(1)], ids=["tuple", "flat"])
def test_an_autoencoder_is_asked_for_images(value):
    """In training, as a part of MagNet, and in front of the classifier: by hand, the shape that is allowed."""
    autoencoder = nn.Sequential(nn.Conv2d(1, 1, 1), Function(value))
    message = r"^autoencoder: returned (tuple|\(\d+, 16\)); allowed are images of shape \(\d+, 1, 4, 4\)"
    with pytest.raises(InputError, match=message):
        quiet(autoencoder, (X, Y), Denoising(), epochs=1)
    for magnet in (
        defenses.MagNet(network(), [autoencoder]),
        defenses.MagNet(network(), [nn.Identity()], [Divergence(autoencoder)]),
    ):
        with pytest.raises(InputError, match=message):
            magnet.calibrate(X)
    with pytest.raises(InputError, match=message):
        inputs.predict(defenses.MagNetReformer(network(), autoencoder), X)


def test_bits_per_pixel_need_a_pixelcnn():
    """By hand."""
    with pytest.raises(InputError, match=r"^model: got Sequential; allowed is a PixelCNN"):
        bits_per_pixel(network(), X, Y)


# Detectors, and defenses around a model

DETECTORS = {
    "FeatureSqueezing": lambda model: defenses.FeatureSqueezing(model).calibrate(X),
    "LIDDetector": lambda model: defenses.LIDDetector(model, k=3, batch=8, layers=["1"]).fit(X, 0.9 * X),
    "MagNet": lambda model: defenses.MagNet(
        model, [nn.Identity()], [ReconstructionError(nn.Identity()), Divergence(nn.Identity())]
    ).calibrate(X),
    "PixelDetector": lambda model: defenses.PixelDetector(
        model, PixelCNN(4, 2, 2)
    ),  # its score asks no model
}
AROUND = {
    "AtTemperature": defenses.AtTemperature,
    "EOT": lambda model: EOT(model, 2),
    "EnsembleInputTransformation": lambda model: defenses.EnsembleInputTransformation(
        model, [defenses.BitDepthReduction()]
    ),
    "EveryView": lambda model: EveryView(defenses.FeatureSqueezing(model)),
    "GaussianNoise": lambda model: defenses.GaussianNoise(model, 0.1),
    "Guarded": lambda model: defenses.Guarded(calibrated(model)),
    "MagNetReformer": lambda model: defenses.MagNetReformer(model, nn.Identity()),
    "PixelDefend": lambda model: defenses.PixelDefend(model, PixelCNN(4, 2, 2)),
    "RandomTransformation": lambda model: defenses.RandomTransformation(model, 4, 5, 5),
    "RegionClassifier": lambda model: defenses.RegionClassifier(model, 0.1, 5),
    "Smoothed": lambda model: defenses.Smoothed(model, 0.1, 5),
    "Thermometer": lambda model: defenses.Thermometer(nn.Sequential(nn.AvgPool3d((4, 1, 1)), *model), 4),
    "UniformNoise": lambda model: defenses.UniformNoise(model, 0.1),
}


def calibrated(model):
    """A detector whose threshold is known, without asking the model."""
    detector = defenses.FeatureSqueezing(model)
    detector.threshold = 0.5
    return detector


@KINDS
@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_names_what_the_model_does_wrong(name, kind):
    """The sentences, by hand: where it is fitted or calibrated, or asked for logits."""
    model, message = broken(kind)
    with pytest.raises(InputError, match=message):
        inputs.predict(DETECTORS[name](model), X)


@KINDS
@pytest.mark.parametrize("name", AROUND)
def test_every_defense_around_a_model_names_what_it_does_wrong(name, kind):
    """The sentences, by hand."""
    model, message = broken(kind)
    with pytest.raises(InputError, match=message):
        inputs.predict(AROUND[name](model), X)


@pytest.mark.parametrize("name", ["EOT", "EnsembleInputTransformation", "RegionClassifier", "AtTemperature"])
def test_images_of_inference_mode_are_taken(name):
    """Against the answer outside of it: such tensors don't count how often they are changed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        expected = AROUND[name](network().eval())(X)
        torch.manual_seed(0)
        with torch.inference_mode():
            torch.testing.assert_close(AROUND[name](network().eval())(X.clone()), expected)


# Other models than the one that is asked about


@KINDS
@pytest.mark.parametrize("name", ["teacher", r"static\[0\]", "source"])
def test_a_fault_of_another_model_is_not_called_the_models(name, kind):
    """Checks the first word of the sentence: the teacher, the static network or the source of a `Transfer` is broken here."""
    net, message = broken(kind)
    run = {
        "teacher": lambda: defenses.DefensiveDistillation(net, 2.0)(network(), X, Y),
        r"static\[0\]": lambda: [defenses.EAT((net,), 0.1)(network(), X, Y) for _ in range(9)],
        "source": lambda: Transfer(FGSM(0.1), net).run(network(), X, Y),
    }[name]
    with pytest.raises(InputError, match=message.replace("^model", f"^{name}")):
        run()
