"""Lab 8: what every lab passes, the judge's formulas, and the pictures that a student's functions make."""

import numpy as np
import pytest
import torch
from lab_tests import LabTests

from advcourse import attacks, defenses, metrics
from advcourse.core.inputs import InputError
from advcourse.defenses.thermometer import thermometer as library_thermometer
from advcourse.labs.comparing import called
from advcourse.labs.exercises import Draw
from advcourse.labs.lab8 import LAB, TASKS, show
from advcourse.labs.lab8.bpda_gradient import bpda_gradient, through_g
from advcourse.labs.lab8.defended import Defended, Levels, Median, Shift, nearest_level
from advcourse.labs.lab8.eot_gradient import each_draw, eot_gradient, mixture
from advcourse.labs.lab8.get_through import by_the_author, classifier_alone, get_through, misread
from advcourse.labs.lab8.gradients import gradient
from advcourse.labs.lab8.joint_flags import (
    each_the_whole,
    equal_ones,
    joint_flags,
    many_and_few,
    of_each_detector,
)
from advcourse.labs.lab8.quantise import pale, quantise
from advcourse.labs.lab8.questions import called_afresh, drawn
from advcourse.labs.lab8.region_votes import many_of_both, region_votes
from advcourse.labs.lab8.squeeze_score import squeeze_score, two_questions
from advcourse.labs.lab8.thermometer import borders, in_colour, thermometer


class TestLab8(LabTests):
    lab, written, pictures = LAB, 6, 8


def question(task, seed=5, **arguments):
    return TASKS[task].case(Draw(seed), **arguments)


# Transform


