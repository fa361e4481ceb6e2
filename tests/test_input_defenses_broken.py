"""How defenses around a model are broken: each against the attack it seems to stop, and its own adaptive attack.

The bars are numbers of 30 digits that are still seen right, with slack over what three seeds gave, which stands beside them.
"""

import pytest
from digits import X, left_by, right

from advcourse import data, models
from advcourse.attacks import BPDA, CWL2, EOT, PGD
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

MODEL = models.load("mnist-cnn")


def behind(g):
    return EnsembleInputTransformation(MODEL, [g])


@pytest.mark.parametrize("g", [BitDepthReduction(), JPEGCompression()], ids=["bit depth", "JPEG"])
def test_bit_depth_and_jpeg_stop_pgd_and_fall_to_bpda(g):
    """Against Athalye et al. 2018, table 1, 0 % under BPDA: 29 digits clean, 27 to 29 under PGD at 0.3, 0 under BPDA."""
    defense, attack = behind(g), PGD(0.3, 0.05, 20)
    assert right(defense, X) >= 28
    assert left_by(attack, defense, defense) >= 25
    assert left_by(attack, behind(BPDA(g)), defense) <= 2


def test_total_variation_falls_to_bpda_with_eot():
    """Against the same 0 %: 28 digits clean, 27 under PGD at 0.3, 0 under BPDA and 3 draws a step."""
    g, attack = TotalVariation(), PGD(0.3, 0.05, 12)
    assert right(behind(g), X) >= 26
    assert left_by(attack, behind(g), behind(g)) >= 25
    assert left_by(attack, EOT(behind(BPDA(g)), 3), behind(g)) <= 3


@pytest.mark.slow
def test_quilting_falls_beyond_the_reach_of_its_patches():
    """Against the same 0 %, at 0.4: 29 digits clean, 27 to 29 under PGD, 0 under BPDA.

    At 0.3, where black and white can still be told, 12 steps leave 15 to 18 through the identity and 10 to 14 through the blend
    of the nearest patches, 4 or 5 fewer with each of three seeds.
    """
    g, beyond = Quilting(data.load("mnist-5k", split="train").images[:1000], nearest=1), PGD(0.4, 0.2, 10)
    assert right(behind(g), X) >= 28
    assert left_by(PGD(0.4, 0.2, 3), behind(g), behind(g)) >= 24
    assert left_by(beyond, behind(BPDA(g)), behind(g)) <= 2
    within = PGD(0.3, 0.2, 12)
    identity, blend = (left_by(within, behind(BPDA(g, soft)), behind(g)) for soft in (lambda x: x, g.blend))
    assert blend < identity and blend <= 16


def test_crops_fall_to_their_own_gradient():
    """Against the same 0 %: at 0.2, 7 to 11 digits of 29 withstand PGD on the model, 1 to 4 PGD on the mean crop."""
    defense, attack = behind(CropRescale(24, draws=10)), PGD(0.2, 0.05, 15)
    transferred, adaptive = (left_by(attack, victim, defense) for victim in (MODEL, defense))
    assert right(defense, X) >= 28
    assert adaptive <= 6 and adaptive < transferred


@pytest.mark.slow
def test_an_ensemble_of_all_falls_to_both():
    """Against the break of its parts: 29 digits clean, 2 or 3 under BPDA with the crops' own gradient at 0.2, none at 0.3.

    The crops leak a gradient, so PGD on the ensemble itself is not stopped, but weaker: 17 or 18 at 0.15, for 10 to 12.
    """
    parts = [CropRescale(24, draws=3), BitDepthReduction(), JPEGCompression(), TotalVariation(iterations=50)]
    defense = EnsembleInputTransformation(MODEL, parts)
    broken = EnsembleInputTransformation(MODEL, [parts[0], *map(BPDA, parts[1:])])
    attack = PGD(0.15, 0.025, 12)
    plain, adaptive = (left_by(attack, v, defense) for v in (defense, broken))
    assert right(defense, X) >= 28
    assert plain >= 15 and adaptive <= 14
    assert left_by(PGD(0.2, 0.2 / 6, 12), broken, defense) <= 5
    assert left_by(PGD(0.3, 0.05, 12), broken, defense) <= 1


@pytest.mark.slow
def test_random_resizing_falls_to_eot():
    """Against Athalye et al. 2018, 0 %: none of 28 digits at 0.2, by PGD on the mean of 10 draws.

    At 0.15, 17 to 19 withstand PGD on the model, 8 to 11 PGD on one draw a step, 4 to 6 PGD on the mean.
    """
    defense = RandomTransformation(MODEL)
    assert right(defense, X) >= 26
    attack = PGD(0.15, 0.15 / 8, 20)
    transferred, one, mean = (left_by(attack, v, defense) for v in (MODEL, defense, EOT(defense, 10)))
    assert transferred >= 14 and mean <= 8 and mean < one < transferred
    assert left_by(PGD(0.2, 0.025, 20), EOT(defense, 10), defense) <= 1


def test_a_fixed_draw_is_no_defense():
    """Against the sanity check of Carlini et al. 2019: where the draws are the same in every pass, plain PGD gets through."""
    defense = RandomTransformation(MODEL, seed=0)
    assert left_by(PGD(0.2, 0.025, 20), defense, defense) == 0


@pytest.mark.slow
def test_regions_fall_to_the_mean_of_their_logits():
    """Against 28 digits clean, 27 under PGD on the vote, which has no gradient, at 0.2, and none on the mean of 8 voters' logits.

    At 0.15, PGD on the model leaves 10 or 11 to the vote, PGD on the mean logits 3.
    """
    defense = RegionClassifier(MODEL, 0.3, 100)
    assert right(defense, X) >= 26
    assert left_by(PGD(0.2, 0.05, 2), defense, defense) >= 25
    attack = PGD(0.15, 0.15 / 8, 15)
    transferred, mean = (left_by(attack, v, defense) for v in (MODEL, EOT(defense.voter(), 8)))
    assert transferred >= 7 and mean <= 5 and mean < transferred
    assert left_by(PGD(0.2, 0.025, 15), EOT(defense.voter(), 8), defense) <= 1


def test_regions_fall_to_confident_carlini_wagner():
    """Against C&W without confidence, which all voters but its own see through: 26 digits of 28 are left, with 20 logits none."""
    defense = RegionClassifier(MODEL, 0.3, 100)
    assert left_by(CWL2(), MODEL, MODEL) == 0 and left_by(CWL2(), MODEL, defense) >= 23
    assert left_by(CWL2(confidence=20), MODEL, defense) <= 2
