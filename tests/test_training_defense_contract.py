"""The contract of a training defense, over all of them: nothing is left behind, the seed decides, a run can be resumed."""

from itertools import count

import pytest
import torch
from objectives import OBJECTIVES
from tiny import blobs, linear, network, quiet, same, snapshot

from advcourse.core.identity import stands_for
from advcourse.core.inputs import InputError
from advcourse.training.augmentation import shifts
from advcourse.zoo import recipes

ALL = pytest.mark.parametrize("name", OBJECTIVES)


def train(name, objective=None, seed=0, global_seed=1, checkpoint=None, data=None):
    torch.manual_seed(global_seed)
    model, objective = network(), objective or OBJECTIVES[name]()
    schedule = objective.following() if getattr(objective, "ramp", 0) else "one-cycle"
    settings = {"epochs": 4, "batch_size": 16, "lr": 0.05, "augment": shifts(1), "seed": seed}
    history = quiet(model, data or blobs(), objective, schedule=schedule, checkpoint=checkpoint, **settings)
    return model, history


def test_every_objective_is_tried():
    """Against the recipes of the shipped models: each defense that one of them learnt with, and so none is only written."""
    learnt = {type(recipe.objective()) for recipe in recipes.RECIPES.values()}
    ours = {kind for kind in learnt if kind.__module__.startswith("advcourse.defenses")}
    assert len(ours) >= 8 and ours <= {type(make()) for make in OBJECTIVES.values()}


@ALL
def test_modes_gradients_and_images_are_as_before(name):
    """Against flags and copies: one part in eval mode, one frozen, a gradient from before, images that no graph holds."""
    objective, model, (x, y) = OBJECTIVES[name](), network().train(), blobs()
    if getattr(objective, "ramp", 0):
        objective.following()(0.5)
    model[4].eval()
    model[1].requires_grad_(False)
    model[5].weight.grad = torch.ones_like(model[5].weight)
    images, labels, weights = x.clone(), y.clone(), [p.detach().clone() for p in model.parameters()]
    loss = objective(model, x, y)
    assert loss.dim() == 0 and loss.requires_grad and loss.isfinite()
    assert model.training and model[2].training and not model[4].training
    assert not model[1].weight.requires_grad and model[5].weight.requires_grad
    assert model[5].weight.grad.eq(1).all() and model[1].weight.grad is None and model[2].weight.grad is None
    assert torch.equal(x, images) and torch.equal(y, labels) and x.grad is None and not x.requires_grad
    assert all(torch.equal(p, before) for p, before in zip(model.parameters(), weights))
    loss.backward()
    assert not model[5].weight.grad.eq(1).all() and x.grad is None


@ALL
def test_the_seed_alone_decides_and_the_global_state_stays(name):
    """Against a second run, after the global generators were seeded otherwise, and torch's generator before and after."""
    first = snapshot(train(name)[0])
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = train(name, global_seed=2)[0]
    assert same(second, first) and torch.equal(torch.get_rng_state(), state)
    assert not same(train(name, seed=1)[0], first)


@ALL
def test_an_interrupted_run_goes_on_to_the_same_weights(name, tmp_path, monkeypatch):
    """Against an uninterrupted run, bit for bit, where the reader presses stop in epoch 3, with the objective made anew."""
    whole, whole_history = train(name)
    kind, calls = type(OBJECTIVES[name]()), count(1)
    loss = kind.__call__

    def stopping(objective, model, x, y):
        if next(calls) == 10 * getattr(objective, "replays", 1):
            raise KeyboardInterrupt
        return loss(objective, model, x, y)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(kind, "__call__", stands_for(stopping, loss))
        train(name, checkpoint=tmp_path / "a.pt")
    assert len(torch.load(tmp_path / "a.pt", weights_only=True)["history"]["loss"]) == 2
    resumed, history = train(name, checkpoint=tmp_path / "a.pt")
    assert same(resumed, whole.state_dict()) and history.loss == whole_history.loss


@ALL
def test_its_text_is_its_settings(name):
    """Against a second one made alike, and one of every other kind: checkpoints tell objectives apart by their text."""
    texts = {other: repr(make()) for other, make in OBJECTIVES.items()}
    assert repr(OBJECTIVES[name]()) == texts[name]
    assert sum(text == texts[name] for text in texts.values()) == 1
    assert " at 0x" not in texts[name] and "_told" not in texts[name]


@ALL
def test_bad_images_and_labels_are_named(name):
    """Against one bad argument at a time; the error names it."""
    x, y = blobs()
    for images, labels, message in (
        (x, y + 1, "y: got label 3; allowed are 0 to 2"),
        (x, y.float(), "y: got .*allowed are int64 class numbers"),
        (x, y[:5], "y: got .*one label for each image"),
        (x * 255, y, r"x: got values in .*allowed is \[0, 1\]"),
    ):
        objective = OBJECTIVES[name]()
        if getattr(objective, "ramp", 0):
            objective.following()(0.5)
        with pytest.raises(InputError, match=message):
            objective(network(), images, labels)


@ALL
def test_a_batch_of_one_image_is_taken(name):
    """Against a finite loss: the last batch of an epoch may hold a single image."""
    objective, (x, y) = OBJECTIVES[name](), blobs()
    if getattr(objective, "ramp", 0):
        objective.following()(0.5)
    assert objective(linear(), x[:1], y[:1]).isfinite()
