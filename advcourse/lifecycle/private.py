"""DP-SGD: training in which no single image can move the weights far, and noise hides how far it did."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn import functional as F

from advcourse.core.inputs import (
    InputError,
    check_classes,
    check_images,
    check_labels,
    check_range,
    check_seed,
    predict,
    resolve_device,
)
from advcourse.data import ImageSet
from advcourse.lifecycle.poisoned import check_function, check_pair

_AT_ONCE = 64  # images whose gradients are held in memory together


@dataclass(frozen=True)
class PrivateTraining:
    """The settings of DP-SGD: clip each image's gradient, add noise to the sum, and draw each batch anew.

    One step, over a batch B that has each of the n images with probability `rate`, independently of all others:

        g_i = gradient of J(x_i, y_i);   g_i <- g_i * min(1, clip / ||g_i||)
        g = (sum_{i in B} g_i + noise * clip * N(0, 1)) / (rate * n)

    and then the optimizer's step along g. What it does with g is of no matter to privacy, since it looks at no image again.

    Each part is needed. A clip of the mean, instead of each image's gradient, lets one image decide everything; noise before
    the clip is clipped away; and a division by the size of the batch that was drawn gives that size away.

    The guarantee, (epsilon, delta), is that of `epsilon`. It needs noise that nobody can guess: here all draws come from a
    seed, which must then be secret. It bounds what *any* attack on membership can do: its true positive rate is at most
    exp(epsilon) * FPR + delta.

    Args:
        noise: sigma, the noise multiplier, at least 0 (default 1); 0 gives no privacy.
        clip: C, the L2 norm to which a gradient over all parameters is shortened (default 1).
        rate: q, the probability of each image to be in a batch (default 0.05).
        steps: the number of steps (default 400).
        lr: the learning rate (default 0.5).
        optimizer: `(parameters, lr=lr) -> optimizer` (default: plain SGD).

    Source: Abadi, Chu, Goodfellow, McMahan, Mironov, Talwar and Zhang 2016, "Deep Learning with Differential Privacy",
    algorithm 1 (arXiv 1607.00133); Poisson batches as in Mironov, Talwar and Zhang 2019 (arXiv 1908.10530).
    """

    noise: float = 1.0
    clip: float = 1.0
    rate: float = 0.05
    steps: int = 400
    lr: float = 0.5
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.SGD

    def __post_init__(self):
        limits = {
            "noise": (0, None, False),
            "clip": (0, None, True),
            "rate": (0, 1, True),
            "lr": (0, None, True),
        }
        for name, (low, high, exclusive) in limits.items():
            value = check_range(getattr(self, name), name, low, high, exclusive_low=exclusive)
            object.__setattr__(self, name, value)
        object.__setattr__(self, "steps", check_range(self.steps, "steps", 1, integer=True))
        check_function(self.optimizer, "optimizer", "a function (parameters, lr=lr) -> optimizer")

    def fit(
        self,
        model: nn.Module,
        data: ImageSet | tuple[Tensor, Tensor],
        *,
        seed: int = 0,
        device: str | torch.device = "auto",
    ) -> list[int]:
        """Train `model` in place; it ends on its original device and in its original mode.

        Args:
            model: images (N, C, H, W) in [0, 1] to logits (N, K). Nothing in it may mix the images of a batch, as batch
                normalisation does, or draw random numbers, as dropout does.
            data: an `ImageSet`, or images (n, C, H, W) and labels (n,).
            seed: determines batches and noise (default 0). The global random state is kept.
            device: where to train; "auto" (default) uses a GPU if there is one.

        Returns:
            the size of each batch, which was drawn and may be 0.

        Raises:
            InputError: an argument is out of range; or the model has a layer that mixes images or draws random numbers.
        """
        x, y = check_pair(data)
        if not len(x):
            raise InputError("images: got none; allowed is one or more")
        _check_separable(model)
        home, modes = next(model.parameters()).device, [(m, m.training) for m in model.modules()]
        where = resolve_device(device)
        generator = torch.Generator().manual_seed(check_seed(seed))
        try:
            model.to(where).train()
            check_classes(y, predict(model, x[:1].to(where)).shape[1])
            return self._run(model, x.to(where), y.to(where), generator)
        finally:
            model.to(home).zero_grad()
            for module, training in modes:
                module.training = training

    def _run(self, model, x, y, generator):
        stepper, sizes = self.optimizer(model.parameters(), lr=self.lr), []
        for _ in range(self.steps):
            batch = (torch.rand(len(x), generator=generator) < self.rate).nonzero().squeeze(1).to(x.device)
            total = _clipped_sum(model, x[batch], y[batch], self.clip)
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    draws = torch.randn(parameter.shape, generator=generator).to(parameter)
                    noisy = total[name] + self.noise * self.clip * draws
                    parameter.grad = noisy / (self.rate * len(x))
            stepper.step()
            sizes.append(len(batch))
        return sizes

    def epsilon(self, delta: float) -> float:
        """Return the epsilon that this training keeps at `delta`, see the function `epsilon`."""
        return epsilon(self.noise, self.rate, self.steps, delta)


def clipped_sum(model: nn.Module, x: Tensor, y: Tensor, clip: float) -> dict[str, Tensor]:
    """Return the sum over the images of their gradients, each shortened to the L2 norm `clip` over all parameters.

    Args:
        model: images (N, C, H, W) to logits (N, K), in which no layer mixes the images of a batch.
        x: images; none gives zeros.
        y: labels (N,).
        clip: above 0.

    Returns:
        name of each trained parameter -> tensor of its shape.

    Raises:
        InputError: an argument breaks its contract, or the model has a layer that mixes images or draws random numbers.

    Source: Abadi et al. 2016, algorithm 1 (arXiv 1607.00133).
    """
    clip = check_range(clip, "clip", 0, exclusive_low=True)
    y = check_labels(y, check_images(x))
    _check_separable(model)
    check_classes(y, predict(model, x[:1]).shape[1])
    return _clipped_sum(model, x, y, clip)


def _clipped_sum(model, x, y, clip):
    weights = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    rest = {name: p.detach() for name, p in model.named_parameters() if not p.requires_grad}
    rest |= dict(model.named_buffers())

    def loss(weights, image, label):
        logits = functional_call(model, weights | rest, (image[None],))
        return F.cross_entropy(logits, label[None])

    each = vmap(grad_and_value(loss), in_dims=(None, 0, 0))
    total = {name: torch.zeros_like(p) for name, p in weights.items()}
    for images, labels in zip(x.detach().split(_AT_ONCE), y.split(_AT_ONCE)):
        if not len(images):
            continue
        gradients, _ = each(weights, images, labels)
        norms = torch.stack([g.flatten(1).norm(dim=1) for g in gradients.values()]).norm(dim=0)
        shares = (clip / norms.clamp_min(torch.finfo(norms.dtype).tiny)).clamp_max(1)
        finite = norms.isfinite()  # an image whose gradient is no number adds nothing
        for name, g in gradients.items():
            total[name] += torch.einsum("n,n...->...", shares[finite], g[finite])
    return total


def epsilon(noise: float, rate: float, steps: int, delta: float) -> float:
    """Return the epsilon of (epsilon, delta)-differential privacy that DP-SGD keeps, by the accountant of opacus.

    Two data sets that differ in one image then give any set of weights with probabilities that differ by at most a factor
    exp(epsilon), and by delta beyond that. The bound is that of Rényi differential privacy.

    Args:
        noise: sigma, above 0.
        rate: the probability of each image to be in a batch, above 0 and at most 1.
        steps: number of steps, at least 1.
        delta: above 0 and below 1; it should be well below 1 / n for n training images.

    Returns:
        a float.

    Raises:
        InputError: an argument is out of range, or opacus is not installed.

    Source: Mironov, Talwar and Zhang 2019, "Rényi Differential Privacy of the Sampled Gaussian Mechanism" (arXiv 1908.10530).
    """
    noise = check_range(noise, "noise", 0, exclusive_low=True)
    rate, steps, delta = _spent(rate, steps, delta)
    accountant = _accounting().RDPAccountant()
    accountant.history = [(noise, rate, steps)]
    return float(accountant.get_epsilon(delta, alphas=_ORDERS))


def noise_for(target: float, rate: float, steps: int, delta: float) -> float:
    """Return the smallest noise multiplier, to 1 %, with which `epsilon` is at most `target`.

    Args:
        target: the epsilon that is wanted, above 0.
        rate, steps, delta: as for `epsilon`.

    Raises:
        InputError: an argument is out of range, opacus is not installed, or no noise up to 1000 is enough.
    """
    target = check_range(target, "target", 0, exclusive_low=True)
    low, high = 0.0, 1.0
    while epsilon(high, rate, steps, delta) > target:
        low, high = high, 2 * high
        if high > 1000:
            raise InputError(f"target: got {target}; allowed is an epsilon that noise up to 1000 can reach")
    while high - low > 0.01 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if epsilon(middle, rate, steps, delta) > target else (low, middle)
    return high


_ORDERS = [1 + x / 10 for x in range(1, 100)] + list(range(12, 64)) + [2**k for k in range(6, 11)]


def _spent(rate, steps, delta):
    rate = check_range(rate, "rate", 0, 1, exclusive_low=True)
    steps = check_range(steps, "steps", 1, integer=True)
    delta = check_range(delta, "delta", 0, exclusive_low=True)
    if delta >= 1:
        raise InputError(f"delta: got {delta}; allowed is a number above 0 and below 1")
    return rate, steps, delta


def _accounting():
    try:
        from opacus import accountants
    except ImportError as error:
        raise InputError(
            f"opacus: it counts what DP-SGD spends, and cannot be imported ({error}); install it with "
            f"`pip install advcourse[privacy]`. Training itself works without it"
        ) from error
    return accountants


def _check_separable(model):
    if not isinstance(model, nn.Module):
        raise InputError(f"model: got {type(model).__name__}; allowed is a torch.nn.Module")
    mixing = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    for name, module in model.named_modules():
        if isinstance(module, mixing):
            raise InputError(
                f"model: got the layer {name or type(module).__name__} ({type(module).__name__}); allowed are layers that "
                f"neither mix the images of a batch nor draw random numbers, such as GroupNorm"
            )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError(
            "model: got no trainable parameters; allowed is a torch.nn.Module that can be trained"
        )
