"""Tables of records made by hand: every number is worked out beside it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from records import record
from scipy.stats import binomtest

from advcourse.attacks import ThreatModel
from advcourse.evaluation import tables

EASY = record([1, 0, 0, 0, 0], attack="easy")  # succeeds on the image nearest to the boundary alone
GOOD = record([1, 1, 1, 1, 0], size=[2, 2, 3, 4, 5], attack="good")


def only(frame):
    """The one row of a frame."""
    (row,) = frame.to_dict("records")
    return row


def test_the_rate_has_wilsons_interval():
    """scipy's interval for four successes in five."""
    row = only(tables.success([GOOD]))
    exact = binomtest(4, 5).proportion_ci(method="wilson")
    assert row["success"] == 0.8 and row["images"] == 5
    assert (row["success low"], row["success high"]) == pytest.approx((exact.low, exact.high))


def test_an_easy_attack_has_the_smaller_mean_and_an_infinite_median():
    """By hand: means over successes 1 and 11/4; the medians of (1, inf, inf, inf, inf) and (2, 2, 3, 4, inf)."""
    easy, good = tables.imperceptibility([EASY, GOOD]).to_dict("records")
    assert (easy["mean L2"], good["mean L2"]) == (1, 2.75)
    assert (easy["median size"], good["median size"]) == (math.inf, 3)
    assert good["median size low"] == 2 and good["median size high"] == math.inf
    assert [good[f"median {norm}"] for norm in tables.NORMS] == [3] * 4


def test_targeted_successes_and_any_wrong_label_are_two_numbers():
    """By hand: one of four reaches its target, three are misread."""
    row = only(tables.success([record([1, 0, 0, 0], wrong=[1, 1, 1, 0])]))
    assert (row["success"], row["any wrong label"]) == (0.25, 0.75)


def test_confidences_are_those_of_the_successes():
    """By hand: (0.9 + 0.7) / 2; the failures' 0.1 plays no part."""
    row = only(tables.misclassification([record([1, 1, 0], **{"wrong confidence": [0.9, 0.7, 0.1]})]))
    assert row["wrong confidence"] == pytest.approx(0.8)


def test_robustness_counts_successes_and_has_the_clean_accuracy_beside_it():
    """By hand: of three successes two survive; one of the three misread images is read correctly after the noise."""
    after = {"success noise": [1, 1, 0, 1], "wrong noise": [1, 1, 0, 1]}
    arrays = {name: np.array(values, dtype=bool) for name, values in after.items()}
    row = only(tables.robustness([record([1, 1, 1, 0], clean={"noise": 0.6}, **arrays)]))
    assert row["noise: survival"] == pytest.approx(2 / 3) and row["successes"] == 3
    assert row["noise: destruction rate"] == pytest.approx(1 / 3)
    assert row["noise: clean accuracy"] == 0.6
    assert row["noise: survival low"] < 2 / 3 < row["noise: survival high"]


def test_efficiency_is_per_image():
    """The numbers that the record was made with."""
    row = only(tables.efficiency([GOOD]))
    assert (row["seconds"], row["forward passes"], row["backward passes"], row["memory MiB"]) == (
        0.5,
        3,
        2,
        1,
    )


def test_common_averages_where_all_succeed():
    """By hand: both succeed on image 0 alone, with sizes 1 and 2; attacks of another aim or model are no company."""
    others = [
        record([1, 1], attack="targeted", threat=ThreatModel("L2", None, "targeted")),
        record([1, 1], model="b"),
    ]
    rows = tables.common([EASY, GOOD, *others]).to_dict("records")
    assert [(row["attack"], row["common images"], row["mean L2"]) for row in rows] == [
        ("easy", 1, 1),
        ("good", 1, 2),
    ]


def test_no_common_image_is_nan():
    """Attacks that never succeed on the same image have no mean to compare."""
    rows = tables.common([record([1, 0]), record([0, 1], attack="b")]).to_dict("records")
    assert all(row["common images"] == 0 and math.isnan(row["mean L2"]) for row in rows)


