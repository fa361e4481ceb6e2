"""Randomised smoothing: a vote under Gaussian noise whose answer can be proven not to change within a radius."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional as F

from advcourse.core.inputs import (
    InputError,
    ask,
    check_classes,
    check_field,
    check_images,
    check_labels,
    check_model,
    check_range,
    evaluating,
)
from advcourse.core.inputs import check_seed as check_fixed_seed
from advcourse.core.intervals import Interval, counted
from advcourse.core.randomness import seeded
from advcourse.defenses.region import Vote, vote_of

ABSTAINED = -1  # the label of an image on which nothing can be said


@dataclass(frozen=True)
class Certificate:
    """What was proven of N images, each with a probability of error of at most alpha.

    Attributes:
        label: (N,), the smoothed model's class; -1 where it abstains.
        radius: (N,), the L2 radius within which that class is proven not to change; 0 where it abstains.
        count: (N,), how many of the n draws voted for the class that was chosen.
    """

    label: Tensor
    radius: Tensor
    count: Tensor

    def accuracy(self, y: Tensor, radius: float = 0.0) -> Interval:
        """Return the certified accuracy: the share of the images with the right label `y` (N,) and at least this radius.

        An image on which the model abstains counts as misread, at every radius.
        """
        radius = check_range(radius, "radius", 0)
        y = check_labels(y, self.label)
        return counted(int(((self.label == y) & (self.radius >= radius)).sum()), len(y))


class GaussianNoise(nn.Module):
    """A model with Gaussian input noise, f(x + e), e normal of deviation `sigma`, drawn anew in each pass, not clipped.

    It is a voter of `Smoothed` with a gradient: `attacks.EOT(GaussianNoise(model, sigma), n)` is the mean of n voters' logits.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K).
        sigma: in units of the pixel range (default 0.5).
    """

    def __init__(self, model: nn.Module, sigma: float = 0.5):
        super().__init__()
        if not isinstance(model, nn.Module):
            raise InputError(f"model: got {model!r}; allowed is a torch.nn.Module")
        self.model, self.sigma = model, check_range(sigma, "sigma", 0)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x + self.sigma * torch.randn(x.shape).to(x))


class Smoothed(Vote):
    """A model smoothed by Gaussian noise: the class that f(x + e) gives most often, e normal of deviation sigma.

    Paper: Cohen, Rosenfeld and Kolter 2019, "Certified Adversarial Robustness via Randomized Smoothing", algorithms PREDICT and
    CERTIFY (arXiv 1902.02918). If the class A has a probability of at least p > 1/2 under the noise, then no change of an L2
    length below sigma * Phi^-1(p) makes another class the most frequent. p is bounded from below by the votes of n draws, which
    are others than the n0 draws that chose A. The noise is not clipped to [0, 1]: the proof needs all of it.

    `certify` proves; `predict` answers, or abstains; a forward pass gives the logarithms of the shares of `samples` votes, with
    half a vote added to each class, so that attacks can be run. Train the model with `GaussianAugmentation(sigma)`, for one that
    has never seen the noise guesses.

    What the proof does not say: nothing about another norm (an L-infinity ball of 0.3 around a digit reaches to an L2 length of
    8.4), nothing about a label that is wrong from the start, and with probability alpha nothing at all.

    What breaks it: no attack inside the radius. Beyond it, PGD on the mean logits of noisy copies,
    `PGD(norm="L2")(EOT(smoothed.voter(), 30), x, y)` (Salman et al. 2019, arXiv 1906.04584).

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K).
        sigma: standard deviation of the noise, in units of the pixel range, above 0 (default 0.5).
        samples: votes in a forward pass (default 100).
        batch_size: noisy images that go through the model together (default 1000).
        seed: None (default) for new noise in each forward pass, from the global random state; a number for the same in every
            pass.

    Raises:
        InputError: the model is not an `nn.Module`, or an argument is out of range.

    Example:
        >>> certificate = Smoothed(models.load("mnist-smoothed"), 0.5).certify(x, n=1000)
        >>> certificate.accuracy(y, radius=0.5)
    """

    def __init__(
        self,
        model: nn.Module,
        sigma: float = 0.5,
        samples: int = 100,
        batch_size: int = 1000,
        seed: int | None = None,
    ):
        super().__init__(model, samples, batch_size, seed)
        self.sigma = check_range(sigma, "sigma", 0, exclusive_low=True)

    def noisy(self, x: Tensor, g: torch.Generator | None = None) -> Tensor:
        return x + self.sigma * torch.randn(x.shape, generator=g).to(x)

    def voter(self) -> "GaussianNoise":
        """Return one voter, with a gradient: images to the model's logits under new noise."""
        return GaussianNoise(self.model, self.sigma)

    def predict(self, x: Tensor, n: int = 1000, alpha: float = 0.001, seed: int = 0) -> Tensor:
        """Return the most frequent class of each image `x` (N, C, H, W), or -1 where it can't be told from the next: (N,).

        Args:
            n: draws for each image (default 1000).
            alpha: the largest probability of a wrong answer, by a two-sided binomial test of the two most frequent classes
                (default 0.001).
            seed: seed of the draws, which depend on an image's place in `x` and on `batch_size` (default 0).
        """
        n, alpha, seed = _settings(n, alpha, seed)
        (counts,) = self._counts(check_images(x), (n,), seed)
        top = counts.topk(2, dim=1)
        first, second = top.values.unbind(1)
        sure = [stats.binomtest(a, a + b).pvalue <= alpha for a, b in zip(first.tolist(), second.tolist())]
        return torch.where(torch.tensor(sure, dtype=torch.bool), top.indices[:, 0], ABSTAINED).to(x.device)

    def certify(
        self, x: Tensor, n0: int = 100, n: int = 1000, alpha: float = 0.001, seed: int = 0
    ) -> Certificate:
        """Prove for each image `x` (N, C, H, W) within which L2 radius the most frequent class stays the same.

        Args:
            n0: draws that choose the class (default 100).
            n: further draws, which bound its probability (default 1000; the paper takes 100 000). They limit the radius:
                with 1000 it is at most 2.46 * sigma, with 10 000 3.20 * sigma.
            alpha: the largest probability that a certificate is wrong (default 0.001).
            seed: seed of the draws, which depend on an image's place in `x` and on `batch_size` (default 0).

        Raises:
            InputError: an argument is out of range, or n is so small that no vote could prove anything.
        """
        n, alpha, seed = _settings(n, alpha, seed)
        n0 = check_range(n0, "n0", 1, integer=True)
        least = int(np.floor(np.log(alpha) / np.log(0.5))) + 1
        if n < least:
            raise InputError(
                f"n: got {n}; allowed are at least {least}: with fewer draws not even a unanimous vote shows, at "
                f"alpha={alpha:g}, that a class has more than half of the probability"
            )
        choosing, bounding = self._counts(check_images(x), (n0, n), seed)
        chosen = choosing.argmax(1, keepdim=True) if len(x) else choosing.new_zeros(0, 1)
        count = bounding.gather(1, chosen).squeeze(1)
        p = torch.from_numpy(np.atleast_1d(lower_bound(count.cpu().numpy(), n, alpha))).to(x.device)
        proven = p > 0.5
        radius = torch.where(proven, self.sigma * torch.special.ndtri(p.clamp(0.5, 1)), 0.0)
        return Certificate(torch.where(proven, chosen.squeeze(1), ABSTAINED), radius, count)

    def _counts(self, x, draws, seed):
        """Return the votes (N, K) of each number of draws; all draws of an image come from one generator of its own."""
        check_model(self.model, x)
        counts = [[] for _ in draws]
        with evaluating(self.model), torch.no_grad(), seeded(x.device, seed):
            classes = ask(self.model, x.new_zeros(1, *x.shape[1:])).shape[1]
            for place, image in enumerate(x.detach()):
                state = np.random.SeedSequence((seed, place)).generate_state(1, np.uint64)[0]
                g = torch.Generator().manual_seed(int(state))
                for n, rows in zip(draws, counts):
                    rows.append(self._vote(image, n, classes, g))
        return [torch.stack(rows) if rows else x.new_zeros(0, classes, dtype=torch.long) for rows in counts]

    def _vote(self, image, n, classes, g):
        votes = torch.zeros(classes, dtype=torch.long, device=image.device)
        for first in range(0, n, self.batch_size):
            copies = image.expand(min(self.batch_size, n - first), *image.shape)
            logits = ask(self.model, self.noisy(copies, g))
            votes += vote_of(logits).bincount(minlength=classes)
        return votes


