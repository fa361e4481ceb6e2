"""Lab 4: what every lab passes, the judge's formulas, and the pictures that a student's measures make."""

import math
import re
import warnings

import numpy as np
import pytest
import torch
from answers import rooms
from lab_tests import LabTests

from advcourse import metrics
from advcourse.core.inputs import InputError
from advcourse.core.intervals import counted
from advcourse.labs.checks import judge
from advcourse.labs.comparing import NUMBERS, called, gives
from advcourse.labs.exercises import Draw, exercise
from advcourse.labs.lab4 import LAB, TASKS, interval, median_size, rate, records, show, similarity, win_rate
from advcourse.labs.running import LocalRunner


class TestLab4(LabTests):
    lab, written, pictures = LAB, 6, 8


def question(task, seed=5, **arguments):
    return TASKS[task].case(Draw(seed), **arguments)


def by_author(task, case):
    """What the judge holds right."""
    return called(TASKS[task], case)


def bools(*rows):
    return torch.tensor(rows, dtype=torch.bool)


# How often


def test_the_rate_by_hand():
    """Checks five images worked out by hand: four were right before, two of them fool, one of these by the target; and none."""
    answers = torch.eye(3)
    y = torch.tensor([0, 1, 2, 0, 1])
    case = question(
        "rate",
        clean_logits=answers[[0, 1, 2, 0, 2]],
        logits=answers[[1, 2, 2, 0, 2]],
        y=y,
        target=None,
    )
    assert by_author("rate", case) == 0.5
    assert by_author("rate", case.but(target=torch.tensor([1, 0, 0, 1, 0]))) == 0.25
    assert math.isnan(by_author("rate", case.but(y=(y + 1) % 3, clean_logits=answers[y])))


@pytest.mark.parametrize("aimed", [False, True])
def test_the_rate_is_the_librarys_on_what_was_right(aimed):
    """Checks against `metrics.misclassification_rate`, given the images that were right before."""
    case = question("rate", **rate.outcomes(Draw(3), None, aimed=aimed))
    right = case["clean_logits"].argmax(1) == case["y"]
    target = case["target"][right] if aimed else None
    theirs = metrics.misclassification_rate(case["logits"][right], case["y"][right], target)
    assert by_author("rate", case).item() == pytest.approx(theirs)
    assert 0.05 < (~right).double().mean() < 0.4


def test_the_interval_is_scipys():
    """Checks each interval against SciPy's, by Wilson's and by Clopper and Pearson's method, and against the library's own."""
    from scipy.stats import binomtest

    case = question("interval")
    (low, high), exact = by_author("interval", case), called(interval.exact_interval, case)
    for i, (k, n) in enumerate(zip(case["successes"].tolist(), case["n"].tolist())):
        test = binomtest(int(k), int(n))
        assert (low[i], high[i]) == pytest.approx(test.proportion_ci(method="wilson"), abs=1e-5)
        assert tuple(exact[:, i].tolist()) == pytest.approx(test.proportion_ci(method="exact"), abs=1e-9)
        ours = counted(int(k), int(n))
        assert (low[i], high[i]) == pytest.approx((ours.low, ours.high), abs=1e-5)


# How large


def test_the_median_is_numpys():
    """Checks odd and even numbers of images against `numpy.median`, and the library's median with failures."""
    for case in median_size.odd_and_even(TASKS["median_size"], Draw(2)):
        found = by_author("median_size", case)
        filled = np.where(case["success"], case["size"].double(), np.inf)
        assert np.array_equal(found, np.median(filled, axis=1))
        for row, size, success in zip(found, case["size"], case["success"]):
            assert row == metrics.median_with_failures(size, success)
    assert found.isinf().any() and found.isfinite().any()


def test_the_middle_of_an_even_number_may_be_infinite():
    """Checks four images by hand: with two failures the mean of the two in the middle is infinite, with one it is 3.5."""
    size = torch.tensor([[4.0, 1.0, 3.0, 9.0], [4.0, 1.0, 3.0, 9.0]])
    case = question("median_size", size=size, success=bools([1, 1, 0, 0], [1, 1, 1, 0]))
    assert by_author("median_size", case).tolist() == [math.inf, 3.5]