def test_strongest_is_the_minimum_for_each_image_and_no_mean():
    """By hand, five picked, four attacked: one attack fools images 0 and 1, the other 1 and 2, so image 3 alone survives.

    The mean over attacks would be 2 of 5, the better single attack also leaves 2 of 5.
    """
    ball = ThreatModel("Linf", 0.3, "untargeted")
    a = record([1, 1, 0, 0], [0.3] * 4, "a", threat=ball, picked=5)
    b = record([0, 1, 1, 0], [0.3] * 4, "b", threat=ball, picked=5)
    row = only(tables.strongest([a, b]))
    assert (row["accuracy under it"], row["accuracy"], row["clean accuracy"]) == (0.4, 0.2, 0.8)
    assert (row["norm"], row["eps"], row["attacks"]) == ("Linf", 0.3, 2)


def test_strongest_counts_each_attack_only_inside_the_budget():
    """By hand: a minimum-norm attack fools with sizes 0.1, 0.2, 0.4: two are inside 0.3, one inside 0.1 (to an ulp)."""
    balls = [ThreatModel("Linf", eps, "untargeted") for eps in (0.3, 0.1)]
    weak = [record([0, 0, 0], [ball.eps] * 3, f"fgsm {ball.eps}", threat=ball) for ball in balls]
    free = record([1, 1, 1], [np.float32(0.1), 0.2, 0.4], "free")
    rows = {row["eps"]: row for row in tables.strongest([*weak, free]).to_dict("records")}
    assert rows[0.3]["accuracy"] == pytest.approx(1 / 3) and rows[0.1]["accuracy"] == pytest.approx(2 / 3)
    assert rows[0.3]["strongest attack"] == "free"


def test_photographs_are_counted_among_themselves():
    """By hand: on screen one of four is left, in photographs three; together it would be none. No table sums over both."""
    screen = ThreatModel("Linf", 0.3, "untargeted")
    paper = replace(screen, channel="physical")
    a = record([1, 1, 1, 0], [0.3] * 4, "a", threat=screen)
    b = record([0, 0, 0, 1], [0.3] * 4, "b", threat=paper)
    rows = tables.strongest([a, b]).to_dict("records")
    assert [(row["channel"], row["accuracy"], row["attacks"]) for row in rows] == [
        ("digital", 0.25, 1),
        ("physical", 0.75, 1),
    ]
    assert tables.common([a, b]).empty
    assert tables.success([b])["threat model"].tolist() == ["L∞ ≤ 0.3, untargeted, physical"]


def test_the_same_name_for_other_images_is_another_place():
    """Two records of one model's name, on other images: each has a row of its own, and none is mixed up with the other."""
    ball = ThreatModel("Linf", 0.3, "untargeted")
    a = record([1, 1], [0.3] * 2, "a", threat=ball)
    b = record([0, 0, 0], [0.3] * 3, "b", threat=ball)
    b.identity["data"] = "others"
    assert tables.strongest([a, b])["accuracy"].tolist() == [0, 1]


def test_least_is_the_smallest_change_of_each_image():
    """By hand: attacks of sizes (1, 4, inf) and (3, 2, 5) leave (1, 2, 5), median 2; the medians alone are 4 and 3."""
    a, b = record([1, 1, 0], [1, 4, 9], "a"), record([1, 1, 1], [3, 2, 5], "b")
    row = only(tables.least([a, b, record([1], threat=ThreatModel("L2", 1.0, "untargeted"))]))
    assert (row["minimum"], row["median size"], row["attack"], row["attacks"]) == (2, 3, "b", 2)
    assert row["minimum low"] == 1 and row["minimum high"] == 5


def test_nothing_succeeded_is_nan():
    """No success has no mean, no confidence and no survival; the rate is 0, and no image at all has no rate."""
    row = only(tables.everything([record([0, 0], clean={"noise": 1.0})]))
    for name in ("mean L2", "mean SSIM", "wrong confidence", "noise: survival", "noise: destruction rate"):
        assert math.isnan(row[name]), name
    assert row["success"] == 0 and row["median size"] == math.inf
    assert math.isnan(only(tables.everything([record([])]))["success"])


def test_everything_has_all_columns_of_the_others():
    """The set union of the four tables' columns."""
    parts = (tables.misclassification, tables.imperceptibility, tables.robustness, tables.efficiency)
    assert set(tables.everything([GOOD])) == set().union(*(part([GOOD]) for part in parts))
