"""PixelDefend: a generative model of clean images restores an attacked one, or tells how unlikely it is."""

import torch
from torch import Tensor, nn

from advcourse.core.inputs import InputError, check_images, check_range
from advcourse.defenses.detection import Detector
from advcourse.models.pixelcnn import PixelCNN, check_grey

_SLACK = 1e-6  # of a level's distance to a pixel: float32 has 0.3 and 4.5 / 15 an ulp apart


class PixelDefend(nn.Module):
    """A model that sees, in place of each image, a likelier one nearby. Images (N, 1, H, W) in [0, 1] to logits (N, K).

    Paper: Song et al. 2018, "PixelDefend: Leveraging Generative Models to Understand and Defend against Adversarial Examples",
    algorithm 1 (arXiv 1710.10766). One pixel after the other, in raster order, becomes the likeliest value within `eps` of it,
    given those before it as they are by then: x_i <- argmax_z p(z | x_1, ..., x_{i-1}), |z - x_i| <= eps. Greedy: no pixel is
    gone back to. Not to be trained: only the generative model is, on clean images.

    Values are the levels of the generative model, here 16 of them, 1/15 apart, where the paper has 256. Where none is within
    `eps` it is the nearest one: so at eps = 0 images are rounded.

    What breaks it: BPDA with the identity, for a purified image is near the image (Athalye, Carlini and Wagner 2018, "Obfuscated
    Gradients Give a False Sense of Security", arXiv 1802.00420: 9 % are left on CIFAR-10 at 0.031). Purifying has no gradient of
    its own: that of the defense is 0. On digits it depends on who reaches further. Black and white, which most pixels are, can
    be put back where `eps` is no less than the attack's. Of 30 digits before "mnist-small", BPDA leaves none at 0.32 in 10
    steps, none at 0.3 where `eps` is 0.15, and about half where both are 0.3. Those withstood every attack that was tried:
    momentum, the margin and the cross-entropy, a soft choice of levels in the backward pass, and the bare model's gradient
    mixed in: 13 of 30 all of them, of 28 that the defense reads clean.

    Args:
        model: images (N, 1, H, W) to logits (N, K).
        pixelcnn: of clean images.
        eps: how far a pixel may be moved, in [0, 1] (default 0.3, the paper's for its grey images).
        threshold: a log-probability in nats; images that are likelier than that already are left as they are, the paper's
            adaptive PixelDefend. None (default) purifies all.

    Example:
        >>> defense = PixelDefend(model, models.load("mnist-pixelcnn"))
        >>> broken = nn.Sequential(BPDA(defense.purify), model)
        >>> accuracy(defense, PGD()(broken, x, y), y)

    Raises:
        InputError: a model or a PixelCNN that is none; a number out of its range; images of other than one channel.
    """

    def __init__(
        self, model: nn.Module, pixelcnn: PixelCNN, eps: float = 0.3, threshold: float | None = None
    ):
        super().__init__()
        self.model, self.pixelcnn = _checked(model, pixelcnn)
        self.eps = check_range(eps, "eps", 0, 1)
        self.threshold = threshold if threshold is None else check_range(threshold, "threshold")

    def purify(self, x: Tensor) -> Tensor:
        """The images (N, 1, H, W) that the model sees in place of `x`, without a graph; all N are made at once."""
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
    """Score: the bits per pixel that an image takes under a generative model of clean ones; attacked images take more.

    Paper: Song et al. 2018 (see `PixelDefend`). They compare the image's probability with those of N clean images, in
    a permutation test: `p_value`. Its order is that of the score, which attacks can differentiate, see `PixelCNN.log_prob`. The
    paper takes the images that the generative model was trained on. Here it is those that the detector is calibrated on: an
    image that is as clean has then a p-value below t with a chance of t at most, whatever the network has learnt by heart.

    What breaks it: a likely image that is misread is all it takes, but to find one is hard, as rounding hides small steps and
    every pixel weighs on the next. Of 20 digits before "mnist-small", `EachTarget(PGD(targeted=True))` on `Guarded(detector)`
    gets 1 past the detector at 0.3 in L-infinity, in 80 steps. 4 get past it that were attacked through `PixelDefend` at 0.15,
    and then purified by 0.15: they are likely because they are purified. It may well fall to attacks that were not tried.

    Args:
        model: images (N, 1, H, W) to logits (N, K).
        pixelcnn: of clean images.

    Example:
        >>> detector = PixelDetector(model, models.load("mnist-pixelcnn")).calibrate(x_validation)
        >>> flagged, p = detector.flag(x), detector.p_value(x)

    Raises:
        InputError: a model or a PixelCNN that is none; a p-value or a flag before calibration; a p-value of a detector whose
            saved state has none of the clean images' scores.
    """

    def __init__(self, model: nn.Module, pixelcnn: PixelCNN):
        super().__init__(model)
        self.model, self.pixelcnn = _checked(model, pixelcnn)
        self.register_buffer("_clean", None)  # the scores of the images that it was calibrated on

    def suspicion(self, x: Tensor) -> Tensor:
        return self.pixelcnn.bits(x)

    def p_value(self, x: Tensor) -> Tensor:
        """The share (N,), float64, of clean images that are no likelier than `x`, which counts as one of them.

        p = (1 + sum_i 1[p(x_i) <= p(x)]) / (M + 1), over the M images that the detector was calibrated on.
        """
        self._check_calibrated()
        if self._clean is None:
            raise InputError(
                "detector: got one that was saved without the clean images' scores; allowed is one after calibrate(x_clean)"
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
