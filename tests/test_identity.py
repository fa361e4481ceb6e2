"""One key for what is the same, another for what answers differently, and none that matches where nobody can tell."""

import copy
import datetime
import io
import json
import logging
import os
import pickle
import random
import re
import subprocess
import sys
import threading
import warnings
from collections import deque
from fractions import Fraction
from functools import partial
from pathlib import Path

import identities
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from identities import AROUND, PLACES, Scaled, Slotted, Weighted, all_keys, answer, closure, private
from nets import Scaled as Factor
from nets import conv
from sklearn.linear_model import LogisticRegression
from torch import nn

from advcourse import models
from advcourse.attacks import BPDA, EOT, PGD, EachTarget, Transfer
from advcourse.core.identity import IdentityWarning, digest, identity, is_fresh
from advcourse.defenses import EAT, PAT, FreeAT

NUMBERS = st.sampled_from([1.0, 0.6, 5.0])
THINGS = st.lists(st.tuples(st.sampled_from(PLACES), NUMBERS), min_size=1, max_size=3)


def made(parts):
    """The models one after the other, the first as it is where it is alone."""
    chain = [place(k) for place, k in parts]
    return chain[0] if len(chain) == 1 else nn.Sequential(*chain)


@settings(max_examples=150, deadline=None)
@given(THINGS, THINGS, st.sampled_from(sorted(AROUND)))
def test_what_answers_differently_never_shares_a_key(one, other, around):
    """Checks the keys of two models, and of sources and objectives around them, against the models' own answers."""
    first, second = made(one), made(other)
    keys = [identity(AROUND[around](model)) for model in (first, second)]
    assert not any(map(is_fresh, keys))
    assert keys[0] != keys[1] or answer(first) == answer(second)
    assert (keys[0] == keys[1]) == (one == other)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_every_place_tells_its_number(place):
    """Checks one number against another in the same place, and the same thing made twice; the answers are the numbers."""
    assert [answer(place(k)) for k in (1.0, 0.6)] == pytest.approx([1.0, 0.6])
    assert identity(place(1.0)) != identity(place(0.6)) == identity(place(0.6))


def test_another_process_has_the_same_keys():
    """Checks the keys of two processes with other hash seeds, and other objects in memory, against those of this one."""
    expected = all_keys()
    for seed in ("1", "2"):
        path = os.pathsep.join(map(str, (Path(__file__).parent, Path(__file__).parent.parent)))
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": path}
        code = "import identities, json; print(json.dumps(identities.all_keys()))"
        run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        assert json.loads(run.stdout) == expected


def saved_and_loaded(model):
    """The same model, out of a file that holds it with its classes' names."""
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


KEPT = {
    "copied": copy.deepcopy,
    "pickled": lambda model: pickle.loads(pickle.dumps(model)),
    "saved": saved_and_loaded,
    "used in training mode": lambda model: copy.deepcopy(model).train(),
    "frozen": lambda model: copy.deepcopy(model).requires_grad_(False),
    "laid out otherwise": lambda model: copy.deepcopy(model).to(memory_format=torch.channels_last),
    "moved and back": lambda model: copy.deepcopy(model).to("cpu", torch.float32),
}


@pytest.mark.parametrize("way", KEPT)
def test_the_same_thing_keeps_its_key(way):
    """Checks a model with buffers, a private table and a factor against itself after what changes none of its answers."""
    model = conv().eval()
    model._table = {"a": [torch.arange(3), np.ones(2)], "b": Slotted(3)}
    before = identity(model)
    other = KEPT[way](model)
    assert identity(other) == before == identity(model)
    next(other.parameters()).data.view(-1)[0] += 1
    assert identity(other) != before


def test_gradients_and_use_leave_the_key():
    """Checks a model against itself after a backward pass, and its state loaded into another's."""
    model, other = conv().eval(), conv(seed=1).eval()
    before = identity(model)
    model(torch.rand(2, 1, 8, 8)).sum().backward()
    assert identity(model) == before != identity(other)
    other.load_state_dict(model.state_dict())
    assert identity(other) == before


