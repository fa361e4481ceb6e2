"""Detectors: models that also judge their input. Their base class, and how an attack sees model and detector as one."""

import torch
from torch import Tensor, nn

from advcourse.core.inputs import InputError, ask, check_images, check_model, check_range, evaluating
from advcourse.metrics import threshold_at


class Detector(nn.Module):
    """Base class of detectors: a model, images (N, C, H, W) in [0, 1] to logits (N, K), that also scores its images.

    `score(x)` (N,) is higher for more suspicious images; `calibrate(x_clean, fpr)` fixes `threshold` once, on clean validation
    images; `flag(x)` (N,) is True where score > threshold. Attacks treat a detector like any other model and see only its
    logits. `Guarded(detector)` shows them the score too.

    `threshold` is None until `calibrate`. Whatever was fitted and calibrated is in the `state_dict`, so that a detector can be
    saved, and loaded into a new one with the same settings.

    Raises:
        InputError: a score is requested before fitting or a flag before calibration, images are invalid, or `model` is not an
            `nn.Module`.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        if not isinstance(model, nn.Module):
            raise InputError(f"model: got {type(model).__name__}; allowed is a torch.nn.Module")
        self.model = model
        self._remember("_threshold", torch.tensor(torch.nan, dtype=torch.float64))

    def _remember(self, name: str, values: Tensor) -> None:
        """Register a buffer on the model's device, so that a detector around a model on a GPU is entirely on the GPU."""
        place = next((parameter.device for parameter in self.model.parameters()), values.device)
        self.register_buffer(name, values.to(place))

    @property
    def threshold(self) -> float | None:
        """An image is flagged iff its score exceeds this; None before `calibrate`."""
        return None if self._threshold.isnan() else self._threshold.item()

    @threshold.setter
    def threshold(self, value: float | None) -> None:
        self._threshold.fill_(torch.nan if value is None else value)

    def forward(self, x: Tensor) -> Tensor:
        """Return the model's logits (N, K) for its version of the images `x`: here the images themselves."""
        return ask(self.model, x)

    def suspicion(self, x: Tensor) -> Tensor:
        """Return the score (N,), differentiable, in the model's current mode. Adaptive attacks differentiate this."""
        raise NotImplementedError

    def score(self, x: Tensor, batch_size: int = 256) -> Tensor:
        """Return the scores (N,), float64, of the images `x`: in eval mode, without gradients, `batch_size` at a time."""
        check_model(self.model, check_images(x))
        self._check_ready()
        return self._without_gradients(self.suspicion, x, batch_size)

    def calibrate(self, x_clean: Tensor, fpr: float = 0.05) -> "Detector":
        """Fix the threshold so that at most the share `fpr` of these clean images (N, C, H, W) is flagged; return self.

        Use validation images, different from those that the detector was fitted on and from those that it is evaluated on.

        Args:
            x_clean: N >= 1 images. If N * fpr < 1, none of them is flagged. Ties are flagged together or not at all, see
                `metrics.threshold_at`.
            fpr: in (0, 1) (default 0.05). At 0 or 1 there would be nothing to detect.
        """
        if check_range(fpr, "fpr", 0, 1) in (0, 1):
            raise InputError(f"fpr: got {fpr!r}; allowed is a number > 0 and < 1")
        check_model(self.model, check_images(x_clean, "x_clean"))
        if not len(x_clean):
            raise InputError("x_clean: got none; allowed is at least one clean image")
        self._calibrate(x_clean, fpr)
        return self

    def flag(self, x: Tensor) -> Tensor:
        """Return which of the images `x` are taken for adversarial, (N,) bool: those whose score exceeds the threshold."""
        self._check_calibrated()
        return self.score(x) > self.threshold

    def _calibrate(self, x_clean, fpr):
        self.threshold = threshold_at(self.score(x_clean), fpr)

    def _check_ready(self):
        """Raise `InputError` if the detector must be fitted first and has not been; here there is nothing to fit."""

    def _check_calibrated(self):
        self._check_ready()
        if self.threshold is None:
            raise InputError(
                "threshold: got None, because the detector was not calibrated; "
                "allowed is a threshold fixed by calibrate(x_clean, fpr)"
            )

    def _take_shapes(self, names, state_dict, prefix):
        """Before a state is loaded, give buffers that are None until fitting the values of the state, or None if it has none."""
        for name in names:
            value = state_dict.get(prefix + name)
            setattr(self, name, None if value is None else value.detach().clone().to(self._threshold.device))

    def _without_gradients(self, function, x, batch_size=256):
        """Return `function` of the images, computed in batches, (N, ...) float64; NaN or infinity raises `InputError`."""
        check_range(batch_size, "batch_size", 1, integer=True)
        with evaluating(self), torch.no_grad():
            values = torch.cat([function(part) for part in x.split(batch_size)]).double()
        if not torch.isfinite(values).all():
            raise InputError("model: led to scores that are NaN or infinite; allowed are finite scores")
        return values


class Guarded(nn.Module):
    """A model and its detector as one network with K + 1 classes, the last of which means "flagged": for adaptive attacks.

    Paper: Carlini and Wagner 2017, "Adversarial Examples Are Not Easily Detected: Bypassing Ten Detection Methods" (arXiv
    1705.07263), where the last logit is the product (D + 1) * max_k Z_k. Here it is the sum
    max_k Z_k + weight * (score - threshold), which is the largest logit iff the image is flagged, whatever the sign of Z.

    A TARGETED attack that reaches its target has fooled the model without being flagged. An untargeted one would make for the
    flag, so it is of no use here; `attacks.EachTarget` turns a targeted attack into an untargeted one that works. `abstains`
    tells records that the last class is a flag, which is not a success of an attack, and on a clean image is an error of the
    model.

    Args:
        detector: a calibrated detector. Its threshold is read anew in each pass.
        weight: logits per unit of the score (default 1): how an attack weighs the two.

    Raises:
        InputError: `detector` is not a `Detector`, or not calibrated.
    """

    abstains = True

    def __init__(self, detector: Detector, weight: float = 1.0):
        super().__init__()
        if not isinstance(detector, Detector):
            raise InputError(f"detector: got {type(detector).__name__}; allowed is a Detector")
        detector._check_calibrated()
        self.detector = detector
        self.weight = check_range(weight, "weight", 0, exclusive_low=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, K + 1) of the images `x` (N, C, H, W)."""
        logits = self.detector(x)
        excess = (self.detector.suspicion(x) - self.detector.threshold).to(logits.dtype)
        return torch.cat([logits, logits.amax(1, keepdim=True) + self.weight * excess[:, None]], 1)
