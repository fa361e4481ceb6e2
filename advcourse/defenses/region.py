"""Region-based classification: a vote over the neighbourhood of an image."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcourse.core.inputs import (
    InputError,
    accuracy,
    ask,
    check_images,
    check_labels,
    check_model,
    check_range,
    evaluating,
)
from advcourse.defenses.draws import check_seed, generator


class Vote(nn.Module):
    """A model's most frequent class under noise. Subclasses say which: `noisy(x, g)` returns noisy images.

    The logits are log((v_k + 1/2) / (m + K/2)) for votes v_k of m = `samples` voters: the log of the share, with half a vote
    added to each class, which is finite for a class without votes and keeps the order of the votes. Votes are step functions,
    so the gradient is 0.
    """

    def __init__(self, model: nn.Module, samples: int, batch_size: int, seed: int | None):
        super().__init__()
        if not isinstance(model, nn.Module):
            raise InputError(f"model: got {model!r}; allowed is a torch.nn.Module")
        self.model, self.seed = model, check_seed(seed)
        self.samples = check_range(samples, "samples", 1, integer=True)
        self.batch_size = check_range(batch_size, "batch_size", 1, integer=True)

    def noisy(self, x: Tensor, g: torch.Generator | None = None) -> Tensor:
        """Return `x` (N, C, H, W) with new noise from `g`, or from the global random state if it is None."""
        raise NotImplementedError

    def votes(self, x: Tensor) -> Tensor:
        """Return how many of the `samples` voters vote for each class, (N, K) int64."""
        g, votes = generator(self.seed), None
        with torch.no_grad():
            for voters in torch.arange(len(x) * self.samples, device=x.device).split(self.batch_size):
                image = voters // self.samples
                logits = ask(self.model, self.noisy(x.detach()[image], g))
                if votes is None:
                    votes = logits.new_zeros(len(x), logits.shape[1], dtype=torch.long)
                votes.index_add_(0, image, F.one_hot(vote_of(logits), logits.shape[1]))
        return votes

    def forward(self, x: Tensor) -> Tensor:
        votes = self.votes(x).to(x)
        shares = (votes + 0.5) / (self.samples + votes.shape[1] / 2)
        if not x.requires_grad:
            return shares.log()
        # Gives x a gradient of 0, that of a step function.
        return shares.log() + (0 * x).flatten(1).sum(1, keepdim=True)


def vote_of(logits: Tensor) -> Tensor:
    """Return the class with the largest logit, (N,); `InputError` for logits (N, K) that are not finite, where NaN would win."""
    if not torch.isfinite(logits).all():
        raise InputError(
            "model: returned logits that are NaN or infinite for noisy images; allowed are finite logits (is the noise too "
            "large?)"
        )
    return logits.argmax(1)


class UniformNoise(nn.Module):
    """A model with uniform input noise: f(clip(x + u)), u drawn from the cube of half-side `radius` for each image and pass.

    It is a voter of `RegionClassifier` with a gradient: `attacks.EOT(UniformNoise(model, r), n)` is the mean of n voters' logits.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K).
        radius: r, in units of the pixel range [0, 1].
        seed: None (default) for new noise in each pass, from the global random state; a number for the same in every pass.
    """

    def __init__(self, model: nn.Module, radius: float, seed: int | None = None):
        super().__init__()
        if not isinstance(model, nn.Module):
            raise InputError(f"model: got {model!r}; allowed is a torch.nn.Module")
        self.model, self.seed = model, check_seed(seed)
        self.radius = check_range(radius, "radius", 0, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(_noisy(x, self.radius, generator(self.seed)))


def _noisy(x, radius, g):
    u = radius * (2 * torch.rand(x.shape, generator=g) - 1)
    return (x + u.to(x)).clamp(0, 1)


class RegionClassifier(Vote):
    """The model's most frequent class in a cube around the image: argmax_k sum_j 1[f(clip(x + u_j)) = k], u_j uniform.

    Paper: Cao and Gong 2017, "Mitigating Evasion Attacks to Deep Neural Networks via Region-based Classification"
    (arXiv 1709.05583). Unlike randomised smoothing, which votes under Gaussian noise, it has no statistical test and no proof.

    What breaks it: a point whose whole neighbourhood is misclassified. `OptMargin` (He, Li and Song 2018, "Decision Boundary
    Analysis of Adversarial Examples"); PGD on the mean logits of noisy copies, `PGD()(EOT(defense.voter(), 30), x, y)`; and
    `CWL2(confidence=...)` on the model itself, which ignores the defense.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K).
        radius: r, half the side of the cube, in units of the pixel range [0, 1] (default 0.3, the paper's for MNIST; 0.02 for
            CIFAR-10). `choose_radius` finds it.
        samples: m, the number of voters (default 1000; the paper uses 10 000 on MNIST, 1000 on CIFAR-10).
        batch_size: noisy images that go through the model together (default 1000).
        seed: None (default) for new noise in each forward pass, from the global random state; a number for the same in
            every pass.

    Raises:
        InputError: the model is not an `nn.Module`, or an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        radius: float = 0.3,
        samples: int = 1000,
        batch_size: int = 1000,
        seed: int | None = None,
    ):
        super().__init__(model, samples, batch_size, seed)
        self.radius = check_range(radius, "radius", 0, 1)

    def noisy(self, x: Tensor, g: torch.Generator | None = None) -> Tensor:
        return _noisy(x, self.radius, g)

    def voter(self) -> UniformNoise:
        """Return one voter, with a gradient: images to the model's logits under new noise."""
        return UniformNoise(self.model, self.radius)


def choose_radius(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    samples: int = 1000,
    step: float = 0.01,
    tolerance: float = 0.01,
    seed: int = 0,
) -> float:
    """Return the largest radius at which the vote is at most `tolerance` less accurate on clean images than the model.

    Cao and Gong 2017: r grows by `step` until the accuracy falls lower; the last r before that is returned, or 0 if even
    the first is too large. The noise depends only on `seed`.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K).
        x, y: validation images (N, C, H, W) in [0, 1] and their labels (N,), N >= 1; not those that the defense is evaluated on.
        samples: number of voters (default 1000).
        step: increment of the radius, in units of the pixel range (default 0.01).
        tolerance: share of the images (default 0.01, one percentage point).
        seed: seed of the noise (default 0).

    Raises:
        InputError: there are no images, or images, labels or numbers are out of range.
    """
    check_model(model, check_images(x))
    y = check_labels(y, x)
    check_range(samples, "samples", 1, integer=True)
    check_range(step, "step", 0, 1, exclusive_low=True)
    check_range(tolerance, "tolerance", 0, 1)
    check_seed(seed)
    if not len(x):
        raise InputError("x: got no images; allowed is at least one")
    lowest, steps = accuracy(model, x, y) - tolerance, 0
    with evaluating(model):
        while (steps + 1) * step <= 1:
            vote = RegionClassifier(model, (steps + 1) * step, samples, seed=seed)
            if accuracy(vote, x, y) < lowest - 1e-9:  # 0.01 has no exact floating-point number
                break
            steps += 1
    return steps * step
