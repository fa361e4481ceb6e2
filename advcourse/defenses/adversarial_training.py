"""Adversarial training: the model learns from images that are attacked as it learns."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcourse.attacks import FGSM, LLC, PGD
from advcourse.core.errors import called
from advcourse.core.inputs import (
    InputError,
    ask,
    check_classes,
    check_field,
    check_images,
    check_labels,
    predict,
)
from advcourse.defenses.ramp import Ramped, take_checked
from advcourse.training import cross_entropy
from advcourse.training.checkpoints import named


@dataclass(frozen=True)
class NAT:
    """Naive adversarial training: some images of each batch give way to one-step adversarial ones, which weigh less.

        L = (sum_clean J(x_i, y_i) + weight * sum_adversarial J(x_i', y_i)) / ((m - k) + weight * k),

    for a batch of m images of which k are attacked. All m go through the model together, so that batch normalisation sees
    clean and adversarial images at once.

    Paper: Kurakin, Goodfellow and Bengio 2017, "Adversarial Machine Learning at Scale", algorithm 1
    (arXiv 1611.01236). The attack is the one-step least-likely class method `LLC`, in eval mode. The budget of each image is
    drawn from the absolute value of N(0, sigma^2), truncated at `cap`: with a single budget the model holds at that one alone.
    The true label has no part in the attack, not even to be left out of the targets: the least likely class is another than
    the model's own answer. An attack that goes by the true label tells it to the model, which learns to read it off the
    perturbation ("label leaking", as the paper calls it), and is then better on attacked images than on clean ones.

    What breaks it: more than one step. BIM and PGD go through, and so does a single step from a random point nearby, or from
    another network: Tramer et al. 2018, "Ensemble Adversarial Training" (arXiv 1705.07204), with R+FGSM. There FGSM from another
    net fools it more often than FGSM on itself, the sign of a masked gradient.

    Args:
        sigma: of the normal law of the budget, in units of the pixel range [0, 1] (default 8 / 255, the paper's for ImageNet).
        cap: the largest budget (default 16 / 255). DEEPSEC takes sigma 50 / 255 and cap 0.3 on MNIST.
        weight: lambda, of an adversarial image beside a clean one (default 0.3).
        share: k / m, the share of each batch that is attacked, rounded to whole images (default 0.5).

    The budgets are drawn from the global random state, which `fit` sets from its seed.

    Raises:
        InputError: an argument out of its range.
    """

    sigma: float = 8 / 255
    cap: float = 16 / 255
    weight: float = 0.3
    share: float = 0.5

    def __post_init__(self):
        check_field(self, "sigma", 0, exclusive_low=True)
        check_field(self, "cap", 0, 1)
        check_field(self, "weight", 0, exclusive_low=True)
        check_field(self, "share", 0, 1)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The loss of the images x (N, C, H, W) in [0, 1] with labels y (N,): a scalar in nats."""
        own = _own_labels(model, x, y)
        k = round(self.share * len(x))
        weights = torch.ones(len(x), device=x.device)
        weights[:k] = self.weight
        images = torch.cat([self._attacked(model, x[:k], own[:k]), x[k:]])
        losses = F.cross_entropy(ask(model, images), y, reduction="none")
        return (weights * losses).sum() / weights.sum()

    def _attacked(self, model, x, own):
        """LLC with a budget for each image: the step of size `cap`, cut to the image's own ball."""
        eps = self.budgets(len(x)).to(x).view(-1, 1, 1, 1)
        return torch.clamp(LLC(self.cap)(model, x, own), x - eps, x + eps)

    def budgets(self, n: int) -> Tensor:
        """Draw n budgets (n,), float64 on the CPU, from the global random state: |N(0, sigma^2)| where it is below `cap`."""
        below_cap = math.erf(self.cap / (self.sigma * math.sqrt(2)))
        uniform = torch.rand(n, dtype=torch.float64)
        return (self.sigma * math.sqrt(2) * torch.erfinv(below_cap * uniform)).clamp_max(self.cap)


@dataclass(frozen=True)
class PAT(Ramped):
    """PGD adversarial training: min_theta E max_{||delta||_inf <= eps} J(x + delta, y), the maximum sought by PGD.

    Paper: Madry et al. 2018, "Towards Deep Learning Models Resistant to Adversarial Attacks", equation 2.1 (arXiv 1706.06083).
    The loss is that of the adversarial images alone, as in the paper: the last iterates of PGD from a fresh random start, made
    in eval mode. The loss itself is taken in the mode that the model is in, which `training.fit` makes training mode. A call
    makes `steps` + 1 forward and backward passes, and so many times the cost of ordinary training.

    What breaks it: it holds in the ball that it was trained on, and promises nothing beyond. Perturbations that are small in
    another norm go through: EAD's in L1 (Sharma and Chen 2018, "Attacking the Madry Defense Model with L1-based Adversarial
    Examples", arXiv 1710.10733), and other norms in general (Tramer and Boneh 2019, "Adversarial Training and Robustness for
    Multiple Perturbations", arXiv 1904.13000). So do small shifts of pixels (Xiao et al. 2018, "Spatially Transformed
    Adversarial Examples", arXiv 1801.02612). Within the ball, stronger attacks lower the accuracy further.

    Args:
        eps: budget in L-infinity, in units of the pixel range [0, 1] (default 0.3, the paper's for MNIST).
        alpha: size of a step at the full budget (default None: 2.5 * eps / steps, as `PGD` has it).
        steps: steps of the attack (default 10; the paper takes 40 on MNIST).
        ramp: share of training over which budget and step grow from 0, in proportion (default 0: the full budget throughout,
            as in the paper). At eps 0.3 a model can give every image the same answer for many epochs; a ramp avoids that.
        mix: weight of the clean images' loss, beside 1 - mix for the adversarial ones (default 0). Anything else is a mistake,
            here to be shown: it is not the paper's loss, and buys clean accuracy with robustness. DEEPSEC reported such a
            mixture, trained for too few epochs, as PGD adversarial training (Carlini 2019, objection 4 of those on
            github.com/ryderling/DEEPSEC).

    A ramp goes into the objective and the schedule, see `Ramped`:

        >>> objective = PAT(eps=0.3, ramp=1 / 3)
        >>> fit(model, data, objective, schedule=objective.following("one-cycle"))

    The random starts are drawn from the global random state, as dropout is; `fit` sets
    that state from its seed, keeps it in its checkpoints, and puts the caller's back.

    Raises:
        InputError: an argument out of its range; a loss asked for with a ramp that was not told how far training is.
    """

    eps: float = 0.3
    alpha: float | None = None
    steps: int = 10
    ramp: float = 0.0
    mix: float = 0.0

    def __post_init__(self):
        take_checked(self, PGD(self.eps, self.alpha, self.steps), "eps", "alpha", "steps")
        check_field(self, "ramp", 0, 1)
        check_field(self, "mix", 0, 1)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The loss of the images x (N, C, H, W) in [0, 1] with labels y (N,): a scalar in nats."""
        growth = self._growth()
        alpha = None if self.alpha is None else growth * self.alpha
        attack = _from_a_random_start(growth * self.eps, alpha, self.steps)
        adversarial = cross_entropy(model, attack(model, x, y), y)
        if not self.mix:
            return adversarial
        return self.mix * cross_entropy(model, x, y) + (1 - self.mix) * adversarial


@dataclass(frozen=True)
class FastAT(Ramped):
    """Fast adversarial training: `PAT` with a single step, FGSM from a uniform draw from the ball. Two passes a batch.

        x' = project(x + u + 1.25 * eps * sign(grad J(x + u, y))), u uniform on [-eps, eps]^d.

    Paper: Wong, Rice and Kolter 2020, "Fast is better than free", algorithm 3 (arXiv 2001.03994). The loss is that of the
    adversarial images alone. The attack is made in eval mode, as for `PAT`; the authors leave the model in training mode.

    What breaks it: what breaks `PAT`, and more steps than one. In training the model can learn, from one epoch to the next, to
    hide the gradient where the one step starts: its accuracy under PGD falls to 0 while that under FGSM rises ("catastrophic
    overfitting", found there; Andriushchenko and Flammarion 2020, "Understanding and Improving Fast Adversarial
    Training", arXiv 2007.02617). So `fit` wants a `score` by PGD on held-out images, and keeps the weights from before.

    Its forerunner, free adversarial training, is `FreeAT`.

    Args:
        eps: budget in L-infinity, in units of the pixel range [0, 1] (default 0.3).
        reach: size of the step, in budgets (default 1.25). The paper finds that it may not be 2 or more.
        ramp: share of training over which budget and step grow from 0 (default 0: the full budget throughout); see `Ramped`.

    Raises:
        InputError: an argument out of its range; a loss asked for with a ramp that was not told how far training is.
    """

    eps: float = 0.3
    reach: float = 1.25
    ramp: float = 0.0

    def __post_init__(self):
        take_checked(self, PGD(self.eps), "eps")
        check_field(self, "reach", 0)
        check_field(self, "ramp", 0, 1)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The loss of the images x (N, C, H, W) in [0, 1] with labels y (N,): a scalar in nats."""
        eps = self._growth() * self.eps
        return cross_entropy(model, _from_a_random_start(eps, self.reach * eps, 1)(model, x, y), y)


@dataclass(frozen=True)
class EAT:
    """Ensemble adversarial training: the attacks come from other, static networks as often as chance has it.

        L = (J(x, y) + J(x', y)) / 2, x' = FGSM on a source drawn for each batch, uniformly from `static` and the model itself.

    Paper: Tramer et al. 2018, "Ensemble Adversarial Training: Attacks and Defenses" (arXiv 1705.07204). Each source is attacked
    at its own answer instead of the true label, so that no label leaks. All sources are in eval mode. Clean and adversarial
    images go through the model together, as the batch of `NAT` does.

    What it is for: attacks carried over from other networks. Measure it with a source that is not among `static`. What breaks
    it: PGD on the model itself (Madry et al. 2018, arXiv 1706.06083), for it has seen single steps alone, and attacks made to
    carry over further: the last version of the paper says in its abstract that these lower its accuracy, and Dong et al. 2018,
    "Boosting Adversarial Attacks with Momentum" (arXiv 1710.06081), fool its networks with momentum and several sources.

    Args:
        static: tuple of one or more trained networks of other architectures than the model's, on its device. They are never
            changed.
        eps: budget in L-infinity, in units of the pixel range [0, 1] (default 0.3, the paper's for MNIST).

    The choice is drawn from the global random state, which `fit` sets from its seed. The text of this objective tells the
    static networks' weights by a checksum, so that a checkpoint of another ensemble is refused.

    Raises:
        InputError: an argument out of its range; no static network; the model that learns among them.
    """

    static: tuple[nn.Module, ...]
    eps: float = 0.3

    def __post_init__(self):
        take_checked(self, FGSM(self.eps), "eps")
        nets = self.static
        if not isinstance(nets, tuple) or not nets or not all(isinstance(net, nn.Module) for net in nets):
            given = [type(net).__name__ for net in nets] if isinstance(nets, tuple) else type(nets).__name__
            raise InputError(f"static: got {given}; allowed is a tuple of one or more torch.nn.Module")

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The loss of the images x (N, C, H, W) in [0, 1] with labels y (N,): a scalar in nats."""
        if any(net is model for net in self.static):
            raise InputError(
                "static: got the model that learns; allowed are others, for it is a source anyhow"
            )
        sources = (*self.static, model)
        drawn = int(torch.randint(len(sources), ()))
        source = sources[drawn]
        with called("model" if source is model else f"static[{drawn}]"):
            attacked = FGSM(self.eps)(source, x, _own_labels(source, x, y))
        return cross_entropy(model, torch.cat([x, attacked]), torch.cat([y, y]))

    def __repr__(self):
        return f"EAT(static=({', '.join(map(named, self.static))}), eps={self.eps})"


def _from_a_random_start(eps, alpha, steps):
    """PGD from a start that the global random state decides, as it does dropout: fresh for each batch."""
    return PGD(eps, alpha, steps, keep="last", seed=int(torch.randint(2**63 - 1, ())))


def _own_labels(model, x, y):
    """The model's own answers (N,) in eval mode, where the labels `y` (N,) fit them; else an `InputError`."""
    y = check_labels(y, check_images(x))
    logits = predict(model, x)
    check_classes(y, logits.shape[1])
    return logits.argmax(1)
