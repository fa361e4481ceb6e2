"""MagNet: autoencoders know what clean images look like. What they restore badly is rejected, the rest is moved towards them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advcourse.core.inputs import InputError, ask, check_choice, check_field, explained
from advcourse.defenses.detection import Detector
from advcourse.metrics import threshold_at
from advcourse.models import AutoEncoder
from advcourse.training import History, fit


def restored(autoencoder: nn.Module, x: Tensor) -> Tensor:
    """What an autoencoder makes of the images `x`; `InputError` unless it is images of the same shape."""
    with explained(autoencoder, x):
        images = autoencoder(x)
    if not isinstance(images, Tensor) or images.shape != x.shape:
        given = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise InputError(f"autoencoder: returned {given}; allowed are images of shape {tuple(x.shape)} alone")
    return images


@dataclass(frozen=True)
class Denoising:
    """The objective of MagNet's autoencoders, for `training.fit`: the mean squared error of AE(clip(x + noise)) to x.

    Noise is normal, drawn anew for each batch from the global random state, which `fit` seeds.

    Args:
        std: of the noise, in units of the pixel range (default 0.1, the paper's for MNIST; 0.025 for CIFAR-10).
    """

    std: float = 0.1

    def __post_init__(self):
        check_field(self, "std", 0)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The loss of the images x (N, C, H, W); their labels are of no weight."""
        return (restored(model, (x + self.std * torch.randn_like(x)).clamp(0, 1)) - x).square().mean()


@dataclass(frozen=True, eq=False)
class ReconstructionError:
    """A part of MagNet: the mean over the pixels of |x - AE(x)|^p. `p` is 1 or 2."""

    autoencoder: nn.Module
    p: int = 2

    def __post_init__(self):
        check_choice(self.p, "p", (1, 2))

    def __call__(self, model: nn.Module, x: Tensor) -> Tensor:
        """(N,), float64, of the images `x` (N, C, H, W); `model` is of no weight."""
        return (x - restored(self.autoencoder, x)).double().abs().pow(self.p).flatten(1).mean(1)


@dataclass(frozen=True, eq=False)
class Divergence:
    """A part of MagNet: the Jensen-Shannon divergence of softmax(Z(x) / T) and softmax(Z(AE(x)) / T), in nats.

    In float64. The paper takes T = 10 and T = 40, on CIFAR-10: at T = 1 both answers are saturated, and agree.
    """

    autoencoder: nn.Module
    temperature: float = 10.0

    def __post_init__(self):
        check_field(self, "temperature", 0, exclusive_low=True)

    def __call__(self, model: nn.Module, x: Tensor) -> Tensor:
        """(N,), float64, of the images `x` (N, C, H, W) before `model`."""
        p, q = (
            (ask(model, images).double() / self.temperature).log_softmax(1)
            for images in (x, restored(self.autoencoder, x))
        )
        return jensen_shannon(p, q)


def jensen_shannon(log_p: Tensor, log_q: Tensor) -> Tensor:
    """1/2 KL(p || m) + 1/2 KL(q || m), m = (p + q) / 2, of log-probabilities (N, K): (N,) in nats, in [0, log 2]."""
    log_m = torch.logaddexp(log_p, log_q) - torch.log(log_p.new_tensor(2))
    terms = [(log.exp() * (log - log_m)).sum(1) for log in (log_p, log_q)]
    return ((terms[0] + terms[1]) / 2).clamp_min(0)


class MagNet(Detector):
    """Detectors on autoencoders reject, the reformer x <- clip(AE(x)) moves the rest towards the clean images.

    Paper: Meng and Chen 2017, "MagNet: A Two-Pronged Defense against Adversarial Examples" (arXiv
    1705.09064). An image is rejected if ANY part fires. Each has a threshold of its own, `thresholds`: of n parts each may flag
    the share fpr / n of the calibration images, so that together they flag at most `fpr`. (The paper drops 0.1 % for each part
    on MNIST: fpr = 0.002 for the two.) The score is the largest excess over its threshold, in standard deviations of the part's
    scores on the calibration images, so that `threshold` is 0; without calibration there is none.

    As a model, MagNet is the classifier behind the reformer. A rejected adversarial image counts as defended, a rejected clean
    one as an error, as in the paper.

    The authors' code takes the sorted score at place -floor(n * fpr) as threshold. With fewer than 1 / fpr images that is place
    -0, the lowest score, and everything is rejected. `metrics.threshold_at` has the quantile, and flags none then.

    What breaks it: Carlini and Wagner 2017, "MagNet and 'Efficient Defenses Against Adversarial Attacks' are Not Robust to
    Adversarial Examples" (arXiv 1711.08478), by C&W through classifier and reformer with the detectors in the loss, here
    `Guarded(magnet)`, even where the attacker trains autoencoders of their own; Lu et al. 2018, "On the Limitation of MagNet
    Defense against L1-based Adversarial Examples" (arXiv 1805.00310), by EAD without knowing of it.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K).
        autoencoders: the first reforms. Trained ones, or ones that `fit` is to train (default None: the paper's I and II for
            MNIST, which need `fit`).
        parts: functions (model, x) -> (N,), the higher the more suspicious (default None: the paper's for MNIST, squared
            reconstruction errors on the first autoencoder and absolute ones on the others). `Divergence` is another.

    Raises:
        InputError: a score before the autoencoders were fitted, or before calibration; no autoencoder, no part.
    """

    def __init__(
        self, model: nn.Module, autoencoders: Sequence[nn.Module] | None = None, parts: Sequence | None = None
    ):
        super().__init__(model)
        self._remember("_fitted", torch.tensor(autoencoders is not None))
        if autoencoders is None:
            autoencoders = [AutoEncoder(), AutoEncoder(pooling=False)]
        if not len(autoencoders) or not all(isinstance(one, nn.Module) for one in autoencoders):
            raise InputError(f"autoencoders: got {autoencoders!r}; allowed are one or more torch.nn.Modules")
        self.autoencoders = nn.ModuleList(autoencoders)
        if parts is None:
            parts = [
                ReconstructionError(one, 1 if place else 2) for place, one in enumerate(self.autoencoders)
            ]
        self.parts = tuple(parts)
        if not self.parts or not all(callable(part) for part in self.parts):
            raise InputError(f"parts: got {parts!r}; allowed are one or more functions of (model, images)")
        for name in ("thresholds", "_spreads"):  # of each part; NaN before calibration
            self._remember(name, torch.full((len(self.parts),), torch.nan, dtype=torch.float64))

    def fit(
        self, data, std: float = 0.1, epochs: int = 100, batch_size: int = 256, **settings
    ) -> list[History]:
        """Train all autoencoders on clean images by `training.fit`; returns its histories. Old thresholds are gone.

        Args:
            data: an `ImageSet`, or a pair (images, labels). No attacked image is needed.
            std: see `Denoising`.
            epochs, batch_size, settings: as `training.fit` takes them (defaults: the paper's).
        """
        given = {"epochs": epochs, "batch_size": batch_size, **settings}
        histories = [fit(one, data, Denoising(std), **given) for one in self.autoencoders]
        self._fitted.fill_(True)
        self.threshold = None
        self.thresholds.fill_(torch.nan)
        return histories

    def reform(self, x: Tensor) -> Tensor:
        """The images (N, C, H, W) that the model sees in place of `x`: those of the first autoencoder, in [0, 1]."""
        self._check_ready()
        return restored(self.autoencoders[0], x).clamp(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The logits (N, K) of the reformed images."""
        return ask(self.model, self.reform(x))

    def marks(self, x: Tensor) -> Tensor:
        """What each part makes of the images `x`: (N, parts), float64, with a graph behind it."""
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
        self.thresholds.copy_(marks.new_tensor([threshold_at(one, share) for one in marks.unbind(1)]))
        spreads = marks.std(0, correction=0)
        self._spreads.copy_(torch.where(spreads > 0, spreads, 1.0))
        self.threshold = 0.0

    def _check_ready(self):
        if not self._fitted:
            raise InputError(
                "autoencoders: got none that were trained; allowed are MagNet after fit(data), or trained ones"
            )


class MagNetReformer(nn.Module):
    """MagNet's second prong alone: the classifier sees clip(AE(x)). Images (N, C, H, W) in [0, 1] to logits (N, K).

    Paper, and what breaks it: see `MagNet`. It has a gradient everywhere, so every attack goes through it as it is.

    Args:
        model: the classifier.
        autoencoder: a trained one.

    Raises:
        InputError: one of them is no module.
    """

    def __init__(self, model: nn.Module, autoencoder: nn.Module):
        super().__init__()
        for module, name in ((model, "model"), (autoencoder, "autoencoder")):
            if not isinstance(module, nn.Module):
                raise InputError(f"{name}: got {type(module).__name__}; allowed is a torch.nn.Module")
        self.model, self.autoencoder = model, autoencoder

    def forward(self, x: Tensor) -> Tensor:
        return ask(self.model, restored(self.autoencoder, x).clamp(0, 1))