@pytest.mark.parametrize("bits", [1, 2, 3, 5])
def test_levels_are_the_librarys(bits):
    """Checks the search for the nearest level against `defenses.BitDepthReduction`, which rounds; and counts them."""
    x = torch.rand(500, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    found = nearest_level(x, bits)
    assert torch.allclose(found, defenses.BitDepthReduction(bits)(x), atol=1e-12)
    assert len(found.unique()) == 2**bits


@pytest.mark.parametrize("bits", [1, 2, 4, 6])
def test_rounding_gives_the_nearest_level(bits):
    """Checks the author's answer, which rounds, against a search by the distance to each level."""
    case = pale(quantise, Draw(2), bits=bits)
    assert torch.allclose(called(quantise, case), nearest_level(case["x"].double(), bits), atol=1e-12)


def test_a_level_by_hand():
    """Checks five pixels at two bits by hand: the levels are 0, 1/3, 2/3, 1."""
    x = torch.tensor([0.0, 0.16, 0.17, 0.84, 1.0]).double()
    assert torch.allclose(nearest_level(x, 2), torch.tensor([0, 0, 1 / 3, 1, 1]).double())


def test_the_thermometer_is_the_librarys():
    """Checks the switches against `defenses.thermometer`, on colours, and on black, white and all borders."""
    for case in (*in_colour(thermometer, Draw(3)), borders(thermometer, Draw(3))):
        expected = library_thermometer(case["x"].double(), case["levels"])
        assert torch.equal(called(thermometer, case), expected)


def test_a_thermometer_by_hand():
    """Checks five pixels with four switches by hand, a border, black and white among them."""
    case = question("thermometer", x=torch.tensor([0.0, 0.25, 0.3, 0.99, 1.0]).view(5, 1, 1, 1), levels=4)
    rows = [[1, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    assert called(thermometer, case).view(5, 4).tolist() == rows


def test_the_gradient_passes_straight_through():
    """Checks the gradient against `attacks.BPDA` with the identity behind it, which goes through autograd."""
    case = question("bpda_gradient").to(torch.float64)
    g, f = case.victim.build(torch.float64)
    theirs = gradient(torch.nn.Sequential(attacks.BPDA(g), f), case["x"], case["y"])
    ours = called(bpda_gradient, case)
    assert torch.allclose(ours, theirs, atol=1e-12) and ours.abs().max() > 1e-3
    assert not called(through_g, case).any()


def test_each_draws_gradient_is_autograds():
    """Checks the gradient moved back by hand against autograd's through the roll, for a move that goes both ways."""
    case = question("eot_gradient").to(torch.float64)
    f, move = case.victim.build(torch.float64)[-1], (1, -1)
    (ours,) = each_draw(f, [move], case["x"], case["y"])
    theirs = gradient(lambda x: f(x.roll(move, (2, 3))), case["x"], case["y"])
    assert torch.allclose(ours, theirs, atol=1e-12)


def test_the_mean_is_that_over_the_first_draws():
    """Checks the author's answer against the gradients moved back by hand, under the moves of the first passes."""
    case = question("eot_gradient").to(torch.float64)
    model = case.victim.build(torch.float64)
    each = each_draw(model[-1], drawn(model, case["draws"]), case["x"], case["y"])
    assert torch.allclose(called_afresh(eot_gradient, case), each.mean(0), atol=1e-12)


def test_a_mixture_is_found():
    """Checks known shares of nine gradients: least squares gives them back, and says so where something else is in it."""
    case = question("eot_gradient").to(torch.float64)
    shift, f = case.victim.build(torch.float64)
    each = each_draw(f, shift.moves, case["x"], case["y"])
    shares = torch.arange(9).double() / 36
    found, left = mixture((shares.view(-1, 1, 1, 1, 1) * each).sum(0), each)
    assert torch.allclose(found, shares.expand(len(found), -1), atol=1e-8) and left.max() < 1e-9
    assert mixture(gradient(f, case["x"] * 0.9, case["y"]), each)[1].min() > 1e-3


def test_draws_are_fresh_and_follow_from_the_seed():
    """Checks a shift's passes against the moves that the judge says it draws, and that all nine moves come up."""
    model = Defended("plain", parts=(("shift", 1),), drawn=4).build()
    x = torch.arange(784.0).view(1, 1, 28, 28)
    moves = drawn(model, 60)
    assert all(torch.equal(model[0](x), x.roll(move, (2, 3))) for move in moves)
    assert set(moves) == set(model[0].moves) and isinstance(model[0], Shift)


# Vote and detect


def test_votes_are_counted():
    """Checks the votes of each image against NumPy's count of the answers, and that every voter has one."""
    for case in many_of_both(region_votes, Draw(2)):
        f, found = case.victim.build(torch.float64)[-1], called(region_votes, case)
        images = (case["x"][0] + case["noise"]).clamp(0, 1)
        counted = np.bincount(f(images).argmax(1).numpy(), minlength=10)
        assert found[0].tolist() == counted.tolist()
        assert (found.sum(1) == len(case["noise"])).all()


def test_scores_are_the_librarys():
    """Checks the author's scores against `defenses.FeatureSqueezing` with the same squeezers, three and four of them."""
    for case in two_questions(squeeze_score, Draw(1)):
        squeezers = [squeezer.build(torch.float64) for squeezer in case["squeezers"]]
        detector = defenses.FeatureSqueezing(case.victim.build(torch.float64), squeezers)
        assert torch.allclose(called(squeeze_score, case), detector.score(case["x"]), atol=1e-12)


def test_the_median_is_scipys():
    """Checks the median squeezer against SciPy's filter with black around the image."""
    from scipy.ndimage import median_filter

    x = torch.rand(1, 1, 9, 8, generator=torch.Generator().manual_seed(1))
    theirs = median_filter(x[0, 0].numpy(), size=3, mode="constant", cval=0.0)
    assert np.array_equal(Median()(x)[0, 0].numpy(), theirs)


def test_joint_flags_are_the_librarys_thresholds():
    """Checks each detector at its share of the rate against `metrics.threshold_at`, ties and few clean images included."""
    for case in (*many_and_few(joint_flags, Draw(3)), equal_ones(joint_flags, Draw(3))):
        rows = [
            scores.double() > metrics.threshold_at(clean.double(), case["fpr"] / len(case["scores"]))
            for clean, scores in zip(case["clean_scores"], case["scores"])
        ]
        assert torch.equal(called(joint_flags, case), torch.stack(rows).any(0).double())


def test_the_joint_promise_is_kept():
    """Checks the union bound: of the clean images themselves at most fpr is flagged; each detector at fpr flags more."""
    case = question("joint_flags")
    case = case.but(scores=case["clean_scores"])
    assert called(joint_flags, case).mean() <= case["fpr"]
    assert called(each_the_whole, case).mean() > case["fpr"]


# Get through


def test_the_authors_attack_stays_in_its_budget():
    """Checks budget and box of the author's images, and that they fool more draws than a random sign of the same size."""
    case = question("get_through", kind="mnist-cnn", n=8)
    images, x = by_the_author(case, Draw(3)), case["x"]
    assert (images - x).abs().max() <= case["eps"] + 1e-6 and images.min() >= 0 and images.max() <= 1
    signs = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).sign()
    noisy = (x + case["eps"] * signs).clamp(0, 1)
    ours, chance = (misread(case.victim, found, case["y"]).mean() for found in (images, noisy))
    assert ours > chance + 0.3


def test_what_is_misread_is_counted_over_draws():
    """Checks the two ends: labels that the defense always gives are never misread, and others always."""
    case = question("get_through", kind="mnist-cnn", n=4)
    blank = torch.zeros(4, 1, 28, 28)  # no shift changes it
    seen = case.victim.build()(blank).argmax(1)
    assert misread(case.victim, blank, seen).tolist() == [0.0] * 4
    assert misread(case.victim, blank, (seen + 1) % 10).tolist() == [1.0] * 4


def test_a_level_has_no_gradient():
    """Checks the rounding's gradient with autograd: there, and 0."""
    x = torch.rand(2, 1, 3, 3).requires_grad_()
    (slope,) = torch.autograd.grad(Levels(2)(x).sum(), x)
    assert not slope.any()


# Pictures


def test_show_tells_what_was_measured():
    """Checks what rounding to two bits makes of a change of 0.2 by hand: up to a whole level, 1/3, or a little more."""
    shown = show(quantise.solution, "0.2")
    told = repr(shown).splitlines()[-2]
    moved = float(told.split("2 bits ")[1].split(",")[0])
    assert 1 / 3 - 0.01 <= moved <= 0.2 + 1 / 6 + 0.01
    assert repr(shown).endswith("You guessed 0.2.") and shown.png.startswith(b"\x89PNG")
    assert told in shown.alt and '<img alt="' in shown._repr_html_()


def test_show_says_what_is_missing():
    """Checks the text for an unwritten answer and for one of another shape, and the errors for what is no function or task."""

    def unwritten(model, x, y, eps, steps, draws):
        raise NotImplementedError()

    missing = show(unwritten, task="get_through")
    assert repr(missing) == "unwritten is not written yet." and "<img" not in missing._repr_html_()
    assert "`check(joint_flags)` says why" in repr(show(of_each_detector, task="joint_flags"))
    with pytest.raises(InputError, match="function: got 3; allowed is the function itself"):
        show(3)
    with pytest.raises(InputError, match="task: got 'unwritten'; allowed are 'quantise'"):
        show(unwritten)


@pytest.mark.slow
def test_show_uses_the_students_function():
    """Checks an attack on the classifier alone, which leaves more of the defense than a right one does."""

    def left(answer):
        return int(repr(show(answer, task="get_through")).split("yours ")[1].split(" %")[0])

    assert left(get_through.solution) + 5 < left(classifier_alone)


def test_the_lab_has_the_points_it_says():
    """Checks the sum by hand: 2 + 3 + 4 + 4 + 3 + 3 + 4 + 5."""
    assert LAB.points == 28