@pytest.mark.gpu
def test_the_device_leaves_the_key():
    """Checks models with buffers and recurrent weights on the processor against the same on a graphics card."""
    for model in (conv().eval(), nn.LSTM(3, 4), models.load("mnist-cnn")):
        assert identity(copy.deepcopy(model).to("cuda")) == identity(model)


@pytest.mark.gpu
def test_the_device_leaves_the_digest():
    """Checks the checksum of weights on a graphics card against that of the same numbers on the processor."""
    assert digest([torch.ones(3).cuda()]) == digest([torch.ones(3)])


TYPES = [torch.bfloat16, torch.half, torch.float64, torch.complex64, torch.bool, torch.int8, torch.uint8]


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_tensors_of_every_type(dtype):
    """Checks values against others and against the same values of another type, with and without an axis, and empty."""
    one, other = torch.tensor([1, 0, 1]).to(dtype), torch.tensor([1, 1, 1]).to(dtype)
    assert identity(one) == identity(one.clone()) != identity(other)
    assert identity(one) != identity(torch.tensor([1.0, 0.0, 1.0])) and identity(one[0]) != identity(
        other[1:2]
    )
    assert identity(one[:0]) != identity(torch.empty(0)) and not is_fresh(identity(one[:0]))
    assert digest([one]) != digest([other])


def test_a_model_in_half_precision_has_a_key():
    """Checks a bfloat16 net against itself, against another net, and against its float32 original."""
    keys = [identity(conv(seed=seed, dtype=torch.bfloat16)) for seed in (0, 0, 1)]
    assert keys[0] == keys[1] != keys[2] and identity(conv(seed=0)) not in keys


@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_sparse_tensors_and_views():
    """Checks against dense values; a transposed view is its own contiguous copy; a conjugate its own numbers."""
    one = torch.eye(3)
    assert identity(one.to_sparse()) == identity(torch.eye(3).to_sparse()) != identity((2 * one).to_sparse())
    assert identity(one.to_sparse()) != identity(one) and identity(one.to_sparse_csr()) != identity(
        one.to_sparse()
    )
    view = torch.arange(6.0).view(2, 3).T
    assert identity(view) == identity(view.contiguous()) != identity(view.T)
    number = torch.tensor([1 + 2j])
    assert identity(number.conj()) == identity(torch.tensor([1 - 2j])) != identity(number)


def test_numbers_of_numpy_are_numbers():
    """Checks numpy's numbers of Python's own precision against Python's; all others are of another type."""
    pairs = [(np.float64(0.3), 0.3), (np.int64(3), 3), (np.bool_(True), True), (np.complex128(1j), 1j)]
    assert all(identity(numpy) == identity(python) for numpy, python in pairs)
    assert identity(PGD(np.float64(0.3))) == identity(PGD(0.3)) != identity(PGD(0.31))
    assert identity(Factor(conv(), np.float64(0.3))) == identity(Factor(conv(), 0.3))
    different = [
        1,
        1.0,
        True,
        "1",
        b"1",
        np.float32(1),
        np.int8(1),
        [1],
        (1,),
        {1},
        {1: 1},
        None,
        -0.0,
        0.0,
        1j,
    ]
    assert len({identity(value) for value in different}) == len(different)


def test_nothing_runs_together():
    """Checks groups of the same parts that a plain concatenation would not tell apart."""
    different = [
        ["ab", "c"],
        ["a", "bc"],
        ["abc"],
        [["ab"], "c"],
        {"ab": "c"},
        ("ab", "c"),
        [["ab", "c"]],
        [],
        [[]],
    ]
    assert len({identity(value) for value in different}) == len(different)
    assert identity({"b": 1, "a": 2}) != identity({"a": 2, "b": 1}), "a loop over it sees the order"
    assert identity({"a", "b", "c"}) == identity({"c", "b", "a"})


