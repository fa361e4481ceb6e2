"""MagNet: autoencoders learn clean images. Images that they restore badly are rejected; the others are moved towards clean."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from advcourse.core.inputs import InputError, ask, check_choice, check_field, explained
from advcourse.defenses.detection import Detector
from advcourse.metrics import threshold_at
from advcourse.models import AutoEncoder
from advcourse.training import History, fit
from advcourse.training.fitting import Pair


def restored(autoencoder: nn.Module, x: Tensor) -> Tensor:
    """Return the autoencoder's output for the images `x`; `InputError` unless it is images of the same shape."""
    with explained(autoencoder, x):
        images = autoencoder(x)
    if not isinstance(images, Tensor) or images.shape != x.shape:
        given = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise InputError(f"autoencoder: returned {given}; allowed are images of shape {tuple(x.shape)} alone")
    return images


@dataclass(frozen=True)
class Denoising:
    """The objective of MagNet's autoencoders, for `training.fit`: the mean squared error of AE(clip(x + noise)) to x.

    The noise is normal, drawn anew for each batch from the global random state, which `fit` seeds.

    Args:
        std: standard deviation, in units of the pixel range (default 0.1, the paper's for MNIST; 0.025 for CIFAR-10).
    """

    std: float = 0.1

    def __post_init__(self):
        check_field(self, "std", 0)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss for the images x (N, C, H, W); the labels are ignored."""
        return (restored(model, (x + self.std * torch.randn_like(x)).clamp(0, 1)) - x).square().mean()


@dataclass(frozen=True, eq=False)
class ReconstructionError:
    """A detector part of MagNet: the mean over the pixels of |x - AE(x)|^p, with p = 1 or 2."""

    autoencoder: nn.Module
    p: int = 2

    def __post_init__(self):
        check_choice(self.p, "p", (1, 2))

    def __call__(self, model: nn.Module, x: Tensor) -> Tensor:
        """Return the errors (N,), float64, of the images `x` (N, C, H, W); `model` is ignored."""
        return (x - restored(self.autoencoder, x)).double().abs().pow(self.p).flatten(1).mean(1)


@dataclass(frozen=True, eq=False)
class Divergence:
    """A detector part of MagNet: the Jensen-Shannon divergence of softmax(Z(x) / T) and softmax(Z(AE(x)) / T), in nats.

    Computed in float64. The paper uses T = 10 and T = 40, on CIFAR-10: at T = 1 both answers are saturated, and agree.
    """

    autoencoder: nn.Module
    temperature: float = 10.0

    def __post_init__(self):
        check_field(self, "temperature", 0, exclusive_low=True)

    def __call__(self, model: nn.Module, x: Tensor) -> Tensor:
        """Return the divergences (N,), float64, of `model`'s answers to the images `x` (N, C, H, W)."""
        p, q = (
            (ask(model, images).double() / self.temperature).log_softmax(1)
            for images in (x, restored(self.autoencoder, x))
        )
        return jensen_shannon(p, q)


