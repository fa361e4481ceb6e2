"""Do adversarial examples survive being printed and photographed? The experiment of Kurakin, Goodfellow and Bengio 2017.

"Adversarial Examples in the Physical World" (arXiv 1607.02533) printed clean and adversarial images, photographed them with a
phone, and counted how many attacks the photograph destroys. Here `Phone` takes the place of paper and camera. Whatever the
phone does to attacked images it does to others as well, so every table also has clean images and noise of the same size.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import pandas as pd
import torch
from torch import Tensor, nn

from advcourse.attacks import Schedule
from advcourse.attacks.ascent import ascend
from advcourse.attacks.gradient_sign import GradientSign
from advcourse.attacks.hyperparameters import number
from advcourse.attacks.noise import Noise
from advcourse.cases.camera import Camera, Phone
from advcourse.core.inputs import (
    LARGEST_SEED,
    InputError,
    check_images,
    check_labels,
    check_range,
    predict,
)
from advcourse.core.intervals import Interval, printed, wilson

HELD_OUT = Phone(seed=1000)  # the default phone of the measurements: no attack is made with its draws


@dataclass(frozen=True)
class Fate:
    """What became of images when they were photographed.

    name: what was done to the images before. on_screen: the share that the model reads wrongly before. photographed: the share
    of the photographs that it reads wrongly. destroyed: the destruction rate, the share of the successful attacks whose
    photographs are read rightly again; NaN if no attack succeeded, and for clean images.
    """

    name: str
    on_screen: Interval
    photographed: Interval
    destroyed: Interval


def photograph(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    attacked: Mapping[str, Tensor],
    eps: float,
    camera: Camera = HELD_OUT,
    draws: int = 3,
) -> list[Fate]:
    """Photograph attacked images, and beside them clean ones and noise of the same size.

    Images are neither chosen nor left out: this is the paper's average case. For several draws, rates are means over them, and
    the intervals are those of N images, since photographs of one image resemble each other. The mean of the destruction rates
    is that of `metrics.destruction_rate`.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K).
        x, y: clean images and their labels (N,).
        attacked: adversarial images of the same shape, by the name of their attack.
        eps: their budget in L-infinity; each pixel and channel of the noise is +eps or -eps, clipped to [0, 1].
        camera: its seed decides the draws, which should be others than the attack's (default `HELD_OUT`, at strength 1).
        draws: photographs of each image (default 3), the first with the camera's seed, the next with the seed after it.

    Returns:
        the fates of "clean", "noise", and of each attack, in this order.

    Raises:
        InputError: an argument has another form, or a name is given twice.
    """
    check_labels(y, check_images(x))
    draws = check_range(draws, "draws", 1, integer=True)
    for name, images in attacked.items():
        if check_images(images, name).shape != x.shape:
            raise InputError(
                f"{name}: got shape {tuple(images.shape)}; allowed is that of x, {tuple(x.shape)}"
            )
    if {"clean", "noise"} & set(attacked):
        raise InputError("attacked: got the name 'clean' or 'noise'; allowed are others, for these are added")
    images = {"clean": x, "noise": sign_noise(x, eps)} | dict(attacked)
    clean_right = predict(model, x).argmax(1) == y
    cameras = [replace(camera, seed=camera.seed + k) for k in range(draws)]
    return [_fate(name, model, z, y, clean_right, cameras) for name, z in images.items()]


def sign_noise(x: Tensor, eps: float, seed: int = 0) -> Tensor:
    """Return the images `x` with +eps or -eps, a fair coin each, added to each pixel and channel, clipped to [0, 1]."""
    eps = check_range(eps, "eps", 0, 1)
    return (x + eps * torch.sign(Noise(seed).uniform(check_images(x)) - 0.5)).clamp(0, 1)


def eot_pgd(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    eps: float,
    steps: int = 20,
    draws: int = 4,
    seed: int = 0,
) -> Tensor:
    """Return the images of `PhonePGD` with steps of eps / 8: an attack that is meant to be printed.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K).
        x, y: clean images and their labels (N,).
        eps: budget in L-infinity, in units of the pixel range.
        steps: number of steps (default 20).
        draws: photographs of each image in each step (default 4).
        seed: seed of the start and of the draws (default 0).

    Returns:
        adversarial images of the shape of `x`, within `eps`.
    """
    return PhonePGD(eps, eps / 8, steps, draws, seed=seed)(model, x, y)


@dataclass(frozen=True)
class PhonePGD(GradientSign):
    """PGD on the expectation over photographs by a phone, without JPEG, and judged on photographs.

        x_{i+1} = clip_{x, eps}(x_i + alpha * sign(grad J(1/n sum_j Z(camera_ij(x_i)), y))), from a uniform point of the ball.

    Paper: Athalye, Engstrom, Ilyas and Kwok 2018, "Synthesizing Robust Adversarial Examples" (arXiv 1707.07397), for the
    expectation; Madry et al. 2018 (arXiv 1706.06083) for the steps. Norm: L-infinity, of the image that is printed. The last
    iterate is returned, since the loss of a few photographs is too noisy to choose by.

    Its threat model is "physical": the record's logits, and so its predictions and its success, are those of one photograph of
    each attacked image, taken by `HELD_OUT`, whose draws no attack sees, at the same strength. A photograph can also be misread
    without any attack: the model's accuracy on photographs of clean images says how often.

    Args:
        eps: budget, in units of the pixel range [0, 1] (default 16/255).
        alpha: size of a step (default None: 2.5 * eps / steps, Madry's rule).
        steps: number of steps (default 20).
        draws: n, photographs of each image in each step, each anew (default 4).
        strength: of the phone, from 0, no photograph at all, to 2 (default 1).
        targeted: descend the loss of `target` instead of climbing that of `y` (default False).
        seed: seed of the start and of the photographs (default 0).

    Example:
        >>> PhonePGD(eps=8 / 255).run(models.load("signs-phone"), x, y).success_rate  # in photographs
    """

    channel: ClassVar[str] = "physical"
    eps: float = number(16 / 255, low=0)
    alpha: float | None = number(None, low=0)
    steps: int = number(20, low=1)
    draws: int = number(4, low=1)
    strength: float = number(1.0, low=0, high=2)
    targeted: bool = False
    seed: int = number(0, low=0, high=LARGEST_SEED)

    @property
    def schedule(self) -> Schedule:
        alpha = 2.5 * self.eps / self.steps if self.alpha is None else self.alpha
        target = "given" if self.targeted else "none"
        return Schedule(self.eps, alpha, self.steps, start="uniform", target=target)

    def as_read(self, images: Tensor, first: int = 0) -> Tensor:
        """Return one held-out photograph of each image (N, C, H, W); `first` is the first one's index in the whole batch."""
        return replace(HELD_OUT, strength=self.strength)(images, first)

    def _perturb(self, victim, x, y, target, noise):
        expected = _Expected(victim, Phone(self.strength, jpeg=False), self.draws, self.seed, noise.first)
        return ascend(self.schedule, expected, x, y, target, noise)


class _Expected:
    """An `AttackedModel` behind a camera: its mean logits over `draws` photographs of each image, new ones in each pass.

    A photograph follows from `seed`, the number of those before it, and the image's index in the whole batch; `first` is that
    of the first image.
    """

    def __init__(self, victim, camera, draws, seed, first):
        self._victim, self._camera, self._draws, self._first = victim, camera, draws, first
        self._seeds = torch.Generator().manual_seed(seed)

    def __call__(self, x):
        total, places = 0, range(self._first, self._first + len(x))
        for _ in range(self._draws):
            seed = int(torch.randint(2**62, (), generator=self._seeds))
            total = total + self._victim(self._camera.photograph(x, places, seed))
        return total / self._draws

    def gradient(self, values, x, weights):
        self._victim.backward_passes += (self._draws - 1) * len(x)  # those of the other photographs
        return self._victim.gradient(values, x, weights)


def table(fates: list[Fate]) -> pd.DataFrame:
    """Return the fates as a table in words, a row for each: "34 % (21 of 62; 23 to 46 %)"."""
    columns = {
        "read wrongly on screen": "on_screen",
        "in the photograph": "photographed",
        "destroyed": "destroyed",
    }
    rows = {
        fate.name: {head: printed(getattr(fate, field)) for head, field in columns.items()} for fate in fates
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def _fate(name, model, images, y, clean_right, cameras):
    right = predict(model, images).argmax(1) == y
    after = torch.stack([predict(model, camera(images)).argmax(1) == y for camera in cameras])
    fooled = clean_right & ~right
    rates = after.double().mean(0)
    shares = ((~right).double(), 1 - rates, rates[fooled])
    return Fate(name, *(_estimate(share) for share in shares))


def _estimate(shares):
    """Return the mean of the images' shares (N,) with Wilson's interval for N images, however many photographs each has."""
    return wilson(shares.mean().item() if len(shares) else math.nan, len(shares))
