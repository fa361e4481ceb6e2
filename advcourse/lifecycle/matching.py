"""Gradient matching: poison whose gradient points where that of the mislabelled target does, for victims trained from scratch."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from advcourse.attacks.hyperparameters import allowed, number
from advcourse.core.inputs import (
    InputError,
    accuracy,
    ask,
    check_choice,
    check_images,
    check_model,
    check_range,
    check_seed,
    evaluating,
    predict,
)
from advcourse.core.intervals import counted
from advcourse.data import ImageSet
from advcourse.lifecycle.collision import other_classes
from advcourse.lifecycle.poisoned import (
    Poisoned,
    Train,
    changed,
    check_class,
    check_count,
    check_data,
    check_function,
    train_victim,
)
from advcourse.lifecycle.poisoning import Trials

_MILESTONES = (3 / 8, 5 / 8, 7 / 8)  # shares of the steps after which the rate falls to a tenth
_AT_ONCE = 64  # gradients, one for each image, that are held at once


@dataclass(frozen=True)
class GradientMatching:
    """Poison for a victim trained from scratch: `attack(models, data, target, wanted, share)` returns a `Poisoned`.

    Source: Geiping, Fowl, Huang, Czaja, Taylor, Moeller and Goldstein 2021, "Witches' Brew: Industrial Scale Data Poisoning via
    Gradient Matching", equation 3 (arXiv 2009.02276): over the changes of the poisons, minimise

        1 - cos( grad_theta J(target, wanted), mean_i grad_theta J(x_i + delta_i, wanted) )

    with ONE cosine over all parameters; the code of a benchmark takes one for each layer, which is another objective. Signed
    Adam, as in the authors' code, at a rate of `lr` eps, which falls to a tenth after 3/8, 5/8 and 7/8 of the steps; the restart
    with the lowest loss is kept. The poisons are images of the wanted class, whose labels are right and stay; those whose own
    gradient is largest are taken, since they weigh most in training.

    With several networks the loss is their mean.

    On 1 000 digits with 30 poisons (100 steps, one restart, victims trained for eight epochs) 19 of 48 fresh victims read the
    target as the class that is second likeliest anyway, and 5 of 48 without the poison; for a random class it was 3 of 16, and
    none. After sixteen epochs a random class was won by none of 30.

    Args:
        eps: largest change of a pixel, in units of the pixel range (default 0.3).
        steps: default 250, the authors'.
        restarts: default 8, the authors'.
        lr: the first rate as a share of `eps` (default 0.1).

    Raises:
        InputError: a field is out of range.
    """

    eps: float = number(0.3, low=0, high=1)
    steps: int = number(250, low=1)
    restarts: int = number(8, low=1)
    lr: float = number(0.1, low=0, exclusive_low=True)

    def __post_init__(self):
        for each in fields(self):
            value = allowed(type(self))[each.name].check(getattr(self, each.name), each.name)
            object.__setattr__(self, each.name, value)

    def __call__(
        self,
        models: Sequence[nn.Module],
        data: ImageSet,
        target: Tensor,
        wanted: int,
        share: float = 0.01,
        seed: int = 0,
    ) -> Poisoned:
        """Return `data` with round(share * N) images of the class `wanted` changed, and the indices of these.

        Args:
            models: one or more networks, trained by the attacker on such data.
            data: the victim's training set.
            target: one image (1, C, H, W), which the victim does not train on.
            wanted: the class that it is to be read as.
            share: of the whole set, in [0, 1] (default 0.01, the paper's).
            seed: of the restarts (default 0).

        Raises:
            InputError: an argument is out of range, or more images than there are in the class.
        """
        models = [models] if isinstance(models, nn.Module) else models
        if not isinstance(models, Sequence) or not models or isinstance(models, str):
            given = "none" if isinstance(models, Sequence) and not models else repr(models)
            raise InputError(f"models: got {given}; allowed is one network or more")
        wanted = check_class(wanted, check_data(data), "wanted")
        if check_images(target, "target").shape != (1, *data.images.shape[1:]):
            raise InputError(f"target: got shape {tuple(target.shape)}; allowed is (1, C, H, W) as in data")
        members, count = (data.labels == wanted).nonzero()[:, 0], check_count(share, data)
        if count > len(members):
            raise InputError(
                f"share: got {count} images to take from class {wanted}, of which there are {len(members)}; "
                "allowed is a smaller share"
            )
        images = data.images.clone()
        if not count:
            return Poisoned(changed(data, images, data.labels.clone()), members[:0].cpu())
        for model in models:
            check_model(model, images)
        size = gradient_norms(models[0], images[members], data.labels[members])
        touched = members[size.argsort(descending=True, stable=True)[:count]].sort().values
        generator = torch.Generator().manual_seed(check_seed(seed))
        images[touched] = self._craft(models, images[touched], target.detach(), wanted, generator)
        return Poisoned(changed(data, images, data.labels.clone()), touched.cpu())

    def _craft(self, models, bases, target, wanted, generator):
        """Return the poison with the lowest loss over all restarts."""
        low, high = (bases - self.eps).clamp_min(0), (bases + self.eps).clamp_max(1)
        labels = torch.full((len(bases),), wanted, device=bases.device)
        goals = [_gradient(model, target, labels[:1])[0].detach() for model in models]
        best, lowest = bases, torch.inf
        for _ in range(self.restarts):
            noise = 2 * torch.rand(bases.shape, generator=generator).to(bases) - 1
            x = (bases + self.eps * noise).clamp(low, high).requires_grad_()
            stepper = torch.optim.Adam([x], lr=self.lr * self.eps or 1.0)
            milestones = [int(share * self.steps) for share in _MILESTONES]
            schedule = torch.optim.lr_scheduler.MultiStepLR(stepper, milestones)
            for _ in range(self.steps):
                losses = [mismatch(model, x, labels, goal) for model, goal in zip(models, goals)]
                loss = sum(losses) / len(losses)
                (slope,) = torch.autograd.grad(loss, x)
                x.grad = slope.sign()
                stepper.step(), schedule.step()
                with torch.no_grad():
                    x.clamp_(low, high)
            loss = sum(mismatch(model, x, labels, goal).item() for model, goal in zip(models, goals))
            if loss < lowest:
                best, lowest = x.detach().clone(), loss
        return best


def mismatch(model: nn.Module, x: Tensor, y: Tensor, goal: Tensor) -> Tensor:
    """Return 1 - cos(gradient of the mean loss on (x, y), goal), over all parameters at once: a scalar, differentiable in x.

    Args:
        model: images to logits.
        x, y: images (P, C, H, W) and labels (P,).
        goal: a gradient by all parameters that need one, flattened into one vector.
    """
    gradient, _ = _gradient(model, x, y, differentiable=True)
    return 1 - F.cosine_similarity(gradient, goal, dim=0)


def gradient_norms(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the Euclidean norm of the gradient of each image's own cross-entropy, by all parameters: (N,).

    Args:
        model: images to logits, without batch normalisation in training mode.
        x, y: images (N, C, H, W) and labels (N,).
    """
    parameters = {name: part.detach() for name, part in model.named_parameters()}

    def loss(weights, image, label):
        logits = functional_call(model, weights, (image[None],))
        return F.cross_entropy(logits, label[None])

    with evaluating(model):
        slopes = vmap(grad(loss), in_dims=(None, 0, 0), chunk_size=_AT_ONCE)
        parts = [
            slopes(parameters, image, label) for image, label in zip(x.split(_AT_ONCE), y.split(_AT_ONCE))
        ]
    square = [sum(part.flatten(1).square().sum(1) for part in each.values()) for each in parts]
    return torch.cat(square).sqrt()


def matching_trials(
    data: ImageSet,
    held_out: ImageSet,
    attack: GradientMatching | None = None,
    trials: int = 20,
    victims: int = 2,
    share: float = 0.03,
    networks: int = 1,
    wanted: Literal["random", "nearest"] = "random",
    seed: int = 0,
    train: Train = train_victim,
) -> Trials:
    """Measure `GradientMatching` on fresh victims: trained from scratch on the poison, by seeds that the attacker has not seen.

    The targets are drawn from the held-out images that the attacker's networks all read rightly. The control trains the same
    victims, by the same seeds, on the images as they were; it is trained once for all targets.

    Args:
        data: the training set. held_out: the images that targets and the accuracy are taken from.
        attack: default `GradientMatching()`.
        trials: how many targets (default 20).
        victims: fresh networks for each target (default 2). `wins.n` is trials * victims.
        share: of the set, in [0, 1] (default 0.03).
        networks: of the attacker, trained on `data` by seeds of their own (default 1).
        wanted: "random" (default) draws a class other than the target's; "nearest" takes the one that the attacker's first
            network finds second likeliest, which is far easier.
        seed: of all draws (default 0).
        train: `(data, seed) -> network` (default `train_victim`).

    Raises:
        InputError: an argument is out of range.
    """
    attack = GradientMatching() if attack is None else attack
    if not isinstance(attack, GradientMatching):
        raise InputError(f"attack: got {attack!r}; allowed is a GradientMatching")
    check_data(data), check_data(held_out, "held_out")
    check_function(train, "train", "a function (data, seed) -> network")
    victims = check_range(victims, "victims", 1, integer=True)
    networks = check_range(networks, "networks", 1, integer=True)
    seed = check_range(seed, "seed", 0, 2**40, integer=True)
    own = [train(data, 10_000 + 100 * seed + turn) for turn in range(networks)]
    x, y = held_out.images, held_out.labels
    right = torch.stack([predict(model, x).argmax(1) == y for model in own]).all(0).cpu().nonzero()[:, 0]
    trials = check_range(trials, "trials", 1, len(right), integer=True)
    generator = torch.Generator().manual_seed(seed)
    targets = right[torch.randperm(len(right), generator=generator)[:trials]]
    classes = other_classes(held_out, targets, generator)
    if check_choice(wanted, "wanted", ("random", "nearest")) == "nearest":
        classes = predict(own[0], x[targets]).topk(2).indices[:, 1].cpu()
    seeds = range(100 * seed, 100 * seed + victims)
    read = [predict(train(data, each), x).argmax(1).cpu() for each in seeds]
    control = sum(int((each[targets] == classes).sum()) for each in read)
    right_without = [(each == y.cpu()).double().mean().item() for each in read]
    won, right_with = torch.zeros(trials, dtype=torch.long), []
    for turn, (target, label) in enumerate(zip(targets.tolist(), classes.tolist())):
        image = x[target : target + 1]
        poisoned = attack(own, data, image, label, share, seed + turn).data
        for each in seeds:
            victim = train(poisoned, each)
            won[turn] += int(predict(victim, image).argmax() == label)
            right_with.append(accuracy(victim, x, y))
    n = trials * victims
    means = (sum(part) / len(part) for part in (right_with, right_without))
    return Trials(counted(int(won.sum()), n), counted(control, n), *means, targets, classes, won)


def _gradient(model, x, y, differentiable=False):
    """The gradient of the mean cross-entropy by all parameters, as one vector, and the loss."""
    with evaluating(model), torch.enable_grad():
        loss = F.cross_entropy(ask(model, x), y)
        weights = [part for part in model.parameters() if part.requires_grad]
        parts = torch.autograd.grad(loss, weights, create_graph=differentiable)
    return torch.cat([part.flatten() for part in parts]), loss
