"""Do adversarial examples survive being printed and photographed? The experiment of Kurakin, Goodfellow and Bengio 2017.

"Adversarial Examples in the Physical World" (arXiv 1607.02533) printed clean and adversarial images, photographed them with a
phone, and counted how many attacks the photograph destroys. Here `Phone` takes the place of paper and camera. Whatever the
phone does to attacked images it does to others as well, so every table also has clean images and noise of the same size.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd
import torch
from torch import Tensor, nn

from advcourse.attacks import PGD
from advcourse.attacks.adaptive import EOT
from advcourse.attacks.noise import Noise
from advcourse.cases.camera import Camera, Phone, Photographed
from advcourse.core.inputs import InputError, check_images, check_labels, check_range, predict
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
    camera: Camera | None = None,
    steps: int = 20,
    draws: int = 4,
    seed: int = 0,
) -> Tensor:
    """PGD on the expectation over photographs, with steps of eps / 8: an attack that is meant to be printed.

    After Athalye et al. 2018, "Synthesizing Robust Adversarial Examples" (arXiv 1707.07397). Each step photographs the images
    `draws` times, each time anew, and climbs the loss of the mean logits.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K).
        x, y: clean images and their labels (N,).
        eps: budget in L-infinity, in units of the pixel range.
        camera: what the attacker expects (default: a phone at strength 1, without JPEG).
        steps: number of steps (default 20).
        draws: photographs of each image in each step (default 4).
        seed: seed of the start and of the draws (default 0).

    Returns:
        adversarial images of the shape of `x`, within `eps`.
    """
    expected = EOT(Photographed(model, Phone(jpeg=False) if camera is None else camera), draws)
    return PGD(eps=eps, alpha=eps / 8, steps=steps, keep="last", seed=seed)(expected, x, y)


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
