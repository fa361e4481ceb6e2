"""Adversarial training: the model learns from images that are attacked during training."""

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
    """Naive adversarial training: some images of each batch are replaced by one-step adversarial ones, with a lower weight.

        L = (sum_clean J(x_i, y_i) + weight * sum_adversarial J(x_i', y_i)) / ((m - k) + weight * k),

    for a batch of m images of which k are attacked. All m go through the model together, so that batch normalisation sees
    clean and adversarial images at once.

    Paper: Kurakin, Goodfellow and Bengio 2017, "Adversarial Machine Learning at Scale", algorithm 1
    (arXiv 1611.01236). The attack is the one-step least-likely class method `LLC`, in eval mode. The budget of each image is
    drawn from the absolute value of N(0, sigma^2), truncated at `cap`, because with a single budget the model is robust only at
    that one. The attack does not use the true label, not even to exclude it as a target: the least likely class is always
    different from the model's own answer. An attack that used the true label would reveal it to the model, which would learn to
    read it off the perturbation ("label leaking" in the paper) and do better on attacked images than on clean ones.

    The budgets are drawn from the global random state, which `fit` sets from its seed.

    What breaks it: more than one step. BIM and PGD succeed, and so does a single step from a random point nearby, or from
    another network: Tramer et al. 2018, "Ensemble Adversarial Training" (arXiv 1705.07204), with R+FGSM. There FGSM from another
    network fools it more often than FGSM on itself, the sign of a masked gradient.

    Args:
        sigma: of the normal distribution of the budget, in units of the pixel range [0, 1] (default 8 / 255, the paper's for
            ImageNet).
        cap: the largest budget (default 16 / 255). DEEPSEC uses sigma 50 / 255 and cap 0.3 on MNIST.
        weight: lambda, the weight of an adversarial image relative to a clean one (default 0.3).
        share: k / m, the share of each batch that is attacked, rounded to whole images (default 0.5).

    Raises:
        InputError: an argument is out of range.
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
        """Return the loss for the images x (N, C, H, W) in [0, 1] with labels y (N,): a scalar in nats."""
        own = _own_labels(model, x, y)
        k = round(self.share * len(x))
        weights = torch.ones(len(x), device=x.device)
        weights[:k] = self.weight
        images = torch.cat([self._attacked(model, x[:k], own[:k]), x[k:]])
        losses = F.cross_entropy(ask(model, images), y, reduction="none")
        return (weights * losses).sum() / weights.sum()

    def _attacked(self, model, x, own):
        """Attack with LLC, with a separate budget per image: a step of size `cap`, clipped to the image's own ball."""
        eps = self.budgets(len(x)).to(x).view(-1, 1, 1, 1)
        return torch.clamp(LLC(self.cap)(model, x, own), x - eps, x + eps)

    def budgets(self, n: int) -> Tensor:
        """Draw n budgets (n,), float64 on the CPU, from the global random state: |N(0, sigma^2)| truncated at `cap`."""
        below_cap = math.erf(self.cap / (self.sigma * math.sqrt(2)))
        uniform = torch.rand(n, dtype=torch.float64)
        return (self.sigma * math.sqrt(2) * torch.erfinv(below_cap * uniform)).clamp_max(self.cap)


