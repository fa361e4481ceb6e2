"""Robustness and efficiency against cases worked out by hand, identities, and memory whose size is known."""

import math
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from advcourse import attacks, metrics
from advcourse.core.inputs import InputError

YES, NO = True, False


def flags(*values):
    """A tensor (N,) of bool."""
    return torch.tensor(values, dtype=torch.bool)


def test_noise_tolerance_by_hand():
    """Odds 6 : 3 : 1 give 0.6 - 0.3; a tie gives 0; logits of 10 000 against 0 give 1."""
    logits = torch.tensor([[math.log(3.0), math.log(6.0), 0.0], [5.0, 5.0, -40.0], [0.0, 0.0, 10_000.0]])
    assert metrics.noise_tolerance(logits).tolist() == pytest.approx([0.3, 0, 1], abs=1e-7)


@given(arrays(np.float64, (6, 4), elements=st.floats(-50, 50)), st.booleans())
def test_nte_never_exceeds_acac(logits, targeted):
    """The identity NTE <= ACAC: the top less the second is at most the top, over the same successes."""
    logits, y = torch.from_numpy(logits), torch.tensor([0, 1, 2, 3, 0, 1])
    target = (y + 1) % 4 if targeted else None
    success = metrics.succeeded(logits, y, target)
    nte = metrics.mean_over_successes(metrics.noise_tolerance(logits), success)
    acac = metrics.wrong_confidence(logits, y, target)
    assert math.isnan(nte) and math.isnan(acac) if not success.any() else 0 <= nte <= acac


def test_confidences_by_hand():
    """Odds 6 : 3 : 1: the label's own share; their means over the successes are ACAC and ACTC."""
    logits = torch.tensor([[math.log(3.0), math.log(6.0), 0.0]]).double().repeat(3, 1)
    assert metrics.confidences(logits, torch.arange(3)).tolist() == pytest.approx([0.3, 0.6, 0.1])


def test_survival_divides_by_the_successes_and_not_by_all():
    """By hand: of three successes one survives; an image that fools only after the transformation does not count."""
    assert metrics.survival(flags(YES, YES, YES, NO), flags(YES, NO, NO, YES)) == pytest.approx(1 / 3)
    assert math.isnan(metrics.survival(flags(NO, NO), flags(YES, NO)))
    assert math.isnan(metrics.survival(flags(), flags()))


def test_destruction_rate_by_hand():
    """Equation 1: five images; one was wrong from the start, one not fooled, of three fooled two are right again."""
    clean = flags(NO, YES, YES, YES, YES)
    adversarial = flags(NO, YES, NO, NO, NO)
    transformed = flags(YES, YES, YES, YES, NO)
    assert metrics.destruction_rate(clean, adversarial, transformed) == pytest.approx(2 / 3)
    assert math.isnan(metrics.destruction_rate(clean[:2], adversarial[:2], transformed[:2]))


@given(arrays(bool, (12, 2)))
def test_what_survives_is_not_destroyed(right):
    """The identity destruction = 1 - survival, of an untargeted attack on images that were right."""
    adversarial, transformed = torch.from_numpy(right).T
    lost = metrics.destruction_rate(torch.ones(12, dtype=torch.bool), adversarial, transformed)
    kept = metrics.survival(~adversarial, ~transformed)
    assert lost == pytest.approx(1 - kept, nan_ok=True)


def test_efficiency_of_an_attack():
    """BIM without early stop takes `steps` passes for an image each way; seconds and device are the record's own."""
    x, y = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 0, 1])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
    result = attacks.BIM(eps=0.1, alpha=0.03, steps=5, keep="last").run(model, x, y)
    cost = metrics.efficiency(result, memory=12.5)
    assert cost.seconds == result.seconds / 4
    assert cost.forward_passes == result.forward_passes / 4 and cost.backward_passes == 5
    assert (cost.memory, cost.images, cost.device) == (12.5, 4, "cpu")
    assert math.isnan(metrics.efficiency(result).memory)


def test_efficiency_of_no_images_is_nan():
    """A mean over no images has no value."""
    record = SimpleNamespace(images=torch.zeros(0, 1, 2, 2), seconds=0.1, forward_passes=0, backward_passes=0)
    cost = metrics.efficiency(record)
    assert math.isnan(cost.seconds) and math.isnan(cost.forward_passes) and math.isnan(cost.backward_passes)


def filled(mib):
    """A tensor of so many MiB, every page of it written."""
    return torch.ones(mib * 2**18)