def test_shared_parts_are_no_equal_parts():
    """Checks one list in two places, and one weight in two layers, against equal ones: what changes one changes the other."""
    shared = [1]
    assert identity([shared, shared]) != identity([[1], [1]])
    tied, alike = (
        nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)),
        nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)),
    )
    alike.load_state_dict(tied.state_dict())
    alike[1].load_state_dict(alike[0].state_dict())
    tied[1] = tied[0]
    assert torch.equal(tied(torch.ones(2)), alike(torch.ones(2))) and identity(tied) != identity(alike)
    circle = [1]
    circle.append(circle)
    assert not is_fresh(identity(circle))


def test_the_mode_counts_where_nobody_sets_it():
    """Checks dropout in a registered part, which whoever uses the model puts into a mode, and in a list, which nobody does."""

    def hidden(net):
        return Scaled([net], lambda held: held[0](torch.ones(1)).sum())

    assert identity(nn.Sequential(nn.Dropout()).train()) == identity(nn.Sequential(nn.Dropout()).eval())
    assert identity(hidden(nn.Dropout().train())) != identity(hidden(nn.Dropout().eval()))


def test_globals_and_base_classes_count(monkeypatch):
    """Checks functions, an autograd function and classes before and after a global that they read is another."""
    things = [
        lambda: identities.SCALE,
        identities.Straight,
        partial(identities.Straight.apply),
        Scaled(None, lambda _: identities.SCALE),
        type("Late", (identities.Straight,), {}),
    ]
    before = [identity(thing) for thing in things]
    assert before == [identity(thing) for thing in things]
    monkeypatch.setattr(identities, "SCALE", 3.0)
    assert not set(before) & {identity(thing) for thing in things}
    model, base = private(1.0), identity(private(1.0))
    monkeypatch.setattr(Scaled, "forward", lambda self, x: x)
    assert identity(model) != base


def test_the_order_of_hooks_counts_and_their_numbers_do_not():
    """Checks two hooks against the same in turn, and against themselves after others came and went."""

    def hooked(*factors, before=0):
        model = conv()
        for _ in range(before):
            model.register_forward_hook(print).remove()
        for factor in factors:
            model.register_forward_hook(lambda module, inputs, output, factor=factor: output * factor)
        return model

    assert identity(hooked(2, 3)) == identity(hooked(2, 3, before=4)) != identity(hooked(3, 2))
    assert identity(hooked(2)) != identity(hooked())


def test_attacks_and_objectives():
    """Checks attacks and objectives of the library: equal settings and nets have one key, and each change has another."""
    net, other = conv(seed=0), conv(seed=1)
    makers = [
        lambda net, k: PGD(k),
        lambda net, k: Transfer(PGD(k), net),
        lambda net, k: Transfer(PGD(k), partial(EOT, draws=3)),
        lambda net, k: EachTarget(PGD(k, targeted=True)),
        lambda net, k: Transfer(PGD(k), nn.Sequential(BPDA(closure(k)), net)),
        lambda net, k: PAT(k, ramp=0.5),
        lambda net, k: PAT(k, ramp=0.5).following("constant"),
        lambda net, k: FreeAT(k),
        lambda net, k: EAT((net,), k),
    ]
    keys = [identity(make(conv(seed=0), 0.3)) for make in makers]
    assert len(set(keys)) == len(keys) and keys == [identity(make(net, 0.3)) for make in makers]
    assert not set(keys) & {identity(make(net, 0.2)) for make in makers}
    holding = [1, 4, 8]
    assert not set(keys) & {identity(makers[place](other, 0.3)) for place in holding}
    assert identity(Weighted(1.0)) != identity(Weighted(5.0)) and repr(Weighted(1.0)) == repr(Weighted(5.0))


