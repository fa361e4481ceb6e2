"""A substitute: a net of the attacker's own that learns to answer like the victim, from the victim's labels alone."""

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advcourse.attacks.ascent import log_odds
from advcourse.core.inputs import (
    InputError,
    ask,
    check_classes,
    check_images,
    check_labels,
    check_model,
    check_range,
    check_seed,
    evaluating,
    predict,
)
from advcourse.core.randomness import seeded
from advcourse.training import fit


@dataclass(frozen=True)
class SubstituteResult:
    """What `train_substitute` leaves.

    model: the trained substitute, in eval mode. images (Q, C, H, W), labels (Q,): all that the victim was asked, in that order,
    and what it said. sizes: how many images each round trained on. agreement: after each round, the share of the held-out
    images on which substitute and victim say the same; NaN without held-out images.
    """

    model: nn.Module
    images: Tensor
    labels: Tensor
    sizes: tuple[int, ...]
    agreement: tuple[float, ...]

    @property
    def queries(self) -> int:
        """How many labels the victim gave away."""
        return len(self.images)


def augment(model: nn.Module, x: Tensor, y: Tensor, step: float = 0.1) -> Tensor:
    """Jacobian-based augmentation: x + step * sign(dF_y(x) / dx), clipped to [0, 1], for the images x (N, C, H, W).

    F_y is the probability that `model` gives the label y (N,). The sign is taken of the gradient of its log-odds: the two differ
    by the factor F_y (1 - F_y), which is positive, and rounds to 0 in float32 where the model is sure.

    Raises:
        InputError: images or labels against their contract; a step that is negative.
    """
    y = check_labels(y, check_images(x))
    check_model(model, x)
    step = check_range(step, "step", 0)
    with evaluating(model), torch.enable_grad():
        moved = [_moved(model, part, labels, step) for part, labels in zip(x.split(256), y.split(256))]
    return torch.cat(moved)


def _moved(model, x, y, step):
    x = x.detach().requires_grad_()
    logits = ask(model, x)
    check_classes(y, logits.shape[1])
    (gradient,) = torch.autograd.grad(-log_odds(logits, y).sum(), x)
    return (x.detach() + step * gradient.sign()).clamp(0, 1)


def train_substitute(
    victim: nn.Module,
    substitute: nn.Module,
    x: Tensor,
    rounds: int = 6,
    step: float = 0.1,
    *,
    held_out: Tensor | None = None,
    epochs: int = 10,
    batch_size: int = 32,
    lr: float = 3e-3,
    seed: int = 0,
    progress: bool = False,
) -> SubstituteResult:
    """Train a look-alike of `victim` from the labels that it gives, and nothing else of it.

    Paper: Papernot, McDaniel, Goodfellow, Jha, Celik and Swami 2017, "Practical Black-Box Attacks against Machine Learning"
    (arXiv 1602.02697). In each round the substitute F learns the labels of all images so far, going on from its weights. Then
    the set doubles, by images where F changes most: S' = S + {x + step * sign(dF_label(x) / dx)}, see `augment`; only the new
    ones are asked about. The last round does not double it, so that n images cost n * 2^(rounds - 1) queries.

    It gets round any defense that hides its gradient, for the gradient is the substitute's own: craft on `result.model`, and
    carry over with `Transfer`. How far that carries is another matter: an image that is to be carried over needs room.
    More digits of the attacker's own help more than more rounds. After 3 rounds from 300 digits, FGSM 0.3 on a small
    convolutional substitute fools 70 % of a distilled network's digits; after 5 rounds from 150, with twice the queries, 43 %.

    Args:
        victim: images to logits, of which only the argmax is used, in eval mode and without gradients.
        substitute: a network of the attacker's choice with the victim's classes, on the same device; it is copied, and left as
            it is.
        x: the first images (n, C, H, W), the attacker's own; the paper has 150 digits.
        rounds: how often the substitute is trained (default 6).
        step: lambda (default 0.1, the paper's).
        held_out: images (M, C, H, W) for the record's `agreement`. That is the judge's business, and counts as no query.
        epochs: passes over the images in each round (default 10).
        batch_size, lr: as for `training.fit` (default 32 and 3e-3).
        seed: decides the order of the images, and what a victim that draws random numbers says.
        progress: show progress bars.

    Raises:
        InputError: an argument out of its range; a victim of more classes than the substitute.
    """
    check_images(x)
    if not len(x):
        raise InputError("x: got no images; allowed is one or more")
    for network, name in ((victim, "victim"), (substitute, "substitute")):
        if not isinstance(network, nn.Module):
            raise InputError(f"{name}: got {network!r}; allowed is a torch.nn.Module")
    rounds = check_range(rounds, "rounds", 1, integer=True)
    step = check_range(step, "step", 0)
    model = copy.deepcopy(substitute).eval()
    settings = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed, "progress": progress}
    with seeded(x.device, check_seed(seed)):
        images, labels = x.detach().clone(), _labels(victim, x)
        truth = None if held_out is None else _labels(victim, held_out)
        sizes, agreement = [], []
        for done in range(1, rounds + 1):
            check_classes(labels, predict(model, images[:1]).shape[1], "victim's labels")
            fit(model, (images, labels), device=x.device, **settings)
            sizes.append(len(images))
            agreement.append(math.nan if truth is None else _agreement(model, held_out, truth))
            if done < rounds:
                new = augment(model, images, labels, step)
                images, labels = torch.cat([images, new]), torch.cat([labels, _labels(victim, new)])
    return SubstituteResult(model, images, labels, tuple(sizes), tuple(agreement))


def _labels(victim: nn.Module, x: Tensor) -> Tensor:
    """All that is ever asked of the victim: its label (N,) for each image."""
    return predict(victim, x).argmax(1)


def _agreement(model, x, labels):
    return (_labels(model, x) == labels).double().mean().item()
