"""The defenses of the survey's Table 2. A training defense is an objective for `training.fit`:

objective = PAT(eps=0.3, ramp=1 / 3)
fit(model, data, objective, schedule=objective.following("one-cycle"))
"""

from advcourse.defenses.adversarial_training import EAT, NAT, PAT, FastAT
from advcourse.defenses.detection import Detector, Guarded
from advcourse.defenses.free import FreeAT
from advcourse.defenses.gradient_masking import (
    AtTemperature,
    DeepContractive,
    DefensiveDistillation,
    InputGradientRegularization,
    distil,
    teacher_objective,
)
from advcourse.defenses.ibp import IBP
from advcourse.defenses.input_transformation import (
    BitDepthReduction,
    CropRescale,
    EnsembleInputTransformation,
    JPEGCompression,
    TotalVariation,
)
from advcourse.defenses.lid import LIDDetector
from advcourse.defenses.magnet import MagNet, MagNetReformer
from advcourse.defenses.pixeldefend import PixelDefend, PixelDetector
from advcourse.defenses.proofs import certified, margin_bounds
from advcourse.defenses.quilting import Quilting
from advcourse.defenses.random_resizing import RandomTransformation
from advcourse.defenses.region import RegionClassifier, UniformNoise, choose_radius
from advcourse.defenses.smoothing import Certificate, GaussianAugmentation, GaussianNoise, Smoothed
from advcourse.defenses.squeezing import FeatureSqueezing
from advcourse.defenses.thermometer import LSPGA, Thermometer
from advcourse.defenses.trades import TRADES

__all__ = [
    "EAT",
    "IBP",
    "LSPGA",
    "NAT",
    "PAT",
    "TRADES",
    "AtTemperature",
    "BitDepthReduction",
    "Certificate",
    "CropRescale",
    "DeepContractive",
    "DefensiveDistillation",
    "Detector",
    "EnsembleInputTransformation",
    "FastAT",
    "FeatureSqueezing",
    "FreeAT",
    "GaussianAugmentation",
    "GaussianNoise",
    "Guarded",
    "InputGradientRegularization",
    "JPEGCompression",
    "LIDDetector",
    "MagNet",
    "MagNetReformer",
    "PixelDefend",
    "PixelDetector",
    "Quilting",
    "RandomTransformation",
    "RegionClassifier",
    "Smoothed",
    "Thermometer",
    "TotalVariation",
    "UniformNoise",
    "certified",
    "choose_radius",
    "distil",
    "margin_bounds",
    "teacher_objective",
]