def unknown():
    """Things that hold something that nobody can look into."""
    generator = (k for k in (1, 2))
    script = torch.jit.script(nn.Linear(2, 2))
    return [
        threading.Lock(),
        generator,
        torch.ones(2, device="meta"),
        script,
        {(1, Slotted(generator))},
        deep(100_000),
    ]


def deep(n):
    value = []
    for _ in range(n):
        value = [value]
    return value


@pytest.mark.parametrize("place", range(6))
def test_what_cannot_be_told_apart_never_matches(place):
    """Checks what has no content to read against itself, and that the warning says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        thing = unknown()[place]
    with pytest.warns(IdentityWarning, match="cannot be told from another"):
        keys = [identity([thing]), identity([thing])]
    assert all(map(is_fresh, keys)) and keys[0] != keys[1]


def test_a_compiled_model_is_its_model():
    """Checks that two nets with one architecture differ after torch.compile, too, which leaves their content as it was."""
    keys = [identity(torch.compile(conv(seed=seed))) for seed in (0, 0, 1)]
    assert keys[0] == keys[1] != keys[2] and not is_fresh(keys[0])


def test_weights_can_count_elsewhere():
    """Checks two nets of one architecture, whose weights alone differ, and a third with another private number."""
    nets = [conv(seed=seed).eval() for seed in (0, 1)]
    keys = [identity(net, apart_from=net.state_dict(keep_vars=True).values()) for net in nets]
    assert keys[0] == keys[1] != identity(nets[0])
    nets[0]._k = 1
    assert identity(nets[0], apart_from=nets[0].state_dict(keep_vars=True).values()) != keys[0]


def test_an_identity_draws_no_random_number_and_changes_nothing():
    """Checks the global random states and the model's attributes before and after."""
    model, state = conv(), torch.get_rng_state()
    drawn, held = np.random.get_state()[1].copy(), dict(vars(model))
    identity(model)
    assert torch.equal(torch.get_rng_state(), state) and (np.random.get_state()[1] == drawn).all()
    assert vars(model) == held


class Kept(nn.Module):
    """Objects of other libraries, whose own notes (a hash, a text) come and go with use."""

    def __init__(self, k):
        super().__init__()
        self._path, self._pattern = Path("/a") / str(k), re.compile(f"a{k}+")
        self._date, self._share = datetime.date(2020, 1, k), Fraction(1, k)
        self._python, self._numpy, self._torch = (
            random.Random(k),
            np.random.default_rng(k),
            torch.Generator().manual_seed(k),
        )
        self._queue, self._log = deque([k], maxlen=3), logging.getLogger("tests")
        self._fitted = LogisticRegression(C=k)
        self._part = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))


def kept(name, k, other):
    """A model of k = 2, but for one attribute, which is that of `other`."""
    torch.manual_seed(0)
    model = Kept(2)
    vars(model)[name] = vars(Kept(k))[name] if other else vars(model)[name]
    return model


@pytest.mark.parametrize(
    "name", [name for name in vars(Kept(2)) if name[1:].isalpha() and name not in vars(nn.Identity())]
)
def test_objects_of_other_libraries(name):
    """Checks each attribute of another number against that of the same; a logger, which has no part in an answer, is one."""
    before = identity(kept(name, 2, False))
    model = kept(name, 2, True)
    hash(model._path), str(model._path), model._pattern.match("a2"), model._log.info("used")
    assert identity(model) == before and not is_fresh(before)
    assert (identity(kept(name, 3, True)) == before) == (name == "_log")


def test_what_a_function_imports_when_it_runs_counts(monkeypatch):
    """Checks a model that imports a number of the user's own module, before and after that number is another."""

    def late(_):
        from identities import SCALE

        return SCALE

    before = identity(Scaled(None, late))
    assert before == identity(Scaled(None, late))
    monkeypatch.setattr(identities, "SCALE", 3.0)
    assert identity(Scaled(None, late)) != before
