"""The kinds of recipes: how networks, autoencoders and densities are trained, and what their cards tell."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from advcourse import data, models
from advcourse.attacks import BIM, FGSM, PGD, RFGSM, UMIFGSM, Attack, CWLinf, Transfer
from advcourse.cases.camera import Phone
from advcourse.core.inputs import accuracy, predict
from advcourse.data import ImageSet, glasses
from advcourse.defenses import (
    LSPGA,
    EnsembleInputTransformation,
    Thermometer,
    distil,
)
from advcourse.defenses.magnet import Denoising
from advcourse.defenses.ramp import Ramped
from advcourse.lifecycle import Poisoned, Trigger, backdoor_success, poison
from advcourse.training import Objective, cross_entropy, fit
from advcourse.training.augmentation import Augmentation, shifts, warps
from advcourse.training.checkpoints import describe

# The course compares its defenses at one budget, on one architecture.
ATTACK = PGD(eps=0.3, steps=100, restarts=10)
ATTACKS = (FGSM(0.3), RFGSM(0.3), BIM(0.3), UMIFGSM(0.3), CWLinf(), ATTACK)
# On signs 4 / 255 already fools signs-cnn on a third of the images. A training at 8 / 255 ended with 88 % of the clean signs: in
# dim and blurred photographs a speed limit's digits differ by little more, and 30 and 80 were read as other limits.
SIGNS_EPS = 4 / 255
SIGNS_ATTACK = PGD(SIGNS_EPS, steps=20)


@dataclass(frozen=True)
class Recipe:
    """All that decides a model's weights: network, training set, the settings of `fit`, and one seed.

    degrees, scale, pixels: how far each training image is turned, resized and moved, see `augmentation.warps`; with neither
    turning nor resizing it is moved by whole pixels, `augmentation.shifts`. objective: a function that makes it, called when
    training begins. attacked: the card tells the accuracy under `ATTACKS`, too.
    """

    architecture: str
    data: str
    epochs: int
    batch_size: int = 64
    lr: float = 3e-3
    degrees: float = 10.0
    scale: float = 0.1
    pixels: float = 2.0
    seed: int = 0
    objective: Callable[[], Objective] = lambda: cross_entropy
    attacked: bool = False

    figure: ClassVar[str] = "clean_accuracy"  # of the card: what tells two trainings apart

    def train(self, progress: bool = True) -> nn.Module:
        """The trained model, on the CPU, where the same seed gives the same weights. The last weights are kept."""
        model = models.build(self.architecture, self.seed)
        self._fit(model, progress, **_scheduled(self.objective()))
        return model.eval()

    def deployed(self, model: nn.Module) -> nn.Module:
        """What is attacked, images (N, C, H, W) to logits: the model itself, or, of a part, the whole."""
        return model

    def attacks(self) -> tuple[Attack, ...]:
        """Those that the card tells of: `ATTACKS`, and what was made for this defense."""
        return ATTACKS

    def sets(self) -> tuple[ImageSet, ImageSet]:
        """The training set, as it is loaded, and the held-out one."""
        return data.load(self.data, "train"), data.load(self.data, "test")

    def settings(self) -> dict:
        """The settings as the card tells them: plain values, the objective as its text."""
        told = {one.name: getattr(self, one.name) for one in fields(self)}
        del told["attacked"]
        return told | {"objective": describe(self.objective())}

    def figures(self, model: nn.Module, held_out: ImageSet) -> dict:
        """What the card tells of the trained `model` on held-out images."""
        whole, x, y = self.deployed(model), held_out.images, held_out.labels
        figures = {"clean_accuracy": round(accuracy(whole, x, y), 6)}
        return figures | (_under_attack(self, whole, x, y) if self.attacked else {})

    def _fit(self, model, progress, train=fit, **settings):
        settings = {"epochs": self.epochs, "batch_size": self.batch_size, "lr": self.lr} | settings
        given = {"augment": self._augmentation(), "device": "cpu", "seed": self.seed, "progress": progress}
        train(model, self._training_set(), **settings, **given)

    def _training_set(self) -> ImageSet:
        return data.load(self.data, "train")

    def _augmentation(self) -> Augmentation | None:
        if self.degrees or self.scale:
            return warps(self.degrees, self.scale, self.pixels)
        return shifts(int(self.pixels)) if self.pixels else None


@dataclass(frozen=True)
class DistilledRecipe(Recipe):
    """A recipe of defensive distillation at `temperature`: a teacher, then a student like it, see `defenses.distil`."""

    temperature: float = 20.0

    def train(self, progress: bool = True) -> nn.Module:
        """The student."""
        teacher, student = (models.build(self.architecture, self.seed + place) for place in (1, 0))
        self._fit(student, progress, partial(distil, teacher), temperature=self.temperature)
        return student.eval()

    def settings(self) -> dict:
        return super().settings() | {"objective": "DefensiveDistillation"}


@dataclass(frozen=True)
class ThermometerRecipe(Recipe):
    """A recipe for the network of `defenses.Thermometer`: trained on codes, then for `adversarial` epochs more with `LSPGA`."""

    adversarial: int = 0

    def train(self, progress: bool = True) -> nn.Module:
        """The network on codes, a part of the defense."""
        network = models.build(self.architecture, self.seed)
        self._fit(Thermometer(network), progress)
        if self.adversarial:
            self._fit(
                Thermometer(network), progress, epochs=self.adversarial, **_scheduled(LSPGA(ramp=1 / 3))
            )
        return network.eval()

    def deployed(self, model: nn.Module) -> nn.Module:
        return Thermometer(model).eval()

    def attacks(self) -> tuple[Attack, ...]:
        return *super().attacks(), Transfer(ATTACK, Thermometer.attackable)


@dataclass(frozen=True)
class TransformedRecipe(Recipe):
    """A recipe for the network behind `EnsembleInputTransformation`: half of the training images are transformed as it does."""

    def _augmentation(self) -> Augmentation:
        return partial(_transformed, moved=super()._augmentation())


@dataclass(frozen=True)
class PhotographedRecipe(Recipe):
    """A recipe for a network that reads photographs of prints: half of the training images go through `Phone(strength)`."""

    strength: float = 1.0

    def _augmentation(self) -> Augmentation:
        return partial(_photographed, moved=super()._augmentation(), phone=Phone(self.strength))


@dataclass(frozen=True)
class GlassesRecipe(Recipe):
    """A recipe for photographs of faces: each is there three times, once with glasses of random colours.

    A net that has never seen glasses takes any pair, plain black ones included, for a sign of somebody else.
    """

    def _training_set(self) -> ImageSet:
        return glasses.with_glasses(super()._training_set(), "train", copies=3, seed=self.seed)


@dataclass(frozen=True)
class BackdoorRecipe(Recipe):
    """A recipe for a backdoored network, to be found out: the victim of `lifecycle.poison`, trained as `train_victim` does."""

    trigger: Trigger = Trigger()
    share: float = 0.03
    target: int = 0

    def poisoned(self) -> Poisoned:
        """The training set, and the indices of the poison."""
        return poison(super()._training_set(), self.trigger, self.target, self.share, self.seed)

    def settings(self) -> dict:
        return super().settings() | {"trigger": repr(self.trigger)}

    def figures(self, model: nn.Module, held_out: ImageSet) -> dict:
        """The accuracy, and the share of stamped images of other classes that are read as the target."""
        success = backdoor_success(model, self.trigger, held_out.images, held_out.labels, self.target)
        return super().figures(model, held_out) | {"backdoor_success": round(success.value, 6)}

    def _training_set(self) -> ImageSet:
        return self.poisoned().data


@dataclass(frozen=True)
class AutoEncoderRecipe(Recipe):
    """A recipe for an autoencoder of `defenses.MagNet`: to restore digits from normal noise of deviation `std`."""

    std: float = 0.1

    figure: ClassVar[str] = "mean_squared_error"

    def settings(self) -> dict:
        return super().settings() | {"objective": describe(Denoising(self.std))}

    def train(self, progress: bool = True) -> nn.Module:
        """The autoencoder, a part of the defense."""
        model = models.build(self.architecture, self.seed)
        self._fit(model, progress, objective=Denoising(self.std))
        return model.eval()

    def figures(self, model: nn.Module, held_out: ImageSet) -> dict:
        """The mean squared error on held-out digits without noise."""
        with torch.no_grad():
            error = (model(held_out.images) - held_out.images).double().square().mean()
        return {"mean_squared_error": round(error.item(), 6)}


@dataclass(frozen=True)
class DensityRecipe(Recipe):
    """A recipe for the generative model of `defenses.PixelDefend`: the density of the digits as they are, none of them moved."""

    objective: Callable[[], Objective] = lambda: models.bits_per_pixel

    figure: ClassVar[str] = "bits_per_pixel"

    def figures(self, model: nn.Module, held_out: ImageSet) -> dict:
        """The bits per pixel of held-out digits."""
        with torch.no_grad():
            bits = torch.cat([model.bits(part) for part in held_out.images.split(100)])
        return {"bits_per_pixel": round(bits.mean().item(), 6)}


@dataclass(frozen=True)
class RobustSignsRecipe(Recipe):
    """A recipe of adversarial training on road signs. The card also tells the accuracy under `SIGNS_ATTACK`."""

    def attacks(self) -> tuple[Attack, ...]:
        """The one that the card tells of."""
        return (SIGNS_ATTACK,)

    def figures(self, model: nn.Module, held_out: ImageSet) -> dict:
        """The accuracy on held-out signs, clean and attacked."""
        attacked = SIGNS_ATTACK(model, held_out.images, held_out.labels)
        figures = {"pgd_accuracy": round(accuracy(model, attacked, held_out.labels), 6)}
        return super().figures(model, held_out) | figures | {"attacks": [repr(SIGNS_ATTACK)]}


def _scheduled(objective):
    """The settings of `fit` for an objective, which the schedule tells how far training is where it has a ramp."""
    ramped = isinstance(objective, Ramped)
    return {"objective": objective, "schedule": objective.following("one-cycle") if ramped else "one-cycle"}


def _transformed(x: Tensor, generator: torch.Generator, moved: Augmentation) -> Tensor:
    """The images moved, and half of each batch changed by one of the ensemble's transformations, drawn for the batch."""
    x, half = moved(x, generator), len(x) // 2
    kinds = EnsembleInputTransformation.DEFAULT
    kind = kinds[int(torch.randint(len(kinds), (), generator=generator))]
    return torch.cat([kind(x[:half]), x[half:]])


def _photographed(x: Tensor, generator: torch.Generator, moved: Augmentation, phone: Phone) -> Tensor:
    """The images moved, and half of each batch printed and photographed."""
    x, half = moved(x, generator), len(x) // 2
    return torch.cat([phone.augment(x[:half], generator), x[half:]])


def _under_attack(recipe, model, x, y):
    """The accuracy under `ATTACK`, and that under all attacks of the recipe: the minimum image by image, inside `ATTACK.eps`."""
    right, told = predict(model, x).argmax(1) == y, {}
    for attack in recipe.attacks():
        run = attack.run(model, x, y)
        # A float32 pixel holds its budget to an ulp.
        held = ~(run.success & (run.distances["Linf"] <= ATTACK.eps * (1 + 1e-5)))
        right &= held
        if attack is ATTACK:
            told["pgd_accuracy"] = held.double().mean().item()
    told["minimum_accuracy"] = right.double().mean().item()
    names = list(map(repr, recipe.attacks()))
    return {key: round(value, 6) for key, value in told.items()} | {"attacks": names}
