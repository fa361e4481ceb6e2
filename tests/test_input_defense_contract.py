"""What every defense around a model owes to every attack: it is taken unchanged."""

import pytest
import torch
from nets import images, linear

from advcourse.attacks import REGISTRY, choose_target
from advcourse.core.inputs import predict
from advcourse.defenses import (
    BitDepthReduction,
    CropRescale,
    EnsembleInputTransformation,
    JPEGCompression,
    PixelDefend,
    Quilting,
    RandomTransformation,
    RegionClassifier,
    TotalVariation,
)
from advcourse.models import PixelCNN

MODEL = linear(4, (1, 8, 8), dtype=torch.float32)
X = images(4)
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


def pixel_defend(name):
    """PixelDefend and images for the attack `name`: tiny ones, as it goes from pixel to pixel in every pass."""
    x = X[..., :4, :5] if name == "OptMargin" else X[..., :3, :3]  # its 20 directions need as many pixels
    return PixelDefend(linear(4, x.shape[1:], dtype=torch.float32), PixelCNN(4, 2, 2)), x


@pytest.mark.parametrize("name", REGISTRY)
@pytest.mark.parametrize("defense", [*DEFENSES, "PixelDefend"])
def test_every_attack_takes_every_defense(defense, name):
    """The attacks' contract: images in [0, 1], the same from the same seed after other draws, and the random state as it was."""
    attack = REGISTRY[name]()
    victim, x = pixel_defend(name) if defense == "PixelDefend" else (DEFENSES[defense], X)
    y = predict(victim.model, x).argmax(1)
    target = choose_target(victim.model, x, y) if attack.targeted and not attack.chooses_target else None
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = attack(victim, x, y, target=target)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.shape == x.shape and first.min() >= 0 and first.max() <= 1
    torch.rand(3)
    assert torch.equal(attack(victim, x, y, target=target), first)
