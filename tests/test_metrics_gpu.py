"""All metrics on a GPU against the same on the CPU."""

import math

import pytest
import torch

from advcourse import metrics

G = torch.Generator().manual_seed(0)
X, NOISE = torch.rand(6, 3, 12, 10, generator=G), 0.1 * torch.randn(6, 3, 12, 10, generator=G)
X_ADV = (X + NOISE).clamp(0, 1)
RAW, CHANGE = torch.randn(6, 4, generator=G), torch.randn(6, 4, generator=G)
DEFENDED = RAW + 0.3 * CHANGE
Y = RAW.argmax(1).where(torch.arange(6) > 0, 3 - RAW.argmax(1))
SCORES, FOOLED = torch.rand(6, generator=G), torch.arange(6) % 2 == 0

CALLS = {
    "l0": (metrics.l0, X, X_ADV),
    "l1": (metrics.l1, X, X_ADV),
    "l2": (metrics.l2, X, X_ADV),
    "linf": (metrics.linf, X, X_ADV),
    "ssim": (metrics.ssim, X, X_ADV),
    "psd": (metrics.psd, X, X_ADV),
    "mean_over_successes": (metrics.mean_over_successes, SCORES, FOOLED),
    "median_with_failures": (metrics.median_with_failures, SCORES, FOOLED),
    "median_with_interval": (
        lambda *given: torch.tensor(list(vars(metrics.median_with_interval(*given)).values())),
        SCORES,
        SCORES > 0.2,
    ),
    "share_with_interval": (
        lambda flags: torch.tensor(list(vars(metrics.share_with_interval(flags)).values())),
        FOOLED,
    ),
    "margin": (metrics.margin, RAW, Y),
    "succeeded": (metrics.succeeded, RAW, Y),
    "misclassification_rate": (metrics.misclassification_rate, RAW, Y),
    "wrong_confidence": (metrics.wrong_confidence, RAW, Y),
    "true_confidence": (metrics.true_confidence, RAW, Y),
    "confidences": (metrics.confidences, RAW, Y),
    "noise_tolerance": (metrics.noise_tolerance, RAW),
    "optimality": (metrics.optimality, 1 + SCORES, 0.5 + SCORES.square() / 2),
    "survival": (metrics.survival, FOOLED, SCORES > 0.5),
    "destruction_rate": (metrics.destruction_rate, ~FOOLED | FOOLED, FOOLED, SCORES > 0.5),
    "classification_accuracy_variance": (metrics.classification_accuracy_variance, RAW, DEFENDED, Y),
    "classification_rectify_ratio": (metrics.classification_rectify_ratio, RAW, DEFENDED, Y),
    "classification_sacrifice_ratio": (metrics.classification_sacrifice_ratio, RAW, DEFENDED, Y),
    "classification_confidence_variance": (metrics.classification_confidence_variance, RAW, DEFENDED, Y),
    "classification_output_stability": (metrics.classification_output_stability, RAW, DEFENDED, Y),
    "utility": (lambda *given: torch.tensor(list(vars(metrics.utility(*given)).values())), RAW, DEFENDED, Y),
    "true_positive_rate": (
        lambda scores, fooled: metrics.true_positive_rate(scores, 0.5, fooled),
        SCORES,
        FOOLED,
    ),
    "false_positive_rate": (lambda scores: metrics.false_positive_rate(scores, 0.5), SCORES),
    "roc": (lambda clean, scores: torch.tensor(metrics.roc(clean, scores)[1]), SCORES, SCORES.square()),
    "auc": (metrics.auc, SCORES, SCORES.square()),
    "threshold_at": (lambda scores: metrics.threshold_at(scores, 0.2), SCORES),
    "attacker_win_rate": (
        lambda scores, fooled: metrics.attacker_win_rate(scores, fooled, 0.5),
        SCORES,
        FOOLED,
    ),
}


def test_every_metric_is_tried():
    """The public names of the room, less those that hold or measure a cost and take no tensor."""
    costs = {"Efficiency", "efficiency", "PeakMemory", "Utility", "slowdown"}
    assert CALLS.keys() == set(metrics.__all__) - costs


@pytest.mark.gpu
@pytest.mark.parametrize("name", CALLS)
def test_a_gpu_gives_the_cpus_numbers(name):
    """The CPU's numbers; the order of float64 sums may differ."""
    metric, *given = CALLS[name]
    there = metric(*(tensor.cuda() for tensor in given))
    if isinstance(there, torch.Tensor):
        there = there.cpu().double().tolist()
    truth = metric(*given)
    truth = truth.double().tolist() if isinstance(truth, torch.Tensor) else truth
    assert there == pytest.approx(truth, abs=1e-10, nan_ok=True)


@pytest.mark.gpu
def test_peak_memory_on_a_gpu():
    """torch's own counter on a tensor of 64 MiB that is freed inside, beside 32 MiB from before."""
    before = torch.ones(32 * 2**18, device="cuda")
    with metrics.PeakMemory("cuda") as memory:
        assert math.isnan(memory.mib)
        inside = torch.ones(64 * 2**18, device="cuda")
        del inside
    assert memory.mib == 64 and len(before)
