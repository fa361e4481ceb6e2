"""Shadow nets: many nets that learn from random halves of one pool, so that one knows who was inside and who was not."""

import os
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcourse.attacks.ascent import log_odds
from advcourse.core.files import replacing
from advcourse.core.inputs import (
    InputError,
    are_integers,
    check_classes,
    check_flag,
    check_images,
    check_labels,
    check_range,
    check_seed,
    predict,
)
from advcourse.data import ImageSet
from advcourse.lifecycle.poisoned import check_function, check_pair

SHIPPED = Path(__file__).parent / "files" / "shadows-mnist-small.npz"
REACH = 2  # pixels; the copies that are read for `votes` are moved by up to so many along each axis
COPIES = (2 * REACH + 1) ** 2

Learner = Callable[[Tensor, Tensor, int], nn.Module]


def logit_confidence(logits: Tensor, y: Tensor) -> Tensor:
    """Return phi = Z_y - log sum_{j != y} exp Z_j, which equals log(p / (1 - p)) for the probability p of the label y.

    It is computed in float64, and from the logits: from a probability that float32 has rounded to 1 nothing can be told any
    more, and these are the points that a net has learned by heart.

    Args:
        logits: (..., M, K).
        y: labels (M,).

    Returns:
        (..., M), float64.

    Raises:
        InputError: logits that are no finite numbers of such a shape, or labels that do not fit them.

    Source: Carlini et al. 2022, "Membership Inference Attacks From First Principles", section IV.D (arXiv 2112.03570).
    """
    _check_logits(logits)
    _check_fitting(y, logits)
    labels = y.long().expand(logits.shape[:-1]).reshape(-1)
    against = log_odds(logits.detach().double().flatten(0, -2), labels)
    return -against.view(logits.shape[:-1])


@dataclass(frozen=True)
class Answers:
    """What nets say about M points, which is all that an attacker on membership sees.

    Attributes:
        logits: (M, K) of one net, or (N, M, K) of N nets.
        labels: the true labels, (M,).
        votes: the share of 25 moved copies of each point that the net reads as its label, (M,) or (N, M); None (default) if
            this was not asked. An attacker can ask for it where a net gives nothing but labels.
    """

    logits: Tensor
    labels: Tensor
    votes: Tensor | None = None

    def __post_init__(self):
        _check_logits(self.logits)
        _check_fitting(self.labels, self.logits)
        if self.votes is not None:
            _check_votes(self.votes, self.logits.shape[:-1])

    @property
    def phi(self) -> Tensor:
        """The log-odds of the true label, see `logit_confidence`: (M,) or (N, M), float64."""
        return logit_confidence(self.logits, self.labels)

    @property
    def right(self) -> Tensor:
        """Which points are read rightly, (M,) or (N, M), bool."""
        return self.logits.argmax(-1) == self.labels

    @property
    def vote_odds(self) -> Tensor:
        """The log-odds of the votes, with half a vote added to each side so that they are finite: (M,) or (N, M), float64.

        Raises:
            InputError: no votes were asked for.
        """
        if self.votes is None:
            raise InputError(
                "votes: got None; allowed are the votes that train_shadows(..., votes=True) counts"
            )
        count = self.votes.double() * COPIES
        return torch.log((count + 0.5) / (COPIES - count + 0.5))


