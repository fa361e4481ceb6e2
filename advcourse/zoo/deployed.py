"""The defended digit models: each defense of Table 2 as it is deployed, and the attacks that were made for it.

    defense = zoo.load("RT")                            # a module: images (N, 1, 28, 28) in [0, 1] to logits
    attack = zoo.DEFENSES["RT"].adaptive["EOT"]         # crafted on what an attacker would make of it
    attack.run(defense, x, y).success_rate

All stand on one architecture and one training set, so that they can be compared with each other and with "none".
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import nn

from advcourse import data, models
from advcourse.attacks import BPDA, CWL2, EOT, PGD, Attack, EachTarget, OptMargin, Transfer
from advcourse.core.inputs import check_choice, predict, resolve_device
from advcourse.defenses import (
    CropRescale,
    Detector,
    EnsembleInputTransformation,
    FeatureSqueezing,
    Guarded,
    LIDDetector,
    MagNet,
    PixelDefend,
    RandomTransformation,
    RegionClassifier,
    Thermometer,
)

EPS = 0.3  # in L-infinity: the budget at which the defenses are compared, that of the literature on MNIST
FPR = 0.05  # of the detectors, on training digits that they were not fitted on
RADIUS = 0.3  # of the region classifier: the paper's for MNIST


def itself(model: nn.Module) -> nn.Module:
    """The module, as it is."""
    return model


@dataclass(frozen=True)
class DeployedDefense:
    """A defense as it is deployed on digits.

    title: in words. family: of the survey's Table 2. identifier: the survey's id, None where the survey has it not. build: makes
    the deployed module. seen: what an attacker who knows of no defense differentiates (default: the deployed module). adaptive:
    attacks made for it, by name, L-infinity ones within `EPS`. network: the name of the shipped model, if the defense is a
    network and nothing around it, what training made (default None).
    """

    title: str
    family: str
    identifier: str | None
    build: Callable[[], nn.Module]
    seen: Callable[[nn.Module], nn.Module] = itself
    adaptive: dict[str, Attack] = field(default_factory=dict)
    network: str | None = None

    @property
    def is_network(self) -> bool:
        """True if the defense is a network and nothing around it."""
        return self.network is not None


def names() -> tuple[str, ...]:
    """The defenses, "none" first, in the order of the survey's Table 2; then those that the survey has not."""
    return tuple(DEFENSES)


def load(name: str, device: str | torch.device = "cpu") -> nn.Module:
    """The deployed module of the defense `name`, in eval mode on `device` (default the CPU).

    Raises:
        InputError: an unknown name.
    """
    model = DEFENSES[check_choice(name, "name", names())].build()
    return model.eval().to(resolve_device(device))


# ---- how each is deployed ----


def _undefended():
    return models.load("mnist-small")


def input_transformation() -> EnsembleInputTransformation:
    """Crops, bit depth, JPEG and total variation, their answers averaged, before a network that was trained on such images."""
    return EnsembleInputTransformation(models.load("mnist-eit"))


def random_transformation() -> RandomTransformation:
    """A random size at a random place, before the undefended network."""
    return RandomTransformation(_undefended())


def pixel_defend() -> PixelDefend:
    """Each pixel moved to its likeliest value nearby, before the undefended network."""
    return PixelDefend(_undefended(), models.load("mnist-pixelcnn"))


def thermometer() -> Thermometer:
    """The network on thermometer codes, trained ordinarily."""
    return Thermometer(models.load("mnist-thermometer"))


def thermometer_adversarial() -> Thermometer:
    """The same, trained on adversarial codes."""
    return Thermometer(models.load("mnist-thermometer-lspga"))


def region() -> RegionClassifier:
    """The vote of a hundred noisy copies, in a cube of the paper's radius."""
    return RegionClassifier(_undefended(), RADIUS, samples=100)


def lid() -> Guarded:
    """Fitted to PGD on training digits, calibrated on others."""
    x, y, validation = _training_digits()
    model = _undefended()
    read = predict(model, x).argmax(1) == y
    x, y = x[read], y[read]
    attacked = PGD(EPS, keep="last")(model, x, y)
    return _guarded(LIDDetector(model, batch=450).fit(x, attacked), validation)


def squeezing() -> Guarded:
    """One bit and a median, before the undefended network."""
    return _guarded(FeatureSqueezing(_undefended()), _training_digits()[2])


def magnet() -> Guarded:
    """Two autoencoders that reject, the first of which reforms, before the undefended network."""
    autoencoders = [models.load("mnist-autoencoder-1"), models.load("mnist-autoencoder-2")]
    return _guarded(MagNet(_undefended(), autoencoders), _training_digits()[2])


def _training_digits():
    """Digits to fit a detector on, with their labels, and others to calibrate it on; all from the training set."""
    digits = data.load("mnist-5k", "train")
    x, y = digits.pick(1500, seed=0)
    return x[:500], y[:500], x[500:]


def _guarded(detector: Detector, validation):
    return Guarded(detector.calibrate(validation, FPR))


# ---- what an attacker makes of them ----


def shown_through(model: EnsembleInputTransformation, draws: int = 3) -> nn.Module:
    """The ensemble with the gradient of the identity wherever it has none, over some draws of what is random."""
    parts = [
        CropRescale(part.size, draws=3) if isinstance(part, CropRescale) else BPDA(part)
        for part in model.transformations
    ]
    return EOT(EnsembleInputTransformation(model.model, parts), draws)


