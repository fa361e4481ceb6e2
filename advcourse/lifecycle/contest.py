"""Backdoor attacks against backdoor detectors: a table with each attack, and what each detector catches of it.

`table()` is what was measured with three seeds; `python -m advcourse.lifecycle.contest` measures it again, in half an hour.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor, nn

from advcourse import data as sets
from advcourse import metrics
from advcourse.core.files import replacing
from advcourse.core.inputs import accuracy, check_choice
from advcourse.data import ImageSet
from advcourse.lifecycle.backdoor import backdoor_success, poison
from advcourse.lifecycle.features import activations
from advcourse.lifecycle.filters import (
    activation_clustering,
    caught,
    highest,
    spectral_signatures,
    trusted_distance,
)
from advcourse.lifecycle.hunt import hunt_triggers
from advcourse.lifecycle.poisoned import Poisoned, Train, train_victim
from advcourse.lifecycle.strip import strip_entropy
from advcourse.lifecycle.triggers import Trigger

FILE = Path(__file__).parent / "contest.json"
SEEDS = (0, 1, 2)
FRR = 0.01  # STRIP's false rejection rate, on clean validation images
TRUSTED, HUNTED = (
    100,
    24,
)  # clean images of each class that a filter trusts; images that a trigger is hunted on


@dataclass(frozen=True)
class BackdoorPlan:
    """One attack of the table: `made(data, target, seed)` is what the victim gets. The fields are those of `poison`."""

    trigger: Trigger
    share: float
    source: int | None = None
    covers: float = 0.0

    def made(self, data: ImageSet, target: int, seed: int) -> Poisoned:
        """Return the poisoned set."""
        more = {"source": self.source, "covers": self.covers}
        return poison(data, self.trigger, target, self.share, seed, **more)


_PATCH = Trigger("patch")
ATTACKS = {
    "patch, 3 %": BackdoorPlan(_PATCH, 0.03),
    "patch, 1 %": BackdoorPlan(_PATCH, 0.01),
    "patch, ten images": BackdoorPlan(_PATCH, 0.0025),
    "blend, 3 %": BackdoorPlan(Trigger("blend", alpha=0.15), 0.03),
    "sinus, 3 %": BackdoorPlan(Trigger("sinus", size=6, alpha=0.3), 0.03),
    "one class, with covers": BackdoorPlan(_PATCH, 0.03, source=7, covers=0.03),
}


@dataclass(frozen=True)
class Scene:
    """A backdoored network, its training set, clean images, and what only the judge knows: plan, target and indices touched."""

    plan: BackdoorPlan
    target: int
    model: nn.Module
    data: ImageSet
    touched: Tensor
    held_out: ImageSet
    seed: int = 0

    @cached_property
    def h(self) -> Tensor:
        """The activations of the training set, (N, D)."""
        return activations(self.model, self.data.images)

    @cached_property
    def members(self) -> Tensor:
        """Which training images are labelled as the target, (N,) bool: a filter is judged inside this class."""
        return self.data.labels == self.target

    @cached_property
    def poison(self) -> Tensor:
        """The indices of the poison: touched images that are labelled as the target, without covers."""
        return self.touched[self.data.labels[self.touched] == self.target]


@dataclass(frozen=True)
class Catch:
    """One cell. caught: share of the poison, or of the stamped images, that is flagged; of a hunt, the target's anomaly index.

    cost: share of the clean images of the class, or of the clean test images, that is flagged; of a hunt, how many other classes
    have an index above 2.
    """

    caught: float
    cost: float


def _inside(scene, flags):
    """Judge flags of training images inside the target class."""
    place = torch.full((len(flags),), -1)
    place[scene.members] = torch.arange(int(scene.members.sum()))
    told = caught(flags[scene.members], place[scene.poison])
    return Catch(told.recall.value, told.cost.value)


def clustering(scene: Scene, reduce: str) -> Catch:
    """Activation clustering: the smaller cluster of the target class, which the exclusionary test would be given."""
    found = activation_clustering(
        scene.h[scene.members], scene.data.labels[scene.members], reduce, seed=scene.seed
    )
    flags = scene.members.clone()
    flags[scene.members] = found.suspicious
    return _inside(scene, flags)


def spectral(scene: Scene, directions: int) -> Catch:
    """Spectral signatures: the highest scores of the class, one and a half times as many as there is poison."""
    scores = spectral_signatures(scene.h, scene.data.labels, directions)
    return _inside(scene, highest(scores, scene.data.labels, round(1.5 * len(scene.poison))))


def trusted(scene: Scene) -> Catch:
    """Distance to 100 trusted images of each class; as many flagged as for spectral signatures."""
    x, y = scene.held_out.pick(TRUSTED * len(scene.held_out.classes), scene.seed)
    scores = trusted_distance(scene.h, scene.data.labels, activations(scene.model, x), y)
    return _inside(scene, highest(scores, scene.data.labels, round(1.5 * len(scene.poison))))


def hunted(scene: Scene) -> Catch:
    """Neural Cleanse, on 24 clean images: the median of three searches."""
    x, _ = scene.held_out.pick(HUNTED, scene.seed)
    index = hunt_triggers(scene.model, x, seed=scene.seed).index
    others = torch.arange(len(index), device=index.device) != scene.target
    return Catch(index[scene.target].item(), int((index[others] > 2).sum()))


def strip(scene: Scene) -> Catch:
    """STRIP at a false rejection rate of 1 %: overlays, validation and test images are three disjoint parts of the held-out."""
    x, y = scene.held_out.pick(len(scene.held_out), scene.seed)
    third = len(x) // 3
    overlays, validation, x, y = x[:third], x[third : 2 * third], x[2 * third :], y[2 * third :]
    of_source = y != scene.target if scene.plan.source is None else y == scene.plan.source
    score = partial(strip_entropy, scene.model, overlays=overlays, seed=scene.seed)
    threshold = metrics.threshold_at(-score(validation), FRR)
    stamped, clean = -score(scene.plan.trigger(x[of_source])), -score(x)
    return Catch(
        metrics.true_positive_rate(stamped, threshold), metrics.false_positive_rate(clean, threshold)
    )


DETECTORS: dict[str, Callable[[Scene], Catch]] = {
    "clusters, ICA": partial(clustering, reduce="ica"),
    "clusters, PCA": partial(clustering, reduce="pca"),
    "spectral, one direction": partial(spectral, directions=1),
    "spectral, ten directions": partial(spectral, directions=10),
    "distance to trusted images": trusted,
    "Neural Cleanse": hunted,
    "STRIP": strip,
}


def stage(
    attack: str,
    data: ImageSet,
    held_out: ImageSet,
    target: int = 0,
    seed: int = 0,
    train: Train = train_victim,
) -> Scene:
    """Poison `data` by the plan `ATTACKS[attack]` and train a victim on it.

    Args:
        attack: a key of `ATTACKS`.
        data: the clean training set. held_out: clean images that no training sees.
        target: the class of the backdoor (default 0).
        seed: of the poison, of the victim, and of the detectors' draws (default 0).
        train: `(data, seed) -> network` (default `train_victim`).

    Raises:
        InputError: an unknown attack, or as for `poison`.
    """
    plan = ATTACKS[check_choice(attack, "attack", tuple(ATTACKS))]
    poisoned, touched = plan.made(data, target, seed)
    return Scene(plan, target, train(poisoned, seed), poisoned, touched, held_out, seed)


def judged(scene: Scene, detectors: tuple[str, ...] = tuple(DETECTORS)) -> dict:
    """Return a row of the table as plain values: "accuracy", "success", and "caught" and "cost" by detector.

    Args:
        scene: what `stage` returned.
        detectors: keys of `DETECTORS` (default all).

    Raises:
        InputError: an unknown detector.
    """
    x, y = scene.held_out.images, scene.held_out.labels
    success = backdoor_success(scene.model, scene.plan.trigger, x, y, scene.target, scene.plan.source)
    names = [check_choice(name, "detectors", tuple(DETECTORS)) for name in detectors]
    found = {name: DETECTORS[name](scene) for name in names}
    return {
        "accuracy": round(accuracy(scene.model, x, y), 4),
        "success": round(success.value, 4),
        "caught": {name: round(each.caught, 4) for name, each in found.items()},
        "cost": {name: round(each.cost, 4) for name, each in found.items()},
    }


def table() -> dict[str, list[dict]]:
    """Return the measured rows by attack, one for each of `SEEDS`, as `judged` returns them."""
    return json.loads(FILE.read_text(encoding="utf-8"))["rows"]


def measure() -> dict:
    """Measure all rows on the digits and return the contents of `FILE`: the rows, and the checksums of the sets."""
    training, held_out = sets.load("mnist-5k", "train"), sets.load("mnist-5k", "test")
    rows = {name: [judged(stage(name, training, held_out, seed=seed)) for seed in SEEDS] for name in ATTACKS}
    return {"data": {"train": training.checksum, "test": held_out.checksum}, "rows": rows}


if __name__ == "__main__":
    with replacing(FILE) as partial_file:
        partial_file.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
