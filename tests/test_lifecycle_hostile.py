"""Hostile calls of all that the life cycle and what lies beyond images offer: whatever is given, the answer is a result or an
`InputError`. Each public name has a call that works; then each of its arguments is replaced, one at a time, by what users give by
mistake: another type, shape or size, nothing, one class, what is no number, or a number out of range."""

import math
import warnings

import numpy as np
import pytest
import torch
from nets import linear
from test_poisoning import some
from torch import nn

from advcourse import lifecycle, models
from advcourse.attacks import PGD
from advcourse.attacks.noise import Noise
from advcourse.beyond import reinforcement, speech, text
from advcourse.core.inputs import InputError
from advcourse.core.intervals import counted
from advcourse.data.base import ImageSet
from advcourse.data.reviews import SentenceSet
from advcourse.data.words import WordList

N, SHAPE = 24, (1, 4, 4)
DATA = some(N)
X, Y = DATA.images, DATA.labels
NET = linear(3, SHAPE, seed=1, dtype=torch.float32)
LAYERS = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 3))
FEATURES = torch.rand(N, 5, generator=torch.Generator().manual_seed(0))
FLAGS = torch.arange(N) % 5 == 0
TRIGGER = lifecycle.Trigger(size=2, place=(-3, -3))
WHOLE = ImageSet(
    torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(0)),
    torch.arange(20) % 10,
    tuple("0123456789"),
    name="noise",
    split="train",
    licence="none",
)


def trained(data, seed):
    return LAYERS


def learner(x, y, seed):
    return NET


def fresh():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