def purified_with_gradient(model: PixelDefend) -> nn.Module:
    """PixelDefend with the gradient of the identity."""
    return nn.Sequential(BPDA(model.purify), model.model)


def mean_voter(model: RegionClassifier, draws: int = 10) -> nn.Module:
    """The mean logits of some voters, which have the gradient that a vote lacks."""
    return EOT(model.voter(), draws)


def undefended(model: nn.Module) -> nn.Module:
    """The classifier by itself."""
    return model.detector.model if isinstance(model, Guarded) else model.model


def weighed(model: Guarded, weight: float) -> Guarded:
    """The detector with another weight of its score in the attack's loss."""
    return Guarded(model.detector, weight)


def reformed(model: Guarded) -> nn.Module:
    """The classifier behind the reformer, without the detectors."""
    return model.detector


def every_view(model: Guarded) -> nn.Module:
    """The mean logits of the image and of its squeezed images."""
    return model.detector.every_view()


_PGD = PGD(EPS, steps=40)
_STRONG = {"PGD 100 x 10": PGD(EPS, steps=100, restarts=10)}


def _aware(weight):
    """At each of the three likeliest wrong digits, out of the detector's sight."""
    return Transfer(EachTarget(PGD(EPS, steps=100, targeted=True)), partial(weighed, weight=weight))


def _robust(model):
    return models.load("mnist-pat")


def _network(name, title, family, identifier=None, adaptive=_STRONG):
    """Return the defense that is the shipped model `name` and nothing around it."""
    build = partial(models.load, name)
    return DeployedDefense(title, family, identifier, build, adaptive=adaptive, network=name)


_TRAINING, _MASKING = "adversarial training", "gradient masking"
_TRANSFORMATION, _DETECTION = "input transformation", "detection"
DEFENSES = {
    "none": _network("mnist-small", "undefended", "none"),
    "NAT": _network("mnist-nat", "naive adversarial training", _TRAINING, "defense.nat"),
    "PAT": _network("mnist-pat", "PGD adversarial training", _TRAINING, "defense.pat"),
    "EAT": _network("mnist-eat", "ensemble adversarial training", _TRAINING, "defense.eat"),
    "DCN": _network("mnist-dcn", "deep contractive network", _MASKING, "defense.dcn"),
    "DD": _network("mnist-distilled", "defensive distillation", _MASKING, "defense.distillation"),
    "IGR": _network("mnist-igr", "input gradient regularisation", _MASKING, "defense.igr"),
    "EIT": DeployedDefense(
        "ensemble input transformation",
        _TRANSFORMATION,
        "defense.eit",
        input_transformation,
        adaptive={"BPDA and EOT": Transfer(PGD(EPS, steps=20), shown_through)},
    ),
    "RT": DeployedDefense(
        "random transformation",
        _TRANSFORMATION,
        "defense.rt",
        random_transformation,
        adaptive={"EOT": Transfer(_PGD, partial(EOT, draws=30))},
    ),
    "PixelDefend": DeployedDefense(
        "PixelDefend",
        _TRANSFORMATION,
        "defense.pixeldefend",
        pixel_defend,
        adaptive={"BPDA": Transfer(_PGD, purified_with_gradient)},
    ),
    "Thermometer": DeployedDefense(
        "thermometer encoding",
        _TRANSFORMATION,
        "defense.thermometer",
        thermometer,
        adaptive={"BPDA": Transfer(_PGD, Thermometer.attackable)},
    ),
    "RC": DeployedDefense(
        "region-based classification",
        "region-based classification",
        "defense.rc",
        region,
        adaptive={"EOT": Transfer(_PGD, mean_voter), "OptMargin": Transfer(OptMargin(), undefended)},
    ),
    "LID": DeployedDefense(
        "LID",
        _DETECTION,
        "defense.lid",
        lid,
        undefended,
        {"aware": _aware(0.3)},
    ),
    "FS": DeployedDefense(
        "feature squeezing",
        _DETECTION,
        "defense.squeezing",
        squeezing,
        undefended,
        # One bit undoes a change of 0.3 to a black or white pixel, so the last has no bound: it says how far away it falls.
        {
            "aware": _aware(0.3),
            "every view": Transfer(_PGD, every_view),
            "every view, C&W": Transfer(CWL2(confidence=15), every_view),
        },
    ),
    "MagNet": DeployedDefense(
        "MagNet",
        _DETECTION,
        "defense.magnet",
        magnet,
        undefended,
        {"aware": _aware(1.0), "C&W through the reformer": Transfer(CWL2(), reformed)},
    ),
    "FastAT": _network("mnist-fast", "fast adversarial training", _TRAINING),
    "FreeAT": _network("mnist-free", "free adversarial training", _TRAINING),
    "TRADES": _network("mnist-trades", "TRADES", _TRAINING),
    "Thermometer + AT": DeployedDefense(
        "thermometer encoding, trained on adversarial codes",
        _TRANSFORMATION,
        None,
        thermometer_adversarial,
        adaptive={
            "BPDA": Transfer(PGD(EPS, steps=100, restarts=3), Thermometer.attackable),
            "transfer from PAT": Transfer(_PGD, _robust),
        },
    ),
}