def _settings(n, alpha, seed):
    alpha = check_range(alpha, "alpha", 0, 0.5, exclusive_low=True)
    return check_range(n, "n", 1, integer=True), alpha, check_fixed_seed(seed)


def lower_bound(k: int | np.ndarray, n: int, alpha: float) -> float | np.ndarray:
    """Return the one-sided lower bound of Clopper and Pearson (1934) for a probability: `k` successes in `n` draws.

    The bound is above the true probability with probability `alpha` at most.

    Args:
        k: successes, one number or an array, 0 to n.
        n: draws.
        alpha: in (0, 1).
    """
    k = np.asarray(k)
    bound = np.where(k > 0, stats.beta.ppf(alpha, np.maximum(k, 1), n - k + 1), 0.0)
    return bound if bound.ndim else float(bound)


@dataclass(frozen=True)
class GaussianAugmentation:
    """The training objective of smoothed models: the cross-entropy on x + e, e normal, drawn anew for each batch, not clipped.

    Paper: Cohen, Rosenfeld and Kolter 2019, section 3.3 (arXiv 1902.02918). The noise is drawn from the global random state,
    which `fit` seeds.

    What breaks it: by itself it defends little; it prepares a model for `Smoothed`.

    Args:
        sigma: standard deviation, in units of the pixel range (default 0.5).

    Example:
        >>> fit(model, data, GaussianAugmentation(0.5), augment=shifts(2))
    """

    sigma: float = 0.5

    def __post_init__(self):
        check_field(self, "sigma", 0)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss for the images x (N, C, H, W) in [0, 1] with labels y (N,): a scalar in nats."""
        y = check_labels(y, check_images(x))
        logits = ask(model, x + self.sigma * torch.randn(x.shape).to(x))
        check_classes(y, logits.shape[1])
        return F.cross_entropy(logits, y)
