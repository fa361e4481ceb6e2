"""How the shipped models were trained: `train_shipped(name)` trains one again."""

import os
from dataclasses import asdict, dataclass

from torch import nn

from advcourse import data, models
from advcourse.attacks import PGD
from advcourse.augmentation import Augmentation, shifts, warps
from advcourse.defenses import PAT
from advcourse.inputs import accuracy, check_choice
from advcourse.training import cross_entropy, fit


@dataclass(frozen=True)
class Recipe:
    """All that decides a model's weights: network, training set, the settings of `fit`, and one seed.

    degrees, scale, pixels: how far each training image is turned, resized and moved, see `augmentation.warps`.
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

    def train(self, progress: bool = True) -> nn.Module:
        """The trained model, on the CPU, where the same seed gives the same weights. The last weights are kept."""
        model = models.build(self.architecture, self.seed)
        fit(
            model,
            data.load(self.data, "train"),
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            augment=self._augmentation(),
            device="cpu",
            seed=self.seed,
            progress=progress,
            **self._objective(),
        )
        return model.eval()

    def _augmentation(self) -> Augmentation:
        return warps(self.degrees, self.scale, self.pixels)

    def _objective(self) -> dict:
        """What `fit` minimises, and the schedule that goes with it."""
        return {"objective": cross_entropy}


@dataclass(frozen=True)
class RobustRecipe(Recipe):
    """A recipe of PGD adversarial training, see `defenses.PAT`: eps, steps, ramp and mix are its settings.

    pixels: how far each training image is moved, by whole pixels, `augmentation.shifts`; it is neither turned nor resized.
    """

    lr: float = 5e-3
    degrees: float = 0.0
    scale: float = 0.0
    pixels: int = 2
    eps: float = 0.3
    steps: int = 10
    ramp: float = 1 / 3
    mix: float = 0.0

    def _augmentation(self) -> Augmentation:
        return shifts(self.pixels)

    def _objective(self) -> dict:
        objective = PAT(self.eps, steps=self.steps, ramp=self.ramp, mix=self.mix)
        return {"objective": objective, "schedule": objective.following("one-cycle")}


RECIPES = {
    "mnist-cnn": Recipe("mnist-cnn", "mnist-5k", epochs=20),
    "mnist-wide": Recipe("mnist-wide", "mnist-5k", epochs=20, lr=2e-3),
    "mnist-mlp": Recipe("mnist-mlp", "mnist-5k", epochs=30, batch_size=128),
    "mnist-small": Recipe("mnist-small", "mnist-5k", epochs=20),
    "signs-cnn": Recipe("signs-cnn", "signs", epochs=20, degrees=5.0),
    "mnist-pat": RobustRecipe("mnist-small", "mnist-5k", epochs=60),
    # A mistake that was published, to be shown beside mnist-pat: half of the loss is clean, and training ends too soon.
    "mnist-pat-weak": RobustRecipe("mnist-small", "mnist-5k", epochs=12, mix=0.5),
}

# The models whose robustness is compared; their cards tell the accuracy under this attack too.
COMPARED = ("mnist-small", "mnist-pat", "mnist-pat-weak")
ATTACK = PGD(eps=0.3, steps=100, restarts=10)


def train_shipped(name: str, out: str | os.PathLike | None = None, progress: bool = True) -> dict:
    """Train the shipped model `name` again, from its recipe; returns its card.

    The card of a model in `COMPARED` has "pgd_accuracy", the accuracy on the held-out images under `ATTACK`, and "pgd", that
    attack's text.

    Args:
        name: a key of `RECIPES`.
        out: folder for NAME.safetensors and NAME.json, which `models.load(name, folder=out)` reads; None (default)
            writes nothing.
        progress: show a progress bar.

    Raises:
        InputError: an unknown name.
    """
    recipe = RECIPES[check_choice(name, "name", tuple(RECIPES))]
    training, held_out = data.load(recipe.data, "train"), data.load(recipe.data, "test")
    model = recipe.train(progress)
    settings = asdict(recipe)
    card = {
        "name": name,
        "architecture": settings.pop("architecture"),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "data": {"name": settings.pop("data"), "train": training.checksum, "test": held_out.checksum},
        "seed": settings.pop("seed"),
        "settings": settings,
        "clean_accuracy": round(accuracy(model, held_out.images, held_out.labels), 6),
    }
    if name in COMPARED:
        attacked = ATTACK(model, held_out.images, held_out.labels)
        card |= {"pgd_accuracy": round(accuracy(model, attacked, held_out.labels), 6), "pgd": repr(ATTACK)}
    return card if out is None else models.save(model, name, card, out)
