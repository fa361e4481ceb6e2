"""What all poisoning attacks return, how a victim trains, and the checks of their arguments."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from advcourse import models
from advcourse.core.inputs import InputError, check_images, check_labels, check_range, check_seed
from advcourse.data import ImageSet
from advcourse.training import fit

Train = Callable[[ImageSet, int], nn.Module]


class Poisoned(NamedTuple):
    """A poisoned training set and, apart from it, what only the attacker knows.

    data: the set that the victim gets. touched: the indices, in ascending order, of the images whose pixels or label were
    changed, (P,) int64, on the CPU. No defense may see them; they serve to judge defenses.
    """

    data: ImageSet
    touched: Tensor


def train_victim(
    data: ImageSet, seed: int = 0, epochs: int = 8, architecture: str = "mnist-small"
) -> nn.Module:
    """Train a fresh network on `data` as a victim would, who looks at none of the images; return it in eval mode.

    Adam at a peak rate of 0.003 on batches of 128, without augmentation. On the 4 000 digits this takes some five seconds on
    one core, and ends with 96 to 97 % of the held-out digits.

    Args:
        data: the training set, of images that the architecture takes. The network trains on their device.
        seed: of the network's first weights and the order of the images (default 0).
        epochs: passes over the data (default 8).
        architecture: a key of `models.ARCHITECTURES` (default "mnist-small").

    Raises:
        InputError: an argument is out of range, or the images do not fit the architecture.
    """
    check_data(data)
    model = models.build(architecture, check_seed(seed)).to(data.images.device)
    fit(model, data, epochs=epochs, lr=3e-3, device=data.images.device, seed=seed, progress=False)
    return model.eval()


def check_data(data: ImageSet, name: str = "data") -> ImageSet:
    """Return `data`; `InputError` unless it is an `ImageSet` with at least one image and two classes."""
    if not isinstance(data, ImageSet):
        raise InputError(
            f"{name}: got {type(data).__name__}; allowed is an ImageSet, such as data.load returns"
        )
    if not len(data) or len(data.classes) < 2:
        raise InputError(f"{name}: got {data!r}; allowed is at least one image, and two classes")
    return data


def check_class(label: int, data: ImageSet, name: str = "target") -> int:
    """Return `label`; `InputError` unless it is one of the data's classes."""
    return check_range(label, name, 0, len(data.classes) - 1, integer=True)


def check_count(share: float, data: ImageSet, name: str = "share") -> int:
    """Return how many images `share`, in [0, 1], of the whole set is: rounded, a half upwards."""
    return int(check_range(share, name, 0, 1) * len(data) + 0.5)


def check_flags(flags: Tensor, n: int, name: str = "flags") -> Tensor:
    """Return `flags`; `InputError` unless it is a tensor (n,) of bool, one for each training image."""
    if not isinstance(flags, Tensor) or flags.dtype != torch.bool or flags.shape != (n,):
        raise InputError(f"{name}: got {form(flags)}; allowed is a tensor ({n},) of bool, one for each image")
    return flags


def draw(candidates: Tensor, count: int, seed: int, what: str, name: str = "share") -> Tensor:
    """Draw `count` of the indices `candidates` (M,) without replacement, in ascending order, on the CPU.

    Raises:
        InputError: there are fewer than `count`; the message calls them `what`.
    """
    if count > len(candidates):
        raise InputError(
            f"{name}: got {count} images to take from {what}, of which there are {len(candidates)}; "
            "allowed is a smaller share"
        )
    order = torch.randperm(len(candidates), generator=torch.Generator().manual_seed(check_seed(seed)))
    return candidates.cpu()[order[:count]].sort().values


def changed(data: ImageSet, images: Tensor, labels: Tensor) -> ImageSet:
    """Return a set like `data` with these images and labels."""
    about = {"name": data.name, "split": data.split, "licence": data.licence}
    return ImageSet(images, labels, data.classes, **about)


def check_function(value: Callable, name: str, kind: str) -> Callable:
    """Return `value`; `InputError` unless it can be called. `kind` says what is allowed: "a function (data, seed) -> network"."""
    if not callable(value):
        raise InputError(f"{name}: got {form(value)}; allowed is {kind}")
    return value


def check_pair(data: ImageSet | tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the images (N, C, H, W) and labels (N,) of a set or of a pair; `InputError` if they are no such tensors."""
    if isinstance(data, ImageSet):
        data = data.images, data.labels
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise InputError(f"data: got {form(data)}; allowed is an ImageSet, or a pair (images, labels)")
    x, y = data
    return x, check_labels(y, check_images(x, "images"), "labels")


def form(value: object) -> str:
    """Return what a message calls a value: a tensor's shape and type, else the type."""
    return (
        f"shape {tuple(value.shape)} of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
    )
