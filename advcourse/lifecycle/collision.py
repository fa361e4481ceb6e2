"""Feature collision: poison that looks like its own class and, to a frozen network, like the target."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from advcourse.attacks.hyperparameters import allowed, number
from advcourse.core.inputs import (
    InputError,
    ask,
    check_images,
    check_model,
    check_range,
    check_seed,
    evaluating,
)
from advcourse.core.intervals import counted
from advcourse.data import ImageSet
from advcourse.lifecycle.features import Features, activations
from advcourse.lifecycle.poisoned import check_data
from advcourse.lifecycle.poisoning import Trials


@dataclass(frozen=True)
class FeatureCollision:
    """Images near their bases whose features are near the target's: `attack(model, bases, target)` returns them.

    Source: Shafahi et al. 2018, "Poison Frogs! Targeted Clean-Label Poisoning Attacks on Neural Networks", algorithm 1 (arXiv
    1804.00792), which minimises |phi(p) - phi(t)|^2 + beta |p - b|^2 by forward-backward splitting:

        forward    u = p - lr grad_p |phi(p) - phi(t)|^2
        backward   p = (u + lr beta b) / (1 + lr beta)

    This backward step is exact for (beta / 2) |p - b|^2, so beta counts half of what the paper's objective says. The rate of an
    image is halved whenever its objective would rise, and that step is not taken, much as in the authors' code.

    On `mnist-small` one poison among 300 digits wins 45 of 60 random targets, five win 54, and the bare bases none.

    The threat model is a victim who keeps the network frozen and trains a new head. Trained from scratch, a victim moves its
    features, and the collision is gone.

    Args:
        beta: weight of the distance to the base (default 10). It must fit the scale of the features, which on `mnist-small` are
            some 40 apart: at 0.1 nothing holds the poison, which ends as near to the target as to its base.
        steps: default 100.
        lr: the first rate (default 0.1).
        eps: largest change of a pixel, in units of the pixel range; None (default) only keeps images in [0, 1].

    Raises:
        InputError: a field is out of range.
    """

    beta: float = number(10.0, low=0)
    steps: int = number(100, low=1)
    lr: float = number(0.1, low=0, exclusive_low=True)
    eps: float | None = number(None, low=0)

    def __post_init__(self):
        for each in fields(self):
            value = allowed(type(self))[each.name].check(getattr(self, each.name), each.name)
            object.__setattr__(self, each.name, value)

    def __call__(self, model: nn.Module, bases: Tensor, target: Tensor) -> Tensor:
        """Return the poisons (P, C, H, W).

        Args:
            model: a network that ends in a linear layer; what that layer reads is phi, see `Features`.
            bases: images (P, C, H, W) of the wanted class.
            target: one image (1, C, H, W).

        Raises:
            InputError: `target` is not one image of the bases' shape, or the model breaks its contract.
        """
        check_model(model, check_images(bases, "bases"))
        if check_images(target, "target").shape != (1, *bases.shape[1:]):
            raise InputError(
                f"target: got shape {tuple(target.shape)}; allowed is (1, {tuple(bases.shape[1:])})"
            )
        body, b = Features(model), bases.detach()
        reach = 1.0 if self.eps is None else self.eps
        low, high = (b - reach).clamp_min(0), (b + reach).clamp_max(1)
        with evaluating(model), torch.enable_grad():
            goal = ask(body, target.detach()).detach()
            p, lr = b.clone(), b.new_full((len(b), 1, 1, 1), self.lr)
            gradient, objective = self._forward(body, p, b, goal)
            for _ in range(self.steps):
                u = p - lr * gradient
                trial = ((u + lr * self.beta * b) / (1 + lr * self.beta)).clamp(low, high)
                slope, value = self._forward(body, trial, b, goal)
                better = value <= objective
                p, gradient, objective = (
                    torch.where(better.view(-1, *[1] * (old.dim() - 1)), new, old)
                    for old, new in ((p, trial), (gradient, slope), (objective, value))
                )
                lr = torch.where(better.view_as(lr), lr, lr / 2)
        return p

    def _forward(self, body, p, b, goal):
        """The gradient of the features' distance at `p`, and the objective."""
        p = p.detach().requires_grad_()
        distance = (ask(body, p) - goal).square().sum(1)
        (gradient,) = torch.autograd.grad(distance.sum(), p)
        return gradient, distance.detach() + self.beta / 2 * (p.detach() - b).flatten(1).square().sum(1)