def test_common_means_by_hand():
    """Checks three attacks on four images by hand: the second and the fourth image are common."""
    size = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], [9.0, 9.0, math.inf, 1.0]])
    success = bools([0, 1, 1, 1], [1, 1, 1, 1], [1, 1, 0, 1])
    case = question("on_common", size=size, success=success)
    assert by_author("on_common", case).tolist() == [3.0, 7.0, 5.0]
    assert by_author("on_common", case.but(success=bools([0] * 4, [1] * 4, [1] * 4))).isnan().all()


@pytest.mark.parametrize("lost, answer", [(0, similarity.similarity), (1, similarity.as_scikit_image)])
def test_ssim_is_scikit_images(lost, answer):
    """Checks both divisors, 49 and 48, against scikit-image with a stated range, for digits, faint images and colours."""
    from skimage.metrics import structural_similarity

    task = TASKS["similarity"]
    for case in (*similarity.digits_and_faint_ones(task, Draw(4)), *similarity.in_colour(task, Draw(4))):
        theirs = [
            structural_similarity(
                a.numpy(),
                b.numpy(),
                win_size=7,
                data_range=1.0,
                use_sample_covariance=bool(lost),
                channel_axis=0,
            )
            for a, b in zip(case["x"], case["x_adv"])
        ]
        assert called(answer, case).tolist() == pytest.approx(theirs, abs=1e-9)


def test_ssim_is_the_librarys():
    """Checks the lab's definition against `metrics.ssim`: a student who compares the two finds no difference."""
    case = question("similarity")
    theirs = metrics.ssim(case["x"], case["x_adv"])
    assert torch.allclose(by_author("similarity", case), theirs, atol=1e-6)


def test_float32_answers_are_near_enough():
    """Checks a right answer on float32 images against the judge's float64: a thousandth apart at most, so it may be shown."""
    case = question("similarity")
    found = similarity.similarity(case["x"], case["x_adv"])
    assert found.dtype == torch.float32 and (found - by_author("similarity", case)).abs().max() < 1e-3


# What lasts


def test_destruction_by_hand():
    """Checks six images by hand: four were right, three of these fooled, of which two are right again after the first change."""
    clean, attacked = bools([1, 1, 1, 1, 0, 0])[0], bools([0, 0, 0, 1, 0, 1])[0]
    after = bools([1, 1, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1])
    clean_after = bools([1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0])
    names = ("clean", "attacked", "clean_after", "attacked_after")
    case = question("destruction", **dict(zip(names, (clean, attacked, clean_after, after))))
    assert torch.allclose(by_author("destruction", case), torch.tensor([[2 / 3, 0.0], [0.5, 5 / 6]]).double())


def test_destruction_is_the_librarys():
    """Checks each transformation against `metrics.destruction_rate`; and that survival is the rest."""
    case = question("destruction")
    for found, after in zip(by_author("destruction", case)[0], case["attacked_after"]):
        assert found.item() == pytest.approx(metrics.destruction_rate(case["clean"], case["attacked"], after))
        fooled = case["clean"] & ~case["attacked"]
        assert 1 - found.item() == pytest.approx(metrics.survival(fooled, ~after))


def test_the_worst_case_by_hand():
    """Checks two attacks on four images by hand, at two budgets: each breaks another image, and one is wrong from the start."""
    case = question(
        "worst_case",
        clean=bools([1, 1, 1, 0])[0],
        right=bools([0, 1, 0, 1], [1, 0, 1, 1]),
        size=torch.tensor([[0.1, 0.1, 0.3, 0.1], [0.1, 0.15, 0.1, 0.1]]),
        eps=torch.tensor([0.1, 0.2]),
    )
    assert by_author("worst_case", case).tolist() == [0.5, 0.25]


def test_the_worst_case_is_below_every_attack():
    """Checks an inequality: the mean over images of the minimum is at most each attack's mean, and falls with the budget."""
    case = question("worst_case")
    worst = by_author("worst_case", case)
    for a in range(len(case["right"])):
        alone = by_author(
            "worst_case", case.but(right=case["right"][a : a + 1], size=case["size"][a : a + 1])
        )
        assert (worst < alone).all()
    assert (worst.diff() <= 0).all()


