"""How the nets that read no images were trained. `recipes.RECIPES` has them beside the others."""

from dataclasses import dataclass, fields
from typing import ClassVar

from torch import nn
from torch.utils.data import Dataset

from advcourse import data, models
from advcourse.beyond import speech, text
from advcourse.beyond.reinforcement import CartPole, Catch, Game, play, train_player
from advcourse.core.inputs import accuracy
from advcourse.data import reviews
from advcourse.data.reviews import SentenceSet
from advcourse.data.spoken import WaveSet
from advcourse.training import Objective, cross_entropy, fit


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

    def sets(self) -> tuple[Dataset, Dataset] | None:
        """The training set and the held-out one."""
        return data.load(self.data, "train"), data.load(self.data, "test")

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


@dataclass(frozen=True)
class SpokenRecipe(BeyondRecipe):
    """A recipe for a net that hears spoken digits, trained with `fit` on clips that `speech.shaken` moves about."""

    epochs: int = 15
    batch_size: int = 32
    lr: float = 4e-3

    data: ClassVar[str] = "spoken"
    figure: ClassVar[str] = "held_out_accuracy"

    def train(self, progress: bool = True) -> nn.Module:
        model = models.build(self.architecture, self.seed)
        given = {key: getattr(self, key) for key in ("epochs", "batch_size", "lr", "seed")}
        given |= {"schedule": "one-cycle", "augment": speech.shaken, "device": "cpu", "progress": progress}
        fit(model, data.load(self.data, "train"), **given)
        return model.eval()

    def figures(self, model: nn.Module, held_out: WaveSet) -> dict:
        """The share of clips of unheard voices that it hears rightly."""
        return {"held_out_accuracy": round(accuracy(model, held_out.images, held_out.labels), 6)}


@dataclass(frozen=True)
class GameRecipe(BeyondRecipe):
    """Base class: a recipe for the player of a game, see `reinforcement.train_player`."""

    rounds: int = 45
    games: int = 128
    epochs: int = 4
    batch_size: int = 256
    lr: float = 3e-3
    noise: float = 0.0

    figure: ClassVar[str] = "mean_return"
    game: ClassVar[type[Game]]
    held_out_games: ClassVar[tuple[int, int]] = (1000, 10**6)  # and their seed, which no training uses

    def train(self, progress: bool = True) -> nn.Module:
        given = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "architecture"}
        return train_player(models.build(self.architecture, self.seed), self.game, **given)

    def sets(self) -> None:
        """A game has no sets of images: the card tells its name alone."""

    def figures(self, model: nn.Module, held_out: None) -> dict:
        """The mean return in new games: of Catch the share of the balls that are caught, of CartPole the number of steps."""
        return {"mean_return": round(play(model, self.game(*self.held_out_games)).mean_return.value, 6)}


@dataclass(frozen=True)
class CatchRecipe(GameRecipe):
    """A recipe for a player of Catch."""

    data: ClassVar[str] = "catch"
    game: ClassVar[type[Game]] = Catch


@dataclass(frozen=True)
class CartPoleRecipe(GameRecipe):
    """A recipe for a player of CartPole."""

    data: ClassVar[str] = "cartpole"
    game: ClassVar[type[Game]] = CartPole


BEYOND = {
    "reviews-bag": ReviewsRecipe("reviews-bag"),
    "reviews-gru": ReviewsRecipe("reviews-gru", epochs=5),
    "catch-player": CatchRecipe("catch-player", noise=0.05),
    "cartpole-player": CartPoleRecipe(
        "cartpole-player", rounds=25, games=32, epochs=6, batch_size=512, lr=5e-3
    ),
    "spoken-digits": SpokenRecipe("spoken-digits"),
}