@dataclass(frozen=True)
class PAT(Ramped):
    """PGD adversarial training: min_theta E max_{||delta||_inf <= eps} J(x + delta, y), the maximum approximated by PGD.

    Paper: Madry et al. 2018, "Towards Deep Learning Models Resistant to Adversarial Attacks", equation 2.1 (arXiv 1706.06083).
    As in the paper, the loss uses only the adversarial images: the last iterates of PGD from a fresh random start, made in eval
    mode. The loss itself is computed in the model's current mode, which `training.fit` sets to training mode. A call makes
    `steps` + 1 forward and backward passes, so it costs that many times as much as ordinary training.

    The random starts are drawn from the global random state, as in dropout; `fit` sets that state from its seed, saves it in its
    checkpoints, and restores the caller's afterwards.

    A ramp must be set in both the objective and the schedule, see `Ramped`:

        >>> objective = PAT(eps=0.3, ramp=1 / 3)
        >>> fit(model, data, objective, schedule=objective.following("one-cycle"))

    What breaks it: it is robust in the ball that it was trained on, and promises nothing outside. Perturbations that are small
    in another norm succeed: EAD's in L1 (Sharma and Chen 2018, "Attacking the Madry Defense Model with L1-based Adversarial
    Examples", arXiv 1710.10733), and other norms in general (Tramer and Boneh 2019, "Adversarial Training and Robustness for
    Multiple Perturbations", arXiv 1904.13000). So do small shifts of pixels (Xiao et al. 2018, "Spatially Transformed
    Adversarial Examples", arXiv 1801.02612). Within the ball, stronger attacks lower the accuracy further.

    Args:
        eps: budget in L-infinity, in units of the pixel range [0, 1] (default 0.3, the paper's for MNIST).
        alpha: step size at the full budget (default None: 2.5 * eps / steps, as in `PGD`).
        steps: steps of the attack (default 10; the paper uses 40 on MNIST).
        ramp: share of training over which budget and step grow from 0, in proportion (default 0: the full budget throughout,
            as in the paper). At eps 0.3 a model can give every image the same answer for many epochs; a ramp avoids that.
        mix: weight of the clean images' loss, against 1 - mix for the adversarial ones (default 0). Any other value is a
            mistake, offered only to demonstrate it: it is not the paper's loss, and trades robustness for clean accuracy.
            DEEPSEC reported such a mixture, trained for too few epochs, as PGD adversarial training (Carlini 2019, objection 4
            of those on github.com/ryderling/DEEPSEC).

    Raises:
        InputError: an argument is out of range, or the loss is computed with a ramp but without the schedule's progress.
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
        """Return the loss for the images x (N, C, H, W) in [0, 1] with labels y (N,): a scalar in nats."""
        growth = self._growth()
        alpha = None if self.alpha is None else growth * self.alpha
        attack = _from_a_random_start(growth * self.eps, alpha, self.steps)
        adversarial = cross_entropy(model, attack(model, x, y), y)
        if not self.mix:
            return adversarial
        return self.mix * cross_entropy(model, x, y) + (1 - self.mix) * adversarial


@dataclass(frozen=True)
class FastAT(Ramped):
    """Fast adversarial training: `PAT` with a single FGSM step from a uniform random point in the ball. Two passes per batch.

        x' = project(x + u + 1.25 * eps * sign(grad J(x + u, y))), u uniform on [-eps, eps]^d.

    Paper: Wong, Rice and Kolter 2020, "Fast is better than free", algorithm 3 (arXiv 2001.03994). The loss uses only the
    adversarial images. The attack is made in eval mode, as in `PAT`; the authors leave the model in training mode. Its
    predecessor, free adversarial training, is `FreeAT`.

    What breaks it: whatever breaks `PAT`, and more than one step. During training the model can learn, from one epoch to the
    next, to hide the gradient where the single step starts: its accuracy under PGD falls to 0 while that under FGSM rises
    ("catastrophic overfitting", found in the paper; Andriushchenko and Flammarion 2020, "Understanding and Improving Fast
    Adversarial Training", arXiv 2007.02617). So give `fit` a `score` by PGD on held-out images; it then keeps the weights from
    before that happened.

    Args:
        eps: budget in L-infinity, in units of the pixel range [0, 1] (default 0.3).
        reach: size of the step, as a multiple of the budget (default 1.25). The paper finds that it must be below 2.
        ramp: share of training over which budget and step grow from 0 (default 0: the full budget throughout); see `Ramped`.

    Raises:
        InputError: an argument is out of range, or the loss is computed with a ramp but without the schedule's progress.
    """

    eps: float = 0.3
    reach: float = 1.25
    ramp: float = 0.0

    def __post_init__(self):
        take_checked(self, PGD(self.eps), "eps")
        check_field(self, "reach", 0)
        check_field(self, "ramp", 0, 1)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss for the images x (N, C, H, W) in [0, 1] with labels y (N,): a scalar in nats."""
        eps = self._growth() * self.eps
        return cross_entropy(model, _from_a_random_start(eps, self.reach * eps, 1)(model, x, y), y)


@dataclass(frozen=True)
class EAT:
    """Ensemble adversarial training: each batch is attacked through a network drawn from static ones and the model itself.

        L = (J(x, y) + J(x', y)) / 2, x' = FGSM on a source drawn for each batch, uniformly from `static` and the model itself.

    Paper: Tramer et al. 2018, "Ensemble Adversarial Training: Attacks and Defenses" (arXiv 1705.07204). The attack uses the
    source's own answer instead of the true label, so that no label leaks. All sources are in eval mode. Clean and adversarial
    images go through the model together, as in `NAT`.

    The source is drawn from the global random state, which `fit` sets from its seed. The text of this objective includes a
    checksum of the static networks' weights, so that a checkpoint of another ensemble is refused.

    What it is for: attacks transferred from other networks. Measure it with a source that is not in `static`. What breaks it:
    PGD on the model itself (Madry et al. 2018, arXiv 1706.06083), because it has seen only single steps, and attacks made to
    transfer better: the last version of the paper says in its abstract that these lower its accuracy, and Dong et al. 2018,
    "Boosting Adversarial Attacks with Momentum" (arXiv 1710.06081), fool its networks with momentum and several sources.

    Args:
        static: tuple of one or more trained networks of other architectures than the model's, on its device. They are never
            changed.
        eps: budget in L-infinity, in units of the pixel range [0, 1] (default 0.3, the paper's for MNIST).

    Raises:
        InputError: an argument is out of range, or `static` is empty or contains the model being trained.
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
        """Return the loss for the images x (N, C, H, W) in [0, 1] with labels y (N,): a scalar in nats."""
        if any(net is model for net in self.static):
            raise InputError(
                "static: got the model being trained; allowed are other networks, because it is always a source"
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
    """Return PGD with a start drawn from the global random state, as in dropout: fresh for each batch."""
    return PGD(eps, alpha, steps, keep="last", seed=int(torch.randint(2**63 - 1, ())))


def _own_labels(model, x, y):
    """Return the model's own answers (N,) in eval mode, after checking that the labels `y` (N,) fit its classes."""
    y = check_labels(y, check_images(x))
    logits = predict(model, x)
    check_classes(y, logits.shape[1])
    return logits.argmax(1)