def test_slowdown_is_the_ratio_of_the_times():
    """A function that waits four times as long as the other, in turns, after a call of each that does not count."""
    calls = []

    def wait(name, seconds):
        calls.append(name)
        time.sleep(seconds if len(calls) > 2 else 0.3)

    ratio = metrics.slowdown(lambda: wait("run", 0.04), lambda: wait("reference", 0.01), repeats=3)
    assert 2 < ratio < 8 and calls == ["run", "reference"] * 4


def test_peak_memory_sees_what_was_freed_before_the_end_and_not_what_was_held_before():
    """Tensors of known size: 192 MiB inside, freed at once, beside 64 MiB from before."""
    before = filled(64)
    memory = metrics.PeakMemory()
    assert math.isnan(memory.mib)
    with memory:
        inside = filled(192)
        time.sleep(0.05)
        del inside
    assert 190 < memory.mib < 250 and len(before)


def test_peak_memory_of_nothing_is_small_and_starts_anew():
    """The same object measures again; a block that takes nothing takes nothing."""
    memory = metrics.PeakMemory()
    with memory:
        inside = filled(192)
        time.sleep(0.05)
        del inside
    with memory:
        time.sleep(0.02)
    assert 0 <= memory.mib < 10


def test_peak_memory_ends_its_thread_when_the_block_fails():
    """The number of threads of this process is as before, and the error comes through."""
    before = threading.active_count()
    with pytest.raises(KeyError), metrics.PeakMemory() as memory:
        assert threading.active_count() == before + 1
        raise KeyError
    assert threading.active_count() == before and memory.mib >= 0


BAD = {
    "logits of one class": (
        lambda: metrics.noise_tolerance(torch.ones(3, 1)),
        r"logits: got shape \(3, 1\).*K >= 2",
    ),
    "NaN logits": (
        lambda: metrics.noise_tolerance(torch.full((1, 3), math.nan)),
        r"logits: got NaN or infinite values",
    ),
    "NaN logits are no misclassification": (
        lambda: metrics.misclassification_rate(
            torch.full((1, 3), math.nan), torch.zeros(1, dtype=torch.long)
        ),
        r"logits: got NaN or infinite values; allowed are finite logits",
    ),
    "another length": (
        lambda: metrics.survival(flags(YES), flags(YES, NO)),
        r"success_after: got 2 .* allowed are 1",
    ),
    "a list": (
        lambda: metrics.survival([True], flags(YES)),
        r"success: got list; allowed is a tensor or array",
    ),
    "numbers": (
        lambda: metrics.destruction_rate(flags(YES), torch.ones(1), flags(YES)),
        r"adv_right: got torch.float32; allowed is bool",
    ),
    "no such device": (lambda: metrics.PeakMemory("abacus"), r"device: got 'abacus'"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_refused_by_name(kind):
    """The expected sentence is written out by hand for each kind."""
    call, message = BAD[kind]
    with pytest.raises(InputError, match=message):
        call()


def test_optimality_is_the_area_between_the_curves():
    """The mean distances stand for areas under accuracy against distance, integrated here on a fine grid, cut at the widest."""
    least = torch.tensor([0.5, 1.0, 1.5, 2.0])
    found = torch.tensor([0.5, 1.25, math.inf, 2.5])
    grid = torch.linspace(0, 2, 200_001, dtype=torch.float64)
    area, best = ((d.double().unsqueeze(1) > grid).double().mean(0).mean().item() * 2 for d in (found, least))
    expected = 1 - (area - best) / (2 - best)
    assert metrics.optimality(found, least) == pytest.approx(expected, abs=1e-4)
    assert metrics.optimality(found, least) == pytest.approx(1 - (5.75 - 5) / (8 - 5))
    assert metrics.optimality(least, least) == 1
    assert metrics.optimality(torch.full((4,), math.inf), least) == 0
    assert math.isnan(metrics.optimality(least[:1], least[:1]))
    assert math.isnan(metrics.optimality(least[:0], least[:0]))


@pytest.mark.parametrize(
    ("distance", "least", "named"),
    [([1.0, 2.0], [0.0, 2.0], "least"), ([1.0], [math.inf], "least"), ([0.5], [1.0], "distance")]
    + [([math.nan], [1.0], "distance"), ([1.0], [1.0, 2.0], "distance")],
)
def test_optimality_refuses_what_means_nothing(distance, least, named):
    """Distances that are 0, not finite, or below the least of all."""
    with pytest.raises(InputError, match=f"^{named}: "):
        metrics.optimality(torch.tensor(distance), torch.tensor(least))
