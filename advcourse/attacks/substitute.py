"""A substitute: the attacker's own net, trained to answer like the victim, from the victim's labels alone."""

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advcourse.attacks.ascent import log_odds_slope
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
    """The record of `train_substitute`.

    Attributes:
        model: the trained substitute, in eval mode.
        images: all images that the victim was asked about, (Q, C, H, W), in that order.
        labels: the victim's labels for them, (Q,).
        sizes: number of images that each round trained on.
        agreement: after each round, the share of the held-out images on which substitute and victim agree; NaN without
            held-out images.
    """

    model: nn.Module
    images: Tensor
    labels: Tensor
    sizes: tuple[int, ...]
    agreement: tuple[float, ...]

    @property
    def queries(self) -> int:
        """Number of labels that the victim was asked for."""
        return len(self.images)


def augment(model: nn.Module, x: Tensor, y: Tensor, step: float = 0.1) -> Tensor:
    """Jacobian-based augmentation: x + step * sign(dF_y(x) / dx), clipped to [0, 1].

    F_y is the probability that `model` assigns to the label y. The code takes the sign of the gradient of its log-odds
    instead. The two gradients differ by the positive factor F_y (1 - F_y), which rounds to 0 in float32 if the model is
    certain.

    Args:
        model: a module from images to logits (N, K).
        x: images (N, C, H, W) in [0, 1].
        y: labels (N,).
        step: size of the step, in units of the pixel range [0, 1], at least 0 (default 0.1).

    Returns:
        new images (N, C, H, W) in [0, 1].

    Raises:
        InputError: model, images or labels break their contract, or `step` is negative.

    Source: Papernot et al. 2017, see `train_substitute`.
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
    (gradient,) = torch.autograd.grad(logits, x, -log_odds_slope(logits.detach(), y))
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
    """Train a network to imitate `victim` using only the victim's labels.

    Paper: Papernot, McDaniel, Goodfellow, Jha, Celik and Swami 2017, "Practical Black-Box Attacks against Machine Learning"
    (arXiv 1602.02697). In each round the substitute F continues training on the labels of all images so far. Then the set is
    doubled by images at which F changes most: S' = S + {x + step * sign(dF_label(x) / dx)}, see `augment`. The victim is asked
    only about the new ones. The last round does not double the set, so n images cost n * 2^(rounds - 1) queries.

    This evades any defense that hides its gradient, because the gradient comes from the substitute: attack `result.model`, and
    transfer the images with `Transfer`. How often they fool the victim is another question: to transfer, an image needs a
    margin. More digits of the attacker's own help more than more rounds. After 3 rounds from 300 digits, FGSM 0.3 on a small
    convolutional substitute fools 70 % of a distilled network's digits; after 5 rounds from 150, with twice the queries, 43 %.

    Args:
        victim: a module from images to logits. Only the argmax is used, in eval mode and without gradients.
        substitute: a network of the attacker's choice with the victim's classes, on the same device. It is copied, and not
            changed.
        x: the attacker's first images, (n, C, H, W) in [0, 1], n >= 1; the paper uses 150 digits.
        rounds: how often the substitute is trained (default 6).
        step: lambda, the step of `augment` (default 0.1, the paper's).
        held_out: images (M, C, H, W) on which `agreement` is measured (default None). They serve the evaluation, not the
            attacker, so they do not count as queries.
        epochs: passes over the images in each round (default 10).
        batch_size, lr: as for `training.fit` (default 32 and 3e-3).
        seed: seed of the order of the images, and of a victim that draws random numbers (default 0).
        progress: show progress bars (default False).

    Returns:
        a `SubstituteResult`.

    Raises:
        InputError: an argument is out of range or of the wrong type, `x` is empty, or the victim's labels exceed the
            substitute's classes.
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
    """Return the victim's label (N,) for each image, which is all that the victim is ever asked for."""
    return predict(victim, x).argmax(1)


def _agreement(model, x, labels):
    return (_labels(model, x) == labels).double().mean().item()