def jensen_shannon(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Return 1/2 KL(p || m) + 1/2 KL(q || m), m = (p + q) / 2, from log-probabilities (N, K): (N,) in nats, in [0, log 2]."""
    log_m = torch.logaddexp(log_p, log_q) - torch.log(log_p.new_tensor(2))
    terms = [(log.exp() * (log - log_m)).sum(1) for log in (log_p, log_q)]
    return ((terms[0] + terms[1]) / 2).clamp_min(0)


class MagNet(Detector):
    """Autoencoder-based detectors reject images, and the reformer x <- clip(AE(x)) moves the rest towards the clean images.

    Paper: Meng and Chen 2017, "MagNet: A Two-Pronged Defense against Adversarial Examples" (arXiv
    1705.09064). An image is rejected if ANY detector part fires. Each part has its own threshold, in `thresholds`: each of the n
    parts may flag the share fpr / n of the calibration images, so that together they flag at most `fpr`. (The paper drops 0.1 %
    for each part on MNIST: fpr = 0.002 for the two.) The score is the largest excess over a part's threshold, in standard
    deviations of that part's scores on the calibration images, so that `threshold` is 0; before calibration there is no score.

    As a model, MagNet is the classifier behind the reformer. As in the paper, a rejected adversarial image counts as defended,
    and a rejected clean one as an error.

    The authors' code takes as threshold the sorted score at index -floor(n * fpr). With fewer than 1 / fpr images that is index
    -0, the lowest score, and everything is rejected. `metrics.threshold_at` takes the quantile, and flags none in that case.

    What breaks it: Carlini and Wagner 2017, "MagNet and 'Efficient Defenses Against Adversarial Attacks' are Not Robust to
    Adversarial Examples" (arXiv 1711.08478), with C&W through classifier and reformer and the detectors in the loss, here
    `Guarded(magnet)`, even if attackers train their own autoencoders; Lu et al. 2018, "On the Limitation of MagNet
    Defense against L1-based Adversarial Examples" (arXiv 1805.00310), with EAD unaware of the defense.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K).
        autoencoders: trained ones, or ones that `fit` is to train (default None: the paper's I and II for MNIST, which need
            `fit`). The first one is the reformer.
        parts: functions (model, x) -> (N,), higher for more suspicious images (default None: the paper's for MNIST, squared
            reconstruction errors on the first autoencoder and absolute ones on the others). `Divergence` is another.

    Raises:
        InputError: a score is requested before the autoencoders were fitted or before calibration, or there is no autoencoder
            or no part.
    """

    def __init__(
        self, model: nn.Module, autoencoders: Sequence[nn.Module] | None = None, parts: Sequence | None = None
    ):
        super().__init__(model)
        self._remember("_fitted", torch.tensor(autoencoders is not None))
        if autoencoders is None:
            autoencoders = [AutoEncoder(), AutoEncoder(pooling=False)]
        if not len(autoencoders) or not all(isinstance(net, nn.Module) for net in autoencoders):
            raise InputError(f"autoencoders: got {autoencoders!r}; allowed are one or more torch.nn.Modules")
        self.autoencoders = nn.ModuleList(autoencoders)
        if parts is None:
            parts = [
                ReconstructionError(net, 1 if place else 2) for place, net in enumerate(self.autoencoders)
            ]
        self.parts = tuple(parts)
        if not self.parts or not all(callable(part) for part in self.parts):
            raise InputError(f"parts: got {parts!r}; allowed are one or more functions of (model, images)")
        for name in ("thresholds", "_spreads"):  # of each part; NaN before calibration
            self._remember(name, torch.full((len(self.parts),), torch.nan, dtype=torch.float64))

    def fit(
        self,
        data: Dataset | Pair,
        std: float = 0.1,
        epochs: int = 100,
        batch_size: int = 256,
        **settings: Any,
    ) -> list[History]:
        """Train all autoencoders on clean images with `training.fit`; return its histories. This removes earlier thresholds.

        Args:
            data: an `ImageSet`, or a pair (images, labels). No attacked images are needed.
            std: see `Denoising`.
            epochs, batch_size, settings: as for `training.fit` (defaults: the paper's).
        """
        given = {"epochs": epochs, "batch_size": batch_size, **settings}
        histories = [fit(net, data, Denoising(std), **given) for net in self.autoencoders]
        self._fitted.fill_(True)
        self.threshold = None
        self.thresholds.fill_(torch.nan)
        return histories

    def reform(self, x: Tensor) -> Tensor:
        """Return the images (N, C, H, W) that the model sees instead of `x`: the first autoencoder's, in [0, 1]."""
        self._check_ready()
        return restored(self.autoencoders[0], x).clamp(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, K) of the reformed images."""
        return ask(self.model, self.reform(x))

    def marks(self, x: Tensor) -> Tensor:
        """Return each part's score of the images `x`: (N, parts), float64, differentiable."""
        self._check_ready()
        return torch.stack([part(self.model, x) for part in self.parts], 1)

    def suspicion(self, x: Tensor) -> Tensor:
        self._check_calibrated()
        return ((self.marks(x) - self.thresholds) / self._spreads).amax(1)

    def score(self, x: Tensor, batch_size: int = 256) -> Tensor:
        self._check_calibrated()
        return super().score(x, batch_size)

    def _calibrate(self, x_clean, fpr):
        marks = self._without_gradients(self.marks, x_clean)
        share = fpr / len(self.parts)
        self.thresholds.copy_(marks.new_tensor([threshold_at(column, share) for column in marks.unbind(1)]))
        spreads = marks.std(0, correction=0)
        self._spreads.copy_(torch.where(spreads > 0, spreads, 1.0))
        self.threshold = 0.0

    def _check_ready(self):
        if not self._fitted:
            raise InputError(
                "autoencoders: got untrained ones; allowed are trained ones, or MagNet after fit(data)"
            )


class MagNetReformer(nn.Module):
    """MagNet's reformer alone: the classifier sees clip(AE(x)). Images (N, C, H, W) in [0, 1] to logits (N, K).

    Paper, and what breaks it: see `MagNet`. It has a gradient everywhere, so every attack works on it unchanged.

    Args:
        model: the classifier.
        autoencoder: a trained one.

    Raises:
        InputError: one of them is not an `nn.Module`.
    """

    def __init__(self, model: nn.Module, autoencoder: nn.Module):
        super().__init__()
        for module, name in ((model, "model"), (autoencoder, "autoencoder")):
            if not isinstance(module, nn.Module):
                raise InputError(f"{name}: got {type(module).__name__}; allowed is a torch.nn.Module")
        self.model, self.autoencoder = model, autoencoder

    def forward(self, x: Tensor) -> Tensor:
        return ask(self.model, restored(self.autoencoder, x).clamp(0, 1))
