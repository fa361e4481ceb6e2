"""How the nets that read no images were trained. `recipes.RECIPES` has them beside the others."""

from dataclasses import dataclass, fields
from typing import ClassVar

from torch import nn

from advcourse import data, models
from advcourse.beyond import text
from advcourse.data import reviews
from advcourse.data.reviews import SentenceSet
from advcourse.training import Objective, cross_entropy


@dataclass(frozen=True)
class BeyondRecipe:
    """Base class: all that decides the weights of a net that reads no images.

    Subclasses add the settings of their training as fields, and define `train` and `figures`.
    """

    architecture: str
    seed: int = 0

    attacked: ClassVar[bool] = False
    data: ClassVar[str]
    figure: ClassVar[str]  # of the card: what tells two trainings apart

    def train(self, progress: bool = True) -> nn.Module:
        """The trained model, on the CPU, where the same seed gives the same weights."""
        raise NotImplementedError

    def figures(self, model: nn.Module, held_out: object) -> dict:
        """What the card tells of the trained `model`."""
        raise NotImplementedError

    def deployed(self, model: nn.Module) -> nn.Module:
        """What is attacked: the model itself."""
        return model

    def objective(self) -> Objective:
        """The loss of the training."""
        return cross_entropy

    def settings(self) -> dict:
        """The settings as the card tells them: plain values."""
        return {one.name: getattr(self, one.name) for one in fields(self)} | {"data": self.data}


@dataclass(frozen=True)
class ReviewsRecipe(BeyondRecipe):
    """A recipe for a net that reads rated sentences, see `text.train_reader`."""

    epochs: int = 8
    batch_size: int = 64
    lr: float = 5e-3
    dropped: float = 0.3

    data: ClassVar[str] = "reviews"
    figure: ClassVar[str] = "held_out_accuracy"

    def train(self, progress: bool = True) -> nn.Module:
        given = {key: getattr(self, key) for key in ("epochs", "batch_size", "lr", "dropped", "seed")}
        model = models.build(self.architecture, self.seed)
        return text.train_reader(model, data.load(self.data, "train"), reviews.word_list(), **given)

    def figures(self, model: nn.Module, held_out: SentenceSet) -> dict:
        """The share of held-out sentences that it reads rightly."""
        right = len(text.read_rightly(model, held_out))
        return {"held_out_accuracy": round(right / len(held_out), 6)}


BEYOND = {
    "reviews-bag": ReviewsRecipe("reviews-bag"),
    "reviews-gru": ReviewsRecipe("reviews-gru", epochs=5),
}