def collision_trials(
    model: nn.Module,
    data: ImageSet,
    held_out: ImageSet,
    attack: FeatureCollision | None = None,
    trials: int = 20,
    poisons: int = 1,
    images: int = 300,
    seed: int = 0,
) -> Trials:
    """Measure `FeatureCollision` on victims that keep the body of `model` and train a new head, one for each random target.

    A trial draws `images` training images, a target of the held-out ones and a wanted class that is not the target's. The bases
    are the images of the wanted class among those drawn that lie nearest to the target in features; they are replaced by poison,
    and keep their labels. The head is a logistic regression, by scikit-learn. It is trained twice: with the poison, and
    with the bases as they were, the control.

    Args:
        model: the network, whose body the victim uses and the attacker knows.
        data: the training set. held_out: the images that targets and the accuracy are taken from.
        attack: default `FeatureCollision()`.
        trials: how many targets (default 20).
        poisons: how many bases are replaced in each trial (default 1).
        images: a head's training images (default 300), as many of each class as there are.
        seed: of all draws (default 0).

    Raises:
        InputError: an argument is out of range, or too few images of a class.
    """
    attack = FeatureCollision() if attack is None else attack
    if not isinstance(attack, FeatureCollision):
        raise InputError(f"attack: got {attack!r}; allowed is a FeatureCollision")
    check_data(data), check_data(held_out, "held_out")
    trials = check_range(trials, "trials", 1, len(held_out), integer=True)
    check_range(images, "images", len(data.classes), len(data), integer=True)
    poisons = check_range(poisons, "poisons", 1, images // len(data.classes), integer=True)
    generator = torch.Generator().manual_seed(check_seed(seed))
    targets = torch.randperm(len(held_out), generator=generator)[:trials]
    wanted = other_classes(held_out, targets, generator)
    h_test, y_test = activations(model, held_out.images).cpu(), held_out.labels.cpu()
    outcomes = []
    for turn, (target, label) in enumerate(zip(targets.tolist(), wanted.tolist())):
        x, y = data.pick(images, (seed + turn) % 2**63)
        h = activations(model, x)
        members = (y == label).nonzero()[:, 0]
        if len(members) < poisons:
            raise InputError(
                f"poisons: got {poisons}; allowed are {len(members)}, the images of class {label}"
            )
        distance = (h[members] - h_test[target].to(h)).norm(dim=1)
        bases = members[distance.argsort(stable=True)[:poisons]]
        poisoned = h.clone()
        poisoned[bases] = activations(model, attack(model, x[bases], held_out.images[target : target + 1]))
        for given in (poisoned, h):
            read = _head(given, y, seed).predict(h_test.numpy())
            outcomes.append((read[target] == label, (read == y_test.numpy()).mean()))
    won, accuracy = (torch.tensor(part, dtype=torch.float64).view(trials, 2) for part in zip(*outcomes))
    wins, control = (counted(int(part), trials) for part in won.sum(0))
    return Trials(wins, control, *accuracy.mean(0).tolist(), targets, wanted, won[:, 0].long())


def other_classes(data: ImageSet, indices: Tensor, generator: torch.Generator) -> Tensor:
    """Draw, for the image at each of the `indices`, one of the classes that is not its own: (T,)."""
    shift = torch.randint(1, len(data.classes), (len(indices),), generator=generator)
    return (data.labels.cpu()[indices] + shift) % len(data.classes)


def _head(h, y, seed):
    from sklearn.linear_model import LogisticRegression  # takes a second to import

    return LogisticRegression(max_iter=1000, random_state=seed % 2**32).fit(h.cpu().numpy(), y.cpu().numpy())