@dataclass(frozen=True, kw_only=True)
class ShadowSet(Answers):
    """The answers of N shadow nets, logits (N, M, K), and `members`, (N, M) bool: which point each of them learned from."""

    members: Tensor

    def __post_init__(self):
        super().__post_init__()
        given = getattr(self.members, "shape", None)
        if given != self.logits.shape[:-1] or len(given) != 2 or self.members.dtype != torch.bool:
            raise InputError(
                f"members: got {type(self.members).__name__} of shape {given and tuple(given)}; allowed is a tensor "
                f"(N, M) of bool for logits (N, M, K)"
            )

    def __len__(self) -> int:
        return len(self.members)

    def without(self, net: int) -> "ShadowSet":
        """Return the set without one net, which is then the target: a target among its own shadows gives itself away."""
        kept = [place for place in range(len(self)) if place != self._place(net)]
        return self.only(kept)

    def only(self, nets: list[int]) -> "ShadowSet":
        """Return the set of these nets alone, in this order."""
        places = check_places(nets, len(self), "nets")
        votes = None if self.votes is None else self.votes[places]
        return replace(self, logits=self.logits[places], members=self.members[places], votes=votes)

    def answers(self, net: int) -> Answers:
        """Return what one net says, without what it has learned from."""
        place = self._place(net)
        return Answers(self.logits[place], self.labels, None if self.votes is None else self.votes[place])

    def _place(self, net):
        return check_range(net, "net", 0, len(self) - 1, integer=True)


def draw_halves(points: int, nets: int, seed: int = 0) -> Tensor:
    """Draw which points each net learns from: every net gets exactly half of them, every point is in exactly half of the nets.

    The nets come in pairs: the first gets a random half, the second the rest.

    Args:
        points: M, even.
        nets: N, even.
        seed: of the draws (default 0).

    Returns:
        (N, M) bool.

    Raises:
        InputError: a number is odd, or below 2.
    """
    for value, name in ((points, "points"), (nets, "nets")):
        if check_range(value, name, 2, integer=True) % 2:
            raise InputError(
                f"{name}: got {value}; allowed are even numbers, since each half has a counterpart"
            )
    generator = torch.Generator().manual_seed(check_seed(seed))
    members = torch.zeros(nets, points, dtype=torch.bool)
    for pair in range(0, nets, 2):
        members[pair, torch.randperm(points, generator=generator)[: points // 2]] = True
        members[pair + 1] = ~members[pair]
    return members


def train_shadows(
    data: ImageSet | tuple[Tensor, Tensor],
    learner: Learner,
    nets: int = 32,
    seed: int = 0,
    *,
    votes: bool = False,
    only: list[int] | None = None,
) -> ShadowSet:
    """Train nets on random halves of a pool, and ask each about the whole pool.

    Args:
        data: the pool: an `ImageSet`, or images (M, C, H, W) and labels (M,); M even.
        learner: `(images, labels, seed) -> net`, which trains a new net exactly as the target was trained.
        nets: N, even (default 32).
        seed: of the halves; net i is trained with the seed `seed * 1000 + i` (default 0).
        votes: ask for the label of 25 moved copies of each point, too (default False).
        only: train only these of the nets (default None: all). The halves do not change.

    Returns:
        a `ShadowSet` of the nets.

    Raises:
        InputError: an argument is out of range, or the data are no images with labels.
    """
    x, y = check_pair(data)
    check_function(learner, "learner", "a function (images, labels, seed) -> net")
    votes = check_flag(votes, "votes")
    members = draw_halves(len(x), nets, seed).to(x.device)
    chosen = list(range(nets)) if only is None else check_places(only, nets, "only")
    logits, counts = [], []
    for net in chosen:
        inside = members[net]
        model = learner(x[inside], y[inside], 1000 * seed + net)
        logits.append(predict(model, x))
        if votes:
            counts.append(label_votes(model, x, y))
    counted = torch.stack(counts) if votes else None
    return ShadowSet(logits=torch.stack(logits), labels=y, votes=counted, members=members[chosen])


def label_votes(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the share of 25 copies of each image, moved by up to two pixels, that `model` reads as its label.

    Only labels are asked for: 25 queries an image. Pixels that move into view are black.

    Args:
        model: images (M, C, H, W) to logits (M, K).
        x: images in [0, 1].
        y: labels (M,).

    Returns:
        (M,), float32.

    Source: Choquette-Choo, Tramèr, Carlini and Papernot 2021, "Label-Only Membership Inference Attacks", section 4.2
    (arXiv 2007.14321).
    """
    y = check_labels(y, check_images(x))
    height, width = x.shape[2:]
    framed = F.pad(x, (REACH, REACH, REACH, REACH))
    places = [(i, j) for i in range(2 * REACH + 1) for j in range(2 * REACH + 1)]
    moved = (framed[:, :, i : i + height, j : j + width] for i, j in places)
    return torch.stack([predict(model, copy).argmax(1) == y for copy in moved]).float().mean(0)


def save_shadows(shadows: ShadowSet, path: str | os.PathLike) -> None:
    """Write a `ShadowSet` to an array file, whole or not at all."""
    arrays = {"logits": shadows.logits.float(), "labels": shadows.labels.to(torch.uint8)}
    arrays["members"] = torch.from_numpy(np.packbits(shadows.members.cpu().numpy(), axis=1))
    if shadows.votes is not None:
        arrays["votes"] = (shadows.votes * COPIES).round().to(torch.uint8)
    with replacing(Path(path)) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **{name: values.cpu().numpy() for name, values in arrays.items()})


def load_shadows(path: str | os.PathLike = SHIPPED) -> ShadowSet:
    """Read a `ShadowSet` that `save_shadows` wrote.

    The shipped one, which is the default, has 32 `mnist-small` of 250 digits each, half of the first 500 training digits of
    "mnist-5k", whose labels and order it keeps. `advcourse train shadows-mnist-small` makes it anew.

    Raises:
        InputError: the file is missing or damaged.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"path: got {path!r}; allowed is the name of a file")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: torch.from_numpy(file[name]) for name in file.files}
        labels = arrays["labels"].long()
        members = np.unpackbits(arrays["members"].numpy(), axis=1, count=len(labels))
        votes = arrays["votes"] / COPIES if "votes" in arrays else None
        inside = torch.from_numpy(members).bool()
        return ShadowSet(logits=arrays["logits"], labels=labels, votes=votes, members=inside)
    except FileNotFoundError:
        raise InputError(f"file {path} is missing; install the package again") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"file {path} is damaged ({error}); install the package again") from error


