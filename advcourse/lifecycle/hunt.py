"""Neural Cleanse: the smallest trigger that turns every image into a class. A backdoored class has a far smaller one."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcourse.core.errors import DoubtfulResultWarning, warn
from advcourse.core.inputs import (
    InputError,
    ask,
    check_images,
    check_model,
    check_range,
    check_seed,
    evaluating,
    predict,
)

_MAD = 1.4826  # times the median absolute deviation estimates a normal distribution's standard deviation
_UP, _DOWN, _PATIENCE = 1.5, 1.84, 5  # 1.84 = 1.5^1.5: the weight falls faster than it rises


@dataclass(frozen=True)
class Hunt:
    """The triggers that `hunt_triggers` found, one for each of the K classes.

    Attributes:
        masks: (K, 1, H, W) in [0, 1], zero where no trigger was found.
        patterns: (K, C, H, W) in [0, 1].
        norms: (K,) sum of each mask, in pixels, float64; infinite where no trigger turned enough of the images.
        fires: (K,) share of the images that the trigger turns into the class, float64.
        index: (K,) `anomaly_index` of the norms; NaN where it cannot be told, since half of the classes have no trigger.
        ratio: (K,) norm / median of the norms, of two middle ones the mean.
    """

    masks: Tensor
    patterns: Tensor
    norms: Tensor
    fires: Tensor

    @property
    def index(self) -> Tensor:
        return anomaly_index(self.norms)

    @property
    def ratio(self) -> Tensor:
        return self.norms / _median(self.norms)

    @property
    def suspect(self) -> int:
        """The class with the smallest trigger."""
        return int(self.norms.argmin())

    def flagged(self, limit: float = 2.0) -> Tensor:
        """Return which classes have an anomaly index above `limit` (default 2, the paper's): (K,) bool; NaN flags nothing."""
        return self.index > check_range(limit, "limit", 0)

    def stamp(self, x: Tensor, label: int) -> Tensor:
        """Return the images `x` (N, C, H, W) with the trigger that was found for the class `label`."""
        label = check_range(label, "label", 0, len(self.masks) - 1, integer=True)
        mask, pattern = (part[label].to(check_images(x)) for part in (self.masks, self.patterns))
        return (1 - mask) * x + mask * pattern


def anomaly_index(norms: Tensor) -> Tensor:
    """Return (median - norm) / (1.4826 MAD) for norms below the median, and 0 for the others: (K,), float64.

    Source: Wang et al. 2019, section 4.2. MAD is the median of |norm - median|. Only small triggers are suspicious, but the
    formula with an absolute value, as often printed, also flags classes with large ones. An infinite norm, of a class without
    any trigger, lies above the median and counts in it. If the norms are equal, no class is an outlier.

    If half of the norms or more are infinite, there is neither a median nor a spread to compare with: the index of the others
    is NaN. A search that was too short for most classes would otherwise accuse those in which it succeeded. And if more than
    half of the norms are equal, their spread is 0, and a smaller one has an infinite index.

    Args:
        norms: (K,), K >= 3, each >= 0 or infinite; NaN counts as infinite. With two classes each lies as far from the median as
            the other, so that nothing can stand out; three classes can tell little.

    Raises:
        InputError: not such a tensor.
    """
    fits = (
        isinstance(norms, Tensor)
        and norms.dim() == 1
        and norms.dtype != torch.bool
        and not norms.is_complex()
    )
    if not fits or len(norms) < 3 or (norms < 0).any():
        raise InputError("norms: got something else; allowed is a tensor (K,) of K >= 3 numbers from 0 on")
    norms = norms.detach().double().nan_to_num(nan=torch.inf, posinf=torch.inf)
    median = _median(norms)
    below = norms < median
    if not torch.isfinite(median):
        return torch.where(below, torch.nan, 0.0).double()
    spread = _MAD * _median((norms - median).abs())
    return torch.where(below, (median - norms) / spread, 0.0)


def hunt_triggers(
    model: nn.Module,
    x: Tensor,
    steps: int = 120,
    goal: float = 0.97,
    weight: float = 1e-3,
    lr: float = 0.1,
    runs: int = 3,
    seed: int = 0,
) -> Hunt:
    """Look for the smallest trigger of every class, all classes in one batch.

    Source: Wang, Yao, Shan, Li, Viswanath, Zheng and Zhao 2019, "Neural Cleanse: Identifying and Mitigating Backdoor Attacks in
    Neural Networks", equation 3 (IEEE S&P): minimise the mean of J(f((1 - m) x + m p), k) + weight * |m|_1 over mask m and
    pattern p, both sigmoids. As in the authors' code, the weight of the norm rises by 1.5 after five steps that turn more
    than `goal` of the images, and falls by 1.84 after five that do not; the smallest mask that reached the goal is kept.

    What the search finds depends on where it starts. So it runs three times, and each class gets the run with the median norm.
    Read the norms beside those of a clean network: an index above 2 occurs there, too.

    What breaks it: a trigger that works on one class alone, so that no mask turns the others. A faint trigger all over the image
    does not: networks that learnt one also obey a small mask. See `contest`.

    Images of 16 bits are searched in float32, since their sums over a mask would be rounded to whole pixels; the model is asked
    in its own type.

    Args:
        model: images to logits (N, K), K >= 3: two classes have nothing to be compared with.
        x: clean images (N, C, H, W) in [0, 1]; all of them are used in each step, for each class (two or three dozen suffice).
        steps: Adam's steps, with betas (0.5, 0.9) (default 120).
        goal: share of the images that a trigger must turn (default 0.97).
        weight: of the norm, at the start (default 0.001).
        lr: Adam's rate (default 0.1).
        runs: how many searches, an odd number (default 3).
        seed: of the starting points (default 0).

    Returns:
        a `Hunt`, on the device of `x`. A `DoubtfulResultWarning` says that half of the classes or more have no trigger.

    Raises:
        InputError: a setting out of range, no images, two classes, or input that breaks the model's contract.
    """
    if not len(check_images(x)):
        raise InputError("x: got no images; allowed is one or more")
    check_model(model, x)
    steps = check_range(steps, "steps", 1, integer=True)
    goal = check_range(goal, "goal", 0, 1, exclusive_low=True)
    weight = check_range(weight, "weight", 0, exclusive_low=True)
    lr = check_range(lr, "lr", 0, exclusive_low=True)
    if check_range(runs, "runs", 1, integer=True) % 2 == 0:
        raise InputError(f"runs: got {runs}; allowed is an odd number, whose median is one of them")
    check_seed(seed)
    classes = predict(model, x[:1]).shape[1]
    if classes < 3:
        raise InputError(
            f"model: got {classes} classes; allowed are 3 or more, since of two triggers neither can stand out"
        )
    with evaluating(model), torch.enable_grad():
        found = [
            _search(model, x.detach(), classes, steps, goal, weight, lr, seed, run) for run in range(runs)
        ]
    masks, patterns, norms, fires = (torch.stack(parts) for parts in zip(*found))
    middle = norms.argsort(0)[runs // 2]
    each = torch.arange(classes, device=x.device)
    masks, patterns, norms, fires = (part[middle, each] for part in (masks, patterns, norms, fires))
    lost = int(norms.isinf().sum())
    if 2 * lost >= classes:
        warn(
            f"hunt_triggers: found no trigger for {lost} of {classes} classes, so that the others have nothing to be compared "
            "with; allow more steps, or a lower goal",
            DoubtfulResultWarning,
        )
    return Hunt(masks, patterns, norms.double(), fires.double())


def _search(model, x, classes, steps, goal, weight, lr, seed, run):
    """One run: the masks, patterns, norms and success of each class."""
    n, shape, kind = len(x), x.shape[1:], x.dtype
    x = x.float() if kind.itemsize < 4 else x
    generator = torch.Generator().manual_seed((seed + run) % 2**63)
    raw_mask = torch.randn(classes, 1, *shape[1:], generator=generator).to(x).requires_grad_()
    raw_pattern = torch.randn(classes, *shape, generator=generator).to(x).requires_grad_()
    labels = torch.arange(classes, device=x.device).repeat_interleave(n)
    stepper = torch.optim.Adam([raw_mask, raw_pattern], lr=lr, betas=(0.5, 0.9))
    best = _Smallest(classes, shape, x)
    weights = _Weights(classes, weight, goal, x)
    for _ in range(steps):
        mask, pattern = raw_mask.sigmoid(), raw_pattern.sigmoid()
        stamped = (1 - mask)[:, None] * x + (mask * pattern)[:, None]
        logits = ask(model, stamped.flatten(0, 1).to(kind)).to(x.dtype)
        loss = F.cross_entropy(logits, labels, reduction="none").view(classes, n).mean(1)
        norms = mask.flatten(1).sum(1)
        fires = (logits.detach().argmax(1) == labels).view(classes, n).to(x.dtype).mean(1)
        best.offer(fires >= goal, norms.detach(), mask.detach(), pattern.detach(), fires)
        total = (
            loss + weights.values * norms
        ).sum()  # the classes share no parameter, so their sum descends each by itself
        raw_mask.grad, raw_pattern.grad = torch.autograd.grad(total, (raw_mask, raw_pattern))
        stepper.step()
        weights.update(fires)
    return best.masks, best.patterns, best.norms, best.fires


class _Smallest:
    """For each class the smallest mask so far that reached the goal."""

    def __init__(self, classes, shape, like):
        self.masks = like.new_zeros(classes, 1, *shape[1:])
        self.patterns = like.new_zeros(classes, *shape)
        self.norms = like.new_full((classes,), torch.inf)
        self.fires = like.new_zeros(classes)

    def offer(self, reached, norms, masks, patterns, fires):
        better = reached & (norms < self.norms)
        for name, new in (("masks", masks), ("patterns", patterns), ("norms", norms), ("fires", fires)):
            getattr(self, name)[better] = new[better]


class _Weights:
    """The weight of each class's norm: raised after five steps in a row above the goal, lowered after five below it."""

    def __init__(self, classes, weight, goal, like):
        self.values = like.new_full((classes,), weight)
        self.goal = goal
        self.above, self.below = (
            torch.zeros(classes, dtype=torch.long, device=like.device) for _ in range(2)
        )

    def update(self, fires):
        reached = fires >= self.goal
        self.above = torch.where(reached, self.above + 1, 0)
        self.below = torch.where(reached, 0, self.below + 1)
        for count, factor in ((self.above, _UP), (self.below, 1 / _DOWN)):
            due = count >= _PATIENCE
            self.values = torch.where(due, self.values * factor, self.values)
            count[due] = 0


def _median(values):
    """The median, the mean of the two middle values for an even number; torch's own takes the lower one."""
    low, high = values.sort().values[[(len(values) - 1) // 2, len(values) // 2]]
    return low if low == high else (low + high) / 2
