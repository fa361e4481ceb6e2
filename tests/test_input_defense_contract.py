"""What every defense around a model owes to every attack: it is taken unchanged."""

import pytest
import torch
from nets import images, linear

from advcourse.attacks import REGISTRY, choose_target
from advcourse.defenses import (
    BitDepthReduction,
    CropRescale,
    EnsembleInputTransformation,
    JPEGCompression,
    Quilting,
    RandomTransformation,
    RegionClassifier,
    TotalVariation,
)
from advcourse.inputs import predict

MODEL = linear(4, (1, 8, 8), dtype=torch.float32)
X = images(4)
Y = predict(MODEL, X).argmax(1)
PARTS = (
    CropRescale(6, draws=2),
    BitDepthReduction(),
    JPEGCompression(),
    TotalVariation(iterations=5),
    Quilting(X, patches=20, nearest=2),
)
DEFENSES = {
    "ensemble": EnsembleInputTransformation(MODEL, PARTS),
    "bit depth": EnsembleInputTransformation(MODEL, [BitDepthReduction()]),
    "random resizing": RandomTransformation(MODEL, 8, 11, 11),
    "region": RegionClassifier(MODEL, 0.3, 5),
}


@pytest.mark.parametrize("name", REGISTRY)
@pytest.mark.parametrize("defense", DEFENSES)
def test_every_attack_takes_every_defense(defense, name):
    """The attacks' contract: images in [0, 1], the same from the same seed after other draws, and the random state as it was."""
    attack, victim = REGISTRY[name](), DEFENSES[defense]
    target = choose_target(MODEL, X, Y) if attack.targeted and not attack.chooses_target else None
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = attack(victim, X, Y, target=target)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.shape == X.shape and first.min() >= 0 and first.max() <= 1
    torch.rand(3)
    assert torch.equal(attack(victim, X, Y, target=target), first)
