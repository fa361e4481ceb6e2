"""PixelDefend: a generative model of clean images restores attacked images, or measures how unlikely they are."""

import torch
from torch import Tensor, nn

from advcourse.core.inputs import InputError, check_images, check_range
from advcourse.defenses.detection import Detector
from advcourse.models.pixelcnn import PixelCNN, check_grey

_SLACK = 1e-6  # added to the allowed distance to a level: in float32, 0.3 and 4.5 / 15 are an ulp apart


class PixelDefend(nn.Module):
    """A model that sees, instead of each image, a likelier one nearby. Images (N, 1, H, W) in [0, 1] to logits (N, K).

    Paper: Song et al. 2018, "PixelDefend: Leveraging Generative Models to Understand and Defend against Adversarial Examples",
    algorithm 1 (arXiv 1710.10766). In raster order, each pixel is replaced by the likeliest value within `eps` of it, given the
    already replaced pixels before it: x_i <- argmax_z p(z | x_1, ..., x_{i-1}), |z - x_i| <= eps. The algorithm is greedy: it
    never returns to a pixel. The defense is not trained; only the generative model is, on clean images.

    Values are the levels of the generative model, here 16 levels 1/15 apart, instead of the paper's 256. If no level is within
    `eps`, the nearest one is taken, so that eps = 0 rounds the images.

    What breaks it: BPDA with the identity, because a purified image is near the original (Athalye, Carlini and Wagner 2018,
    "Obfuscated Gradients Give a False Sense of Security", arXiv 1802.00420: 9 % are left on CIFAR-10 at 0.031). Purifying itself
    has no gradient, so the defense's gradient is 0. On digits it depends on who reaches further. Most pixels are black or white,
    and can be restored if `eps` is at least the attack's. Of 30 digits on "mnist-small", BPDA leaves none at 0.32 in 10 steps,
    none at 0.3 with an `eps` of 0.15, and about half if both are 0.3. These withstood every attack that was tried: momentum,
    the margin and the cross-entropy, a soft choice of levels in the backward pass, and mixing in the bare model's gradient. 13
    of 30 withstood all of them, of 28 that the defense classifies correctly when clean.

    Args:
        model: images (N, 1, H, W) to logits (N, K).
        pixelcnn: a `PixelCNN` of clean images.
        eps: how far a pixel may be moved, in [0, 1] (default 0.3, the paper's for its grey images).
        threshold: a log-probability in nats; images that are already likelier are left unchanged, the paper's adaptive
            PixelDefend. None (default) purifies all.

    Example:
        >>> defense = PixelDefend(model, models.load("mnist-pixelcnn"))
        >>> broken = nn.Sequential(BPDA(defense.purify), model)
        >>> accuracy(defense, PGD()(broken, x, y), y)

    Raises:
        InputError: `model` is not an `nn.Module` or `pixelcnn` not a `PixelCNN`, a number is out of range, or images do not have
            exactly one channel.
    """

    def __init__(
        self, model: nn.Module, pixelcnn: PixelCNN, eps: float = 0.3, threshold: float | None = None
    ):
        super().__init__()
        self.model, self.pixelcnn = _checked(model, pixelcnn)
        self.eps = check_range(eps, "eps", 0, 1)
        self.threshold = threshold if threshold is None else check_range(threshold, "threshold")

    def purify(self, x: Tensor) -> Tensor:
        """Return the images (N, 1, H, W) that the model sees instead of `x`, without a graph; all N are made at once."""
        x = x.detach()
        if not len(x):
            return x
        pixelcnn = self.pixelcnn
        pixels = check_grey(x).to(next(pixelcnn.parameters()))
        grey = torch.arange(pixelcnn.levels).to(pixels) / (pixelcnn.levels - 1)
        # (H, W, N, levels): 0 where a pixel may take that level, else minus infinity.
        far = (pixels[:, 0].permute(1, 2, 0)[..., None] - grey).abs()
        nearest = far.amin(-1, keepdim=True)
        barred = torch.zeros_like(far).masked_fill(far > nearest.clamp_min(self.eps) + _SLACK, -torch.inf)
        made = pixelcnn.in_order(
            *(len(x), *x.shape[2:]), lambda scores, row, column: (scores + barred[row, column]).argmax(1)
        ).to(x)
        if self.threshold is None:
            return made
        with torch.no_grad():
            likely = pixelcnn.log_prob(pixels) > self.threshold
        return torch.where(likely.view(-1, 1, 1, 1), x, made)

    def forward(self, x: Tensor) -> Tensor:
        purified = self.purify(x)
        return self.model(purified + 0 * x if x.requires_grad else purified)


class PixelDetector(Detector):
    """Score: the bits per pixel of an image under a generative model of clean images; attacked images take more.

    Paper: Song et al. 2018 (see `PixelDefend`). They compare the image's probability with those of N clean images, in
    a permutation test: `p_value`. It orders images as the score does, which attacks can differentiate, see `PixelCNN.log_prob`.
    The paper compares with the images that the generative model was trained on. Here it is those that the detector is calibrated
    on, so that a clean image has a p-value below t with probability at most t, whatever the network has memorised.

    What breaks it: any likely image that is misclassified, but such an image is hard to find, because rounding hides small steps
    and every pixel affects the next. Of 20 digits on "mnist-small", `EachTarget(PGD(targeted=True))` on `Guarded(detector)` gets
    1 past the detector at 0.3 in L-infinity, in 80 steps. 4 get past it that were attacked through `PixelDefend` at 0.15 and then
    purified by 0.15: they are likely because they are purified. It may well fall to attacks that were not tried.

    Args:
        model: images (N, 1, H, W) to logits (N, K).
        pixelcnn: a `PixelCNN` of clean images.

    Example:
        >>> detector = PixelDetector(model, models.load("mnist-pixelcnn")).calibrate(x_validation)
        >>> flagged, p = detector.flag(x), detector.p_value(x)

    Raises:
        InputError: `model` is not an `nn.Module` or `pixelcnn` not a `PixelCNN`; a p-value or a flag is requested before
            calibration; or a p-value of a detector whose saved state lacks the clean images' scores.
    """

    def __init__(self, model: nn.Module, pixelcnn: PixelCNN):
        super().__init__(model)
        self.model, self.pixelcnn = _checked(model, pixelcnn)
        self.register_buffer("_clean", None)  # the scores of the calibration images

    def suspicion(self, x: Tensor) -> Tensor:
        return self.pixelcnn.bits(x)

    def p_value(self, x: Tensor) -> Tensor:
        """Return the share (N,), float64, of clean images that are no likelier than `x`, counting `x` itself.

        p = (1 + sum_i 1[p(x_i) <= p(x)]) / (M + 1), over the M images that the detector was calibrated on.
        """
        self._check_calibrated()
        if self._clean is None:
            raise InputError(
                "detector: got one saved without the clean images' scores; allowed is one after calibrate(x_clean)"
            )
        score = self.score(check_images(x))
        beaten = (self._clean.to(score.device) >= score[:, None]).sum(1)
        return (1 + beaten).double() / (len(self._clean) + 1)

    def _calibrate(self, x_clean, fpr):
        super()._calibrate(x_clean, fpr)
        self._clean = self.score(x_clean)

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        self._take_shapes(("_clean",), state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _checked(model, pixelcnn):
    for module, name, kind in ((model, "model", nn.Module), (pixelcnn, "pixelcnn", PixelCNN)):
        if not isinstance(module, kind):
            allowed = "a torch.nn.Module" if kind is nn.Module else "a PixelCNN"
            raise InputError(f"{name}: got {type(module).__name__}; allowed is {allowed}")
    return model, pixelcnn