def check_places(places: list[int], count: int, name: str) -> list[int]:
    """Return which of `count` nets are meant, as a list of integers; `InputError` if it is none of them."""
    if isinstance(places, str) or not isinstance(places, Iterable):
        raise InputError(f"{name}: got {places!r}; allowed is a list of nets, or None for all")
    places = [check_range(place, name, 0, count - 1, integer=True) for place in places]
    if not places:
        raise InputError(f"{name}: got none; allowed is at least one net, or None for all")
    return places


def _check_logits(logits):
    fine = isinstance(logits, Tensor) and logits.is_floating_point() and logits.dim() >= 2
    if not fine or logits.shape[-1] < 2 or not torch.isfinite(logits).all():
        given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(f"logits: got {given}; allowed are finite numbers of shape (..., M, K), K >= 2")


def _check_votes(votes, shape):
    fine = isinstance(votes, Tensor) and votes.is_floating_point() and votes.shape == shape
    if not fine or not ((votes >= 0) & (votes <= 1)).all():  # NaN is neither
        given = f"shape {tuple(votes.shape)}" if isinstance(votes, Tensor) else type(votes).__name__
        raise InputError(
            f"votes: got {given}; allowed are shares in [0, 1] of shape {tuple(shape)}, one a point"
        )


def _check_fitting(y, logits):
    if not isinstance(y, Tensor) or not are_integers(y) or y.shape != logits.shape[-2:-1]:
        given = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise InputError(f"labels: got {given}; allowed are whole numbers, shape ({logits.shape[-2]},)")
    if y.numel() and int(y.min()) < 0:
        raise InputError(f"labels: got {int(y.min())}; allowed are class numbers from 0")
    check_classes(y, logits.shape[-1], "labels")