def test_one_float_above_the_budget_is_inside():
    """Checks the sizes drawn: some equal a budget, some are the next float32 number, some lie around 1e-6, others far."""
    case = question("worst_case")
    gap = (case["size"][..., None] - case["eps"]).abs().amin(-1)
    assert (gap == 0).any() and ((gap > 0) & (gap < 1e-7)).any()
    inside, outside = (gap > 8e-7) & (gap < 9e-7), (gap > 1.1e-6) & (gap < 1.2e-6)
    assert inside.any() and outside.any()
    assert not ((gap > 1e-7) & (gap < 5e-4) & ~inside & ~outside).any()


# Who wins


@pytest.mark.parametrize("fpr", [0.0, 0.01, 0.034, 0.05, 0.5])
def test_the_threshold_keeps_its_promise(fpr):
    """Checks all thresholds by trying them: the judge's is the smallest that flags no more than fpr; the library has the same."""
    for clean in (Draw(1).normal((30,)), Draw(1).normal((151,)).round()):
        found = win_rate.cut(clean.double(), fpr)
        flagged = {t: (clean.double() > t).double().mean().item() for t in clean.double().tolist()}
        assert found == min(t for t, share in flagged.items() if share <= fpr)
        assert found == metrics.threshold_at(clean, fpr)


def test_win_rates_are_the_librarys():
    """Checks each attack against `metrics.attacker_win_rate` at the library's threshold."""
    for case in win_rate.many_and_few(TASKS["win_rate"], Draw(6)):
        threshold = metrics.threshold_at(case["clean_scores"], case["fpr"])
        theirs = [metrics.attacker_win_rate(s, f, threshold) for s, f in zip(case["scores"], case["fooled"])]
        assert by_author("win_rate", case).tolist() == pytest.approx(theirs)


# The engine, where the result is a number


def outcome(value, shape=(), numbers="finite", right=0.5):
    """The verdict on a function that returns `value`, where `right` is right."""

    @exercise("", 1, shape=lambda case: shape, numbers=numbers)
    def f(x):
        return torch.tensor(right, dtype=torch.float64)

    f.checks(gives(f, NUMBERS))
    return judge(f, LocalRunner(lambda x: value), 0)


@pytest.mark.parametrize("value", [0.5, np.float64(0.5), torch.tensor(0.5)])
def test_one_number_may_be_a_float(value):
    """Checks three ways to write one half, where one number is asked for; and that two numbers are not asked for so."""
    assert outcome(value).right
    assert outcome(value, (2,), right=[0.5, 0.5]).key in ("type", "shape")


def test_what_is_no_number_is_told():
    """Checks what might pass for a number in Python and is none here, and a whole number as the message tells it."""
    for value in (True, "0.5", [0.5], 10**400):
        verdict = outcome(value)
        assert verdict.key == "type" and "Return one number" in verdict.message, value
    assert outcome(1).message == "The number is not what the formula gives: yours is 1, right is 0.5."


@pytest.mark.parametrize("right", [math.nan, math.inf])
def test_odd_numbers_are_near_themselves_alone(right):
    """Checks NaN and infinity against each other and against 0, where NaN is allowed; and NaN where it is not."""
    for value in (math.nan, math.inf, -math.inf, 0.0):
        same = value == right or (math.isnan(value) and math.isnan(right))
        assert outcome(value, numbers="nan", right=right).right == same
    assert outcome(math.nan, numbers="nan").key == "formula"
    assert outcome(math.nan, numbers="infinite", right=right).key == "not a number"


def test_a_slip_must_explain_all_cases():
    """Checks two cases: a slip that gives the answer in one of them alone is not named, one that gives both is."""

    def verdict(mistake):
        @exercise("", 1, shape=lambda case: ())
        def double(x):
            return 2 * x.sum()

        double.slip("named", "A message of four words.")(mistake)
        make = lambda task, draw: (task.case(draw, x=torch.ones(2)), task.case(draw, x=torch.ones(3)))  # noqa: E731
        double.checks(gives(double, NUMBERS, make=make))
        return judge(double, LocalRunner(lambda x: 3 * x.sum()), 0).key

    assert verdict(lambda x: torch.tensor(6.0)) == "formula"
    assert verdict(lambda x: 3 * x.sum()) == "named"