def shadows(nets=12, points=8):
    members = lifecycle.draw_halves(points, nets)
    logits = torch.randn(nets, points, 3, generator=torch.Generator().manual_seed(0))
    votes = torch.rand(nets, points, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(points) % 2
    return lifecycle.ShadowSet(logits=logits, labels=labels, votes=votes, members=members)


SHADOWS = shadows()
SIGNS = ImageSet(
    torch.rand(4, 3, 9, 9), torch.arange(4) % 2, ("a", "b"), name="s", split="train", licence="none"
)
WIDE = linear(10, (1, 28, 28), dtype=torch.float32)
ANSWERS = SHADOWS.answers(0)
SUBJECT = lifecycle.Subject("plain", NET, learner, SHADOWS)
RESULT = lifecycle.StageResult(counted(1, 2), None, "nothing")
CARD = lifecycle.measure_scorecard([SUBJECT], {"one": lambda subject: RESULT})
WORDS = WordList(["a", "good", "film", "bad", "movie"])
SENTENCES = ["a good film", "bad"]
WAVES = torch.full((3, 1, 1, 60), 0.5) + 0.3 * torch.rand(
    3, 1, 1, 60, generator=torch.Generator().manual_seed(0)
)
EAR = linear(3, (1, 1, 60), dtype=torch.float32)
SUBSTITUTES = text.Substitutes(WORDS, {"good": ["bad"], "film": ["movie"]})
PLAYER = linear(3, (2, 20, 20), dtype=torch.float32)


class Reader(nn.Module):
    """Reads a sentence by the sum of its words' vectors."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(len(WORDS), 2)

    def from_vectors(self, vectors, there):
        return (vectors * there[..., None]).sum(1)

    def forward(self, numbers):
        return self.from_vectors(self.embedding(numbers), numbers > 0)


READER = Reader()
TWO = SentenceSet(SENTENCES, torch.tensor([1.0, -1.0]), name="two", split="test", licence="none")


def fresh_player():
    return nn.Sequential(nn.Flatten(), nn.Linear(800, 3))


L, T, S, R = lifecycle, text, speech, reinforcement
PAIR = {"clean": WAVES, "images": WAVES.clamp(0.2, 0.8)}
ATTACK = {"model": NET, "x": X, "y": Y}
FEW = {"data": DATA, "held_out": DATA, "trials": 2, "seed": 0}
# A working call of each public name, and of what it makes: name -> (function, its arguments).
CALLS = {
    "AsTheyAre": (L.AsTheyAre, {"pool": X}),
    "NoiseQueries": (L.NoiseQueries, {"shape": SHAPE}),
    "Warps": (L.Warps, {"own": X, "augmentation": lambda x, generator: x}),
    "JacobianSteps": (L.JacobianSteps, {"own": X, "step": 0.1}),
    "KCentre": (L.KCentre, {"pool": X}),
    "Oracle": (L.Oracle, {"model": NET, "budget": 9, "answers": "top1", "digits": 2}),
    "Oracle()": (lambda x: L.Oracle(NET, 99)(x), {"x": X}),
    "Oracle.classes": (lambda x: L.Oracle(NET, 99).classes(x), {"x": X}),
    "Oracle.check_left": (L.Oracle(NET, 99).check_left, {"count": 9}),
    "solve_softmax_regression": (
        lambda oracle, shape: L.solve_softmax_regression(
            L.Oracle(NET, 17, "probabilities") if oracle is None else oracle, shape
        ),
        {"oracle": None, "shape": SHAPE},
    ),
    "steal": (
        lambda oracle, **more: L.steal(L.Oracle(NET, 20) if oracle is None else oracle, **more),
        {"oracle": None, "student": fresh(), "strategy": L.AsTheyAre(X), "sizes": (6, 12)}
        | {"epochs": 1, "batch_size": 4, "lr": 0.01, "seed": 0},
    ),
    "agreement": (L.agreement, {"student": fresh(), "victim": NET, "x": X}),
    "transferred": (
        L.transferred,
        {"student": fresh(), "victim": NET, "x": X, "y": Y, "attack": PGD(0.1, steps=1)},
    ),
    "grey_signs": (L.grey_signs, {"data": SIGNS, "side": 9}),
    "flip_labels": (L.flip_labels, {"data": DATA, "share": 0.2, "mode": "pair", "seed": 0}),
    "label_vote": (L.label_vote, {"h": FEATURES, "labels": Y, "k": 3}),
    "poison": (
        L.poison,
        {
            "data": DATA,
            "trigger": TRIGGER,
            "target": 1,
            "share": 0.1,
            "seed": 0,
            "clean_label": False,
            "source": 2,
            "covers": 0.1,
        },
    ),
    "label_consistent": (
        L.label_consistent,
        {
            "data": DATA,
            "trigger": TRIGGER,
            "target": 1,
            "share": 0.1,
            "model": NET,
            "attack": PGD(0.1, steps=1),
            "seed": 0,
        },
    ),
    "backdoor_success": (L.backdoor_success, ATTACK | {"trigger": TRIGGER, "target": 1, "source": 2}),
    "Trigger": (L.Trigger, {"kind": "patch", "place": (0, 0), "size": 2, "alpha": 0.5, "seed": 0}),
    "Trigger()": (TRIGGER, {"x": X}),
    "Trigger.mask": (TRIGGER.mask, {"height": 6, "width": 6}),
    "train_victim": (L.train_victim, {"data": WHOLE, "seed": 0, "epochs": 1, "architecture": "mnist-mlp"}),
    "retrain_without": (L.retrain_without, {"data": DATA, "flags": FLAGS, "seed": 0, "train": trained}),
    "exclusionary_test": (
        L.exclusionary_test,
        {"data": DATA, "suspicious": FLAGS, "least": 1.0, "seed": 0, "train": trained},
    ),
    "condemned": (L.condemned, {"data": DATA, "suspicious": FLAGS, "scores": torch.rand(3), "least": 1.0}),
    "activations": (L.activations, {"model": LAYERS, "x": X, "batch_size": 7}),
    "Features": (L.Features, {"model": LAYERS}),
    "activation_clustering": (
        L.activation_clustering,
        {"h": FEATURES, "labels": Y, "reduce": "pca", "components": 2, "seed": 0},
    ),
    "spectral_signatures": (L.spectral_signatures, {"h": FEATURES, "labels": Y, "directions": 2}),
    "trusted_distance": (
        L.trusted_distance,
        {"h": FEATURES, "labels": Y, "trusted": FEATURES[:12], "trusted_labels": Y[:12]},
    ),
    "highest": (L.highest, {"scores": FEATURES[:, 0], "labels": Y, "count": 2}),
    "caught": (L.caught, {"flags": FLAGS, "touched": torch.tensor([1, 5])}),
    "hunt_triggers": (
        L.hunt_triggers,
        {"model": NET, "x": X[:4], "steps": 2, "goal": 0.1, "weight": 1e-3, "lr": 0.1, "runs": 1, "seed": 0},
    ),
    "Hunt.stamp": (L.hunt_triggers(NET, X[:4], steps=2, goal=0.1, runs=1).stamp, {"x": X, "label": 1}),
    "Hunt.flagged": (L.hunt_triggers(NET, X[:4], steps=2, goal=0.1, runs=1).flagged, {"limit": 2.0}),
    "anomaly_index": (L.anomaly_index, {"norms": torch.rand(5)}),
    "strip_entropy": (
        L.strip_entropy,
        {"model": NET, "x": X[:4], "overlays": X[4:], "n": 3, "combine": "add", "seed": 0},
    ),
    "fine_prune": (
        L.fine_prune,
        {"model": LAYERS, "x": X, "y": Y, "share": 0.3, "epochs": 1, "lr": 0.01, "seed": 0},
    ),
    "unlearn": (
        L.unlearn,
        {"model": LAYERS, "x": X, "y": Y, "stamp": TRIGGER, "share": 0.3, "epochs": 1, "lr": 0.01, "seed": 0},
    ),
    "FeatureCollision": (L.FeatureCollision, {"beta": 1.0, "steps": 2, "lr": 0.1, "eps": 0.1}),
    "FeatureCollision()": (L.FeatureCollision(steps=2), {"model": LAYERS, "bases": X[:3], "target": X[3:4]}),
    "collision_trials": (
        L.collision_trials,
        FEW | {"model": LAYERS, "attack": L.FeatureCollision(steps=1), "poisons": 1, "images": 12},
    ),
    "GradientMatching": (L.GradientMatching, {"eps": 0.1, "steps": 1, "restarts": 1, "lr": 0.1}),
    "GradientMatching()": (
        L.GradientMatching(steps=1, restarts=1),
        {"models": [LAYERS], "data": DATA, "target": X[:1], "wanted": 1, "share": 0.1, "seed": 0},
    ),
    "matching_trials": (
        L.matching_trials,
        FEW
        | {"attack": L.GradientMatching(steps=1, restarts=1), "victims": 1, "share": 0.1}
        | {"networks": 1, "wanted": "random", "train": trained},
    ),
    "Inversion": (L.Inversion, {"tv": 0.1, "l2": 0.1, "roll": 1, "steps": 2, "lr": 0.1, "seed": 0}),
    "Inversion()": (L.Inversion(steps=2), {"model": NET, "start": X[:3], "y": Y[:3]}),
    "judge_prototypes": (
        L.judge_prototypes,
        {"images": WHOLE.images[:2], "y": WHOLE.labels[:2], "other": WIDE, "data": WHOLE},
    ),
    "class_means": (L.class_means, {"data": DATA}),
    "shared_gradient": (L.shared_gradient, ATTACK),
    "linear_input": (L.linear_input, {"weight": torch.rand(3, 4), "bias": torch.rand(3)}),
    "label_of": (L.label_of, {"bias": torch.tensor([0.1, -0.3, 0.2])}),
    "GradientInversion": (L.GradientInversion, {"tv": 0.1, "steps": 2, "lr": 0.1, "seed": 0}),
    "GradientInversion()": (
        L.GradientInversion(steps=2),
        {"model": LAYERS, "gradient": L.shared_gradient(LAYERS, X[:1], Y[:1]), "shape": SHAPE, "y": Y[:1]},
    ),
    "smooth_net": (L.smooth_net, {"shape": SHAPE, "classes": 3, "seed": 0}),
    "ConfidenceThreshold": (L.ConfidenceThreshold, {"seen": "votes"}),
    "ConfidenceThreshold()": (L.ConfidenceThreshold(), {"shadows": SHADOWS, "target": ANSWERS}),
    "RightOrWrong": (L.RightOrWrong, {}),
    "RightOrWrong()": (L.RightOrWrong(), {"shadows": SHADOWS, "target": ANSWERS}),
    "ShadowClassifier": (L.ShadowClassifier, {"C": 1.0}),
    "ShadowClassifier()": (L.ShadowClassifier(), {"shadows": SHADOWS, "target": ANSWERS}),
    "LiRA": (L.LiRA, {"online": True, "spread": "own", "seen": "votes"}),
    "LiRA()": (L.LiRA(), {"shadows": SHADOWS, "target": ANSWERS}),
    "ShadowSet": (
        L.ShadowSet,
        {
            "logits": SHADOWS.logits,
            "labels": SHADOWS.labels,
            "votes": SHADOWS.votes,
            "members": SHADOWS.members,
        },
    ),
    "ShadowSet.without": (SHADOWS.without, {"net": 1}),
    "ShadowSet.only": (SHADOWS.only, {"nets": [1, 2]}),
    "ShadowSet.answers": (SHADOWS.answers, {"net": 1}),
    "leave_one_out": (L.leave_one_out, {"attack": L.LiRA(), "shadows": SHADOWS, "targets": [1, 2]}),
    "balanced_accuracy": (L.balanced_accuracy, {"others": torch.rand(5), "members": torch.rand(5)}),
    "certain_members": (L.certain_members, {"others": torch.rand(50), "members": torch.rand(5), "fpr": 0.5}),
    "draw_halves": (L.draw_halves, {"points": 4, "nets": 4, "seed": 0}),
    "label_votes": (L.label_votes, ATTACK),
    "logit_confidence": (L.logit_confidence, {"logits": torch.rand(N, 3), "y": Y}),
    "train_shadows": (
        L.train_shadows,
        {"data": (X, Y), "learner": learner, "nets": 4, "seed": 0, "votes": True, "only": [1]},
    ),
    "load_shadows": (L.load_shadows, {"path": L.shadows.SHIPPED}),
    "PrivateTraining": (
        L.PrivateTraining,
        {"noise": 1.0, "clip": 1.0, "rate": 0.1, "steps": 1, "lr": 0.1, "optimizer": torch.optim.SGD},
    ),
    "PrivateTraining.fit": (
        L.PrivateTraining(steps=1).fit,
        {"model": fresh(), "data": (X, Y), "seed": 0, "device": "cpu"},
    ),
    "clipped_sum": (L.clipped_sum, ATTACK | {"clip": 1.0}),
    "epsilon": (L.epsilon, {"noise": 1.0, "rate": 0.1, "steps": 5, "delta": 1e-3}),
    "noise_for": (L.noise_for, {"target": 20.0, "rate": 0.1, "steps": 5, "delta": 1e-3}),
    "Fitted": (
        L.Fitted,
        {"architecture": "mnist-mlp", "epochs": 1, "batch_size": 8, "lr": 0.01, "weight_decay": 0.1}
        | {"objective": lambda: None, "augment": None},
    ),
    "Fitted()": (L.Fitted("mnist-mlp", epochs=1), {"x": WHOLE.images, "y": WHOLE.labels, "seed": 0}),
    "FittedPrivately": (L.FittedPrivately, {"architecture": "mnist-mlp", "training": L.PrivateTraining()}),
    "FittedPrivately()": (
        L.FittedPrivately("mnist-mlp", L.PrivateTraining(steps=1)),
        {"x": WHOLE.images, "y": WHOLE.labels, "seed": 0},
    ),
    "Pruned": (L.Pruned, {"learner": learner, "share": 0.5}),
    "Pruned()": (L.Pruned(lambda x, y, seed: fresh()), {"x": X, "y": Y, "seed": 0}),
    "Subject": (L.Subject, {"name": "a", "model": NET, "learner": learner, "shadows": SHADOWS}),
    "StageResult": (L.StageResult, {"value": counted(1, 2), "control": counted(1, 2), "cost": "nothing"}),
    "measure_scorecard": (
        L.measure_scorecard,
        {"subjects": [SUBJECT], "columns": {"one": lambda subject: RESULT}, "tell": None},
    ),
    "Scorecard.cell": (CARD.cell, {"row": "plain", "column": "one"}),
    "Scorecard.worst": (CARD.worst, {"row": "plain"}),
    "Scorecard.holds": (
        L.measure_scorecard([SUBJECT], {"one": L.CleanAccuracy(DATA)}).holds,
        {"subject": SUBJECT, "column": "one", "again": L.CleanAccuracy(DATA), "within": 0.1},
    ),
    "load_scorecard": (L.load_scorecard, {"path": L.shadows.SHIPPED.with_name("scorecard-digits.json")}),
    "CleanAccuracy": (L.CleanAccuracy, {"held_out": DATA}),
    "CleanAccuracy()": (L.CleanAccuracy(DATA), {"subject": SUBJECT}),
    "PoisoningRate": (
        L.PoisoningRate,
        {
            "data": DATA,
            "held_out": DATA,
            "attack": L.FeatureCollision(steps=1),
            "trials": 2,
            "poisons": 1,
            "images": 12,
        },
    ),
    "PoisoningRate()": (
        L.PoisoningRate(DATA, DATA, L.FeatureCollision(steps=1), 2, 1, 12),
        {"subject": L.Subject("layers", LAYERS)},
    ),
    "BackdoorRate": (
        L.BackdoorRate,
        {
            "data": DATA,
            "trusted": DATA,
            "held_out": DATA,
            "trigger": TRIGGER,
            "target": 1,
            "share": 0.1,
            "seed": 0,
        },
    ),
    "BackdoorRate()": (
        L.BackdoorRate(DATA, DATA, DATA, TRIGGER, 1),
        {"subject": L.Subject("layers", LAYERS, lambda x, y, seed: LAYERS)},
    ),
    "EvasionRate": (L.EvasionRate, {"held_out": DATA, "attack": PGD(0.1, steps=1), "images": 5}),
    "EvasionRate()": (L.EvasionRate(DATA, PGD(0.1, steps=1), 5), {"subject": SUBJECT}),
    "InversionRate": (
        L.InversionRate,
        {"data": WHOLE, "other": WIDE, "untrained": WIDE, "inversion": L.Inversion(steps=1)},
    ),
    "InversionRate()": (
        L.InversionRate(WHOLE, WIDE, WIDE, L.Inversion(steps=1)),
        {"subject": L.Subject("wide", WIDE)},
    ),
    "MembershipRate": (L.MembershipRate, {"attack": L.LiRA(), "fpr": 0.5}),
    "MembershipRate()": (L.MembershipRate(fpr=0.5), {"subject": SUBJECT}),
    "ExtractionRate": (
        L.ExtractionRate,
        {"own": DATA, "held_out": DATA, "student": fresh(), "strategy": L.AsTheyAre(X)}
        | {"queries": 9, "first": 9, "answers": "label"},
    ),
    "ExtractionRate()": (L.ExtractionRate(DATA, DATA, fresh(), queries=9, first=9), {"subject": SUBJECT}),
    "Substitutes": (T.Substitutes, {"words": WORDS, "table": {"good": ["bad"]}, "name": "own"}),
    "Substitutes.of": (SUBSTITUTES.of, {"word": "good"}),
    "synonyms": (T.synonyms, {"guard": True}),
    "any_word": (T.any_word, {}),
    "polarity": (T.polarity, {"sentences": SENTENCES}),
    "similarity": (T.similarity, {"numbers": WORDS.encode(SENTENCES), "others": WORDS.encode(SENTENCES)}),
    "read": (T.read, {"model": READER, "sentences": SENTENCES, "words": WORDS}),
    "read_rightly": (T.read_rightly, {"model": models.load("reviews-bag"), "sentences": TWO}),
    "train_reader": (
        T.train_reader,
        {"model": Reader(), "sentences": TWO, "words": WORDS, "epochs": 1, "batch_size": 2}
        | {"lr": 0.01, "dropped": 0.1, "seed": 0},
    ),
    "HotFlip": (T.HotFlip, {"substitutes": SUBSTITUTES, "share": 0.3, "similar": 0.1, "tried": 2}),
    "TextFooler": (T.TextFooler, {"substitutes": SUBSTITUTES, "share": 0.3, "similar": 0.1}),
    "RandomSwaps": (T.RandomSwaps, {"substitutes": SUBSTITUTES, "share": 0.3, "similar": 0.1, "seed": 0}),
    **{
        f"{attack.__name__}.run": (
            attack(SUBSTITUTES).run,
            {
                "model": READER,
                "sentences": SENTENCES,
                "labels": torch.tensor([1, 0]),
                "edits": torch.tensor([1, 1]),
            },
        )
        for attack in (T.HotFlip, T.TextFooler, T.RandomSwaps)
    },
    "SwapResult.swaps": (
        T.RandomSwaps(SUBSTITUTES).run(READER, SENTENCES, torch.tensor([1, 0])).swaps,
        {"i": 1},
    ),
    "CWAudio": (S.CWAudio, {"start": -20.0, "steps": 2, "lr": 0.1, "decrease": 0.8}),
    "CWAudio()": (
        S.CWAudio(steps=1),
        {"model": EAR, "x": WAVES, "y": torch.tensor([0, 1, 2]), "target": torch.tensor([1, 2, 0])},
    ),
    "RoomEOT": (
        S.RoomEOT,
        {"level": -20.0, "steps": 2, "lr": 0.1, "room": S.Room(), "draws": 1, "seed": 0},
    ),
    "RoomEOT()": (
        S.RoomEOT(steps=1, draws=1),
        {"model": EAR, "x": WAVES, "y": torch.tensor([0, 1, 2]), "target": torch.tensor([1, 2, 0])},
    ),
    "Room": (
        S.Room,
        {"quietest": 0.5, "delay": 1.0, "shortest": 5.0, "longest": 20.0, "echo": 0.3, "noise": 25.0},
    ),
    "Room.heard": (S.Room().heard, {"x": WAVES, "draws": Noise(0), "stream": 0}),
    "Smoothing": (S.Smoothing, {"taps": 3}),
    "Smoothing()": (S.Smoothing(3), {"x": WAVES}),
    "Telephone": (S.Telephone, {}),
    "Telephone()": (S.Telephone(), {"x": WAVES}),
    "decibels": (S.decibels, PAIR),
    "signal_to_noise": (S.signal_to_noise, PAIR),
    "equal_noise": (S.equal_noise, PAIR | {"seed": 0}),
    "share_heard": (
        S.share_heard,
        {"model": EAR, "x": WAVES, "label": torch.tensor([0, 1, 2]), "room": S.Room(), "draws": 1, "seed": 0},
    ),
    "shaken": (
        S.shaken,
        {"x": WAVES, "generator": torch.Generator(), "reach": 3, "loudest_noise": 0.01},
    ),
    "AtSteps": (R.AtSteps, {"first": 1, "last": 2}),
    "WhenItMatters": (R.WhenItMatters, {"gap": 0.5}),
    "Catch": (R.Catch, {"games": 2, "seed": 0}),
    "Catch.step": (lambda actions: R.Catch(3).step(actions), {"actions": torch.tensor([0, 1, 2])}),
    "CartPole": (R.CartPole, {"games": 2, "seed": 0}),
    "CartPole.step": (lambda actions: R.CartPole(3).step(actions), {"actions": torch.tensor([0, 1, 1])}),
    "RandomSigns": (R.RandomSigns, {"eps": 0.1, "seed": 0}),
    "play": (
        lambda game, **more: R.play(game=R.Catch(2) if game is None else game, **more),
        {
            "player": PLAYER,
            "game": None,
            "attack": PGD(0.1, steps=1),
            "when": R.AtSteps(1, 2),
            "seed": 0,
            "keep": True,
        },
    ),
    "train_player": (
        R.train_player,
        {
            "player": fresh_player(),
            "game": R.Catch,
            "rounds": 1,
            "games": 2,
            "epochs": 1,
            "batch_size": 9,
            "lr": 0.01,
        }
        | {"clip": 0.2, "entropy": 0.01, "discount": 0.9, "noise": 0.1, "seed": 0},
    ),
}
# What is no function of arguments: records, protocols, and the exception.
NOT_CALLED = {"Poisoned", "QueryBudgetError", "Scorecard", "Theft", "Game", "Played", "SwapResult"}


# Where None stands for a default that takes long.
SLOW_DEFAULTS = {("matching_trials", "attack"), ("collision_trials", "attack")}


class Answering(nn.Module):
    """Answers anything with the same thing."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x):
        return self.answer(x)


NUMBERS = (-1, 0, 1, 2, 1.5, math.nan, math.inf, True)


def hostile(value):
    """What is given instead of a value that works: other types for all, and what may be wrong about a value of this kind."""
    yield from (object(), "odd", None, [], {}, -1, math.nan, np.zeros(3), torch.zeros(0))
    if isinstance(value, bool | int | float):
        yield from NUMBERS
    elif isinstance(value, torch.Tensor):
        yield from (
            value[:0],
            value[:-1],
            value[:1],
            value[None],
            value.flatten()[:1],
            value.numpy(),
            value * 0,
        )
        yield from (value.float(), value.double(), value.half(), value.long(), value.bool(), value.cfloat())
        yield from (value + 100, -1 - value.float(), -1 - value.long(), value.float() * math.nan)
    elif isinstance(value, nn.Module):
        yield from (
            nn.Identity(),
            nn.Flatten(),
            Answering(lambda x: None),
            Answering(lambda x: x.flatten(1)[:, :1]),
        )
        yield from (
            Answering(lambda x: x.flatten(1)[:, :3] * math.nan),
            Answering(lambda x: x.flatten(1)[:, :2].float()),
        )
    elif isinstance(value, ImageSet):
        yield from (
            value.subset([]),
            value.subset(value.labels == 0),
            value.subset([0]),
            value.images,
            WHOLE,
            DATA,
        )
    elif isinstance(value, list | tuple):
        yield from (value[:1], value[:0], (*value, *value), [object()], ["x"], [-1], [math.nan], 5)
    elif isinstance(value, lifecycle.ShadowSet):
        yield from (SHADOWS.only([0]), SHADOWS.only([0, 1]), shadows(4, 4), ANSWERS, value.logits)
    elif isinstance(value, lifecycle.shadows.Answers):
        yield from (SHADOWS, shadows(4, 4).answers(0), value.logits)
    elif isinstance(value, lifecycle.Trigger):
        yield from (lifecycle.Trigger(size=50), lifecycle.Trigger(place=(40, 0)), lifecycle.Trigger)
    elif isinstance(value, lifecycle.Subject):
        yield from (lifecycle.Subject("odd", nn.Identity()), NET)
    elif callable(value):
        yield from (lambda *given: None, lambda *given: given[0])


def outcome(call, arguments):
    """ "refused", "returned", or the error that should not be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call(**arguments)
        except InputError:
            return "refused"
        except Exception as error:
            return f"{type(error).__name__}: {error}"[:150]
    return "returned"


def test_every_public_name_has_a_call():
    """Against the lists of public names."""
    public = {name for package in (lifecycle, text, speech, reinforcement) for name in package.__all__}
    assert public - NOT_CALLED == {name for name in CALLS if name in public}


@pytest.mark.parametrize("name", CALLS)
def test_a_hostile_call_is_refused_by_name_or_answered(name):
    """Against the contract: the call that works works; any other result than an answer or an `InputError` is a fault, and what
    is no value of any kind is refused."""
    call, arguments = CALLS[name]
    assert outcome(call, arguments) == "returned"
    faults = []
    for key, value in arguments.items():
        for odd in hostile(value):
            if (odd is None and (name, key) in SLOW_DEFAULTS) or (name, key) == ("noise_for", "target"):
                continue  # a search through many noises that its own test has
            found = outcome(call, arguments | {key: odd})
            nothing = type(odd) is object
            if found not in ("refused", "returned") or (nothing and found != "refused"):
                shown = (
                    f"{type(odd).__name__} {tuple(odd.shape)} {odd.dtype}"
                    if hasattr(odd, "shape")
                    else repr(odd)
                )
                faults.append(f"{key} = {shown[:60]}: {found}")
    assert not faults, "\n" + "\n".join(faults)