def test_what_a_slip_prints_or_warns_of_reaches_nobody(capsys, recwarn):
    """Checks a slip that prints and warns, on a wrong answer for which it is tried."""

    @exercise("", 1, shape=lambda case: ())
    def double(x):
        return 2 * x.sum()

    @double.slip("named", "A message of four words.")
    def triple(x):
        print("a word")
        warnings.warn("a warning", stacklevel=1)
        return 3 * x.sum()

    double.checks(gives(double, NUMBERS))
    assert judge(double, LocalRunner(lambda x: 3 * x.sum()), 0).key == "named"
    assert capsys.readouterr() == ("", "") and not recwarn.list


# Pictures


def test_show_tells_what_was_measured():
    """Checks the rates that are told against the attacks' own records, and the picture's words against the sentences."""
    shown = show(rate.rate, "50 %", "rate")
    result = records.with_old_mistakes("LLC 0.3")
    known = records.right(result.clean, result.labels)
    wrong = result.predictions != result.labels
    shares = [values[known].double().mean().item() for values in (wrong, result.success)]
    told = re.search(r"LLC 0.3: any error (\d+) %, hits its target (\d+) %", repr(shown))
    assert [int(n) for n in told.groups()] == pytest.approx([100 * share for share in shares], abs=0.51)
    assert repr(shown).endswith("You guessed 50 %.")
    assert shown.png.startswith(b"\x89PNG") and told[0] in shown.alt and '<img alt="' in shown._repr_html_()


@pytest.mark.slow
def test_show_uses_the_students_function():
    """Checks a wrong median, whose infinite values become finite in what is told."""
    honest, flattering = (
        repr(show(answer, task="median_size"))
        for answer in (median_size.median_size, median_size.largest_for_failures)
    )
    assert "your median infinite" in honest and "infinite" not in flattering


def test_show_says_what_is_missing():
    """Checks the text for an unwritten answer and for one of another shape, and the errors for what is no function or task."""

    def unwritten(clean_scores, scores, fooled, fpr):
        raise NotImplementedError()

    missing = show(unwritten, task="win_rate")
    assert repr(missing) == "unwritten is not written yet." and "<img" not in missing._repr_html_()
    assert "`check(win_rate)` says why" in repr(show(win_rate.one_number, task="win_rate"))
    with pytest.raises(InputError, match="function: got 3; allowed is the function itself"):
        show(3)
    with pytest.raises(InputError, match="task: got 'unwritten'; allowed are 'rate'"):
        show(unwritten)


@pytest.mark.slow
@pytest.mark.parametrize("value", [math.nan, math.inf, -5.0, 1e30])
def test_show_survives_odd_numbers(value):
    """Checks the words for each task, where the student's function returns one and the same odd number: never an error."""
    for room in rooms("lab4"):

        def odd(*args, room=room, **kwargs):
            return torch.full_like(torch.as_tensor(room.rights[0](*args, **kwargs)), value)

        shown = show(odd, task=room.task)
        assert shown.png or f"`check({room.task})` says" in repr(shown)


def test_changes_of_one_length_are_of_one_length():
    """Checks the L2 distances of the five changed digits with torch's norm: 2, PGD's up to 2; and that all are images."""
    x, changed = records.changes_of_one_length()
    lengths = {name: (images - x).norm().item() for name, images in changed.items()}
    assert 1.9 < lengths.pop("PGD in L2") <= 2.0001
    assert list(lengths.values()) == pytest.approx([2.0] * 4, abs=1e-4)
    assert all(images.min() >= 0 and images.max() <= 1 for images in changed.values())


def test_the_lab_has_the_points_it_says():
    """Checks the sum by hand: 2 + 3 + 3 + 3 + 4 + 3 + 4 + 4."""
    assert LAB.points == 26
