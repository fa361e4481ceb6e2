"""What hides well: things that look alike and answer differently, what nobody can follow, and what use leaves behind."""

import builtins
import functools
import math
import os
import pickle
import random
import subprocess
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from identities import Scaled, Slotted, key, module, using
from torch import nn

from advcourse.attacks import PGD, Transfer
from advcourse.core.identity import IdentityWarning, identity, is_fresh, stands_for

FIRST, SECOND = object(), object()
LEFT, RIGHT = [1.0], [1.0]
ONE = torch.tensor([1.0])


def compiled_in_place(backend):
    """A module that its own method `compile` has compiled."""
    model = nn.Identity()
    model.compile(backend=backend)
    return model


def reads_left():
    return LEFT


def is_first(held):
    return held is FIRST


def keeps_left():
    LEFT.append(1.0)
    return LEFT


def listed(where):
    """Lists that hold themselves, in which the third part is the function, or the list, that came before."""
    held = [reads_in_place, 1]
    held.append(held[0] if where else held)
    return held


def reads_in_place():
    return ONE


def in_a_set(where):
    parts = Slotted(1.0), Slotted(2.0)
    return [set(parts), parts[0] if where else Slotted(1.0)]


def twice(text, *names):
    """Two functions of one text, which differ in which of two equal modules they take their number from."""
    parts = [module("a", k=LEFT, change=lambda: None), module("b", k=RIGHT, change=lambda: None)]
    return [using(a=parts[0], b=parts[1], m=parts[place])(text) for place in (0, 1)]


class Stubborn(nn.Dropout):
    """Dropout that hears of no mode."""

    def train(self, mode=True):
        return self


class Holding(nn.Module):
    """A model that leaves its part in the mode that it has."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def train(self, mode=True):
        self.training = mode
        return self


def in_mode(model, training):
    for part in model.modules():
        part.training = training
    return model


def ignoring(training):
    model = nn.Dropout()
    model.eval = model.train = lambda mode=True: model
    return in_mode(model, training)


def hooked(factor, kind="register_forward_hook"):
    model = torch.compile(nn.Identity())
    getattr(model, kind)(lambda module, inputs, output=None: factor)
    return model


def quantised(scale, zero=0):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(scale * (3 - zero) * ONE, scale, zero, torch.quint8)


def by_channel(*scales):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        numbers = torch.tensor([[scales[0]], [scales[1]]]), torch.tensor(scales), torch.zeros(2)
        return torch.quantize_per_channel(*numbers, 0, torch.quint8)


def structured(first, second, **more):
    return np.array([(1, 2)], dtype=np.dtype([(first, "i4"), (second, "i4")], **more))[0]


def cached(typed):
    return functools.lru_cache(typed=typed)(str)


# Two things each, which answer differently.
PAIRS = {
    "function or list, met before": lambda: (listed(False), listed(True)),
    "one set twice": lambda: (lambda held: ([held, held], [held, {1}]))({1}),
    "what is in the set": lambda: (in_a_set(0), in_a_set(1)),
    "which of two modules": lambda: twice("def f(): return a.k, b.k, m.k, m"),
    "what another function reads of a module": lambda: [
        using(g=using()("def f(m): return m.k"), m=module("m", k=k))("def f(): return g(m)") for k in (1, 2)
    ],
    "one list in two functions": lambda: [
        (types.FunctionType(reads_left.__code__, {"LEFT": held}), keeps_left) for held in (LEFT, RIGHT)
    ],
    "which of two marks": lambda: [Scaled(mark, is_first) for mark in (FIRST, SECOND)],
    "dropout that hears no mode": lambda: [in_mode(Stubborn(), mode) for mode in (True, False)],
    "a part that hears no mode": lambda: [in_mode(Holding(nn.Dropout()), mode) for mode in (True, False)],
    "one model that hears no mode": lambda: [ignoring(mode) for mode in (True, False)],
    "a private global": lambda: [using(__k=k)("def f(): return __k") for k in (1.0, 2.0)],
    "a private name in a module": lambda: [
        using(m=module("m", __k=k))("def f(): return getattr(m, '__k')") for k in (1.0, 2.0)
    ],
    "a name of a module": lambda: [
        using(m=module("m", k=k, l=0))("def f(): return getattr(m, 'k')") for k in (1.0, 2.0)
    ],
    "vars of a module": lambda: [
        using(m=module("m", k=k))("def f(): return vars(m)['k']") for k in (1.0, 2.0)
    ],
    "frompyfunc": lambda: [np.frompyfunc(call, 1, 1) for call in (lambda x: x, lambda x: 2 * x)],
    "frompyfunc of one code": lambda: [np.frompyfunc(Slotted(k).__call__, 0, 1) for k in (1, 2)],
    "fields of a scalar": lambda: (structured("a", "b"), structured("b", "a")),
    "scale": lambda: (quantised(1.0), quantised(0.5)),
    "zero": lambda: (quantised(1.0), quantised(1.0, 1)),
    "scales of channels": lambda: (by_channel(1.0, 0.5), by_channel(2.0, 3.0)),
    "hook on a compiled model": lambda: (hooked(1), hooked(2)),
    "first hook on a compiled model": lambda: [hooked(k, "register_forward_pre_hook") for k in (1, 2)],
    "compiled in place by a backend": lambda: [
        compiled_in_place(lambda graph, inputs, k=k: lambda x: [k]) for k in (1, 2)
    ],
    "compiled by a backend": lambda: [
        torch.compile(nn.Identity(), backend=lambda graph, inputs, k=k: lambda x: [k]) for k in (1, 2)
    ],
    "method of a number": lambda: ((3).__add__, (4).__add__),
    "method of a tuple": lambda: ((1, 2).__getitem__, (1, 3).__getitem__),
    "cache that knows types": lambda: (cached(False), cached(True)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_what_hides_has_a_key_of_its_own(name):
    """Checks two things that answer differently: two keys, neither of them fresh, and each of them steady."""
    one, other = PAIRS[name]()
    assert key(one) == key(one) != key(other) == key(other)


def replaced(place, name, new):
    return lambda patch: patch.setattr(place, name, new)


def added(place, name, new):
    return lambda patch: patch.setattr(place, name, new, raising=False)


def wrapped(place, name):
    """A replacement that says that it is the original."""
    original = getattr(place, name)

    @functools.wraps(original)
    def new(*arguments, **named):
        return 2 * original(*arguments, **named)

    return lambda patch: patch.setattr(place, name, new)


def calls(name, place=None):
    """A model that calls a function of a library."""
    return using(torch=torch, F=F, np=np, math=math, random=random, nn=nn)(f"def f(x): return {name}(x)")


class Own(nn.Linear):
    """A layer of the user's on top of one of torch's."""


def double(x, *_, **__):
    return 2 * x


PATCHES = {
    "torch.relu": (calls("torch.relu"), replaced(torch, "relu", double)),
    "torch.relu below F.relu": (calls("F.relu"), replaced(torch, "relu", double)),
    "F.relu": (calls("F.relu"), replaced(F, "relu", double)),
    "F.relu by its long name": (calls("torch.nn.functional.relu"), replaced(F, "relu", double)),
    "F.relu below nn.ReLU": (nn.ReLU(), replaced(F, "relu", double)),
    "F.relu is F.gelu": (nn.ReLU(), replaced(F, "relu", F.gelu)),
    "torch.relu is torch.sigmoid": (nn.ReLU(), replaced(torch, "relu", torch.sigmoid)),
    "F.relu, wrapped": (nn.ReLU(), wrapped(F, "relu")),
    "F.relu by getattr": (calls("getattr(F, 're' + 'lu')"), replaced(F, "relu", double)),
    "nn.Linear.forward": (nn.Linear(1, 1), replaced(nn.Linear, "forward", double)),
    "nn.Linear.forward, wrapped": (nn.Linear(1, 1), wrapped(nn.Linear, "forward")),
    "below a class of the user's": (Own(1, 1), replaced(nn.Linear, "forward", double)),
    "a method that was not there": (nn.ReLU(), added(nn.ReLU, "__call__", double)),
    "nn.Module.__call__": (nn.Sequential(nn.ReLU()), replaced(nn.Module, "__call__", double)),
    "Tensor.relu": (lambda x: x.relu(), replaced(torch.Tensor, "relu", double)),
    "a number that was not there": (calls("torch.k"), added(torch, "k", 2.0)),
    "a name that was not there": (calls("F.mine"), added(F, "mine", double)),
    "np.clip": (calls("np.clip"), replaced(np, "clip", double)),
    "a distribution": (
        calls("torch.distributions.Normal"),
        replaced(torch.distributions.Normal, "sample", double),
    ),
    "math.exp": (calls("math.exp"), replaced(math, "exp", double)),
    "builtins.abs": (calls("abs"), replaced(builtins, "abs", double)),
    "F.cross_entropy below an attack": (PGD(0.3), replaced(F, "cross_entropy", double)),
    "an attack's step": (Transfer(PGD(0.3), nn.ReLU()), replaced(PGD, "run", double)),
}


@pytest.mark.parametrize("name", PATCHES)
def test_a_function_of_a_library_that_is_replaced_counts(name, monkeypatch):
    """Checks a thing before, while and after somebody has put another function into a library that it uses."""
    thing, patch = PATCHES[name]
    before = key(thing)
    with monkeypatch.context() as inside:
        patch(inside)
        assert before != key(thing) == key(thing)
    assert key(thing) == before


def test_what_stands_for_a_function_leaves_the_key(monkeypatch):
    """Checks a replacement that is declared to answer as the original does, and one that wraps the declared one."""
    before, original = key(nn.ReLU()), F.relu
    monkeypatch.setattr(F, "relu", stands_for(lambda x, inplace=False: original(x), original))
    assert key(nn.ReLU()) == before
    wrapped(F, "relu")(monkeypatch)
    assert key(nn.ReLU()) != before


REPLACED_BEFORE = """
import functools, sys, torch, torch.nn.functional as F
relu = F.relu
def new(x, inplace=False): return 2 * relu(x)
for F.relu in (relu, new, functools.wraps(relu)(new), torch.no_grad()(new), functools.partial(new), relu):
    for name in [name for name in sys.modules if name.startswith("advcourse")]:
        del sys.modules[name]
    from advcourse.core.identity import identity
    print(identity(torch.nn.ReLU()))
"""


def test_a_function_that_was_replaced_before_counts():
    """Checks keys where F.relu was as it is, or another before this library was imported: wrapped in several ways, or plain."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-c", REPLACED_BEFORE]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    keys = run.stdout.split()
    assert keys[0] == keys[-1] == key(nn.ReLU()) and keys[0] not in keys[1:-1]


def test_a_compiler_leaves_the_keys_of_others():
    """Checks a net before and after torch.compile has put its own functions into torch."""
    net = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    before = key(net)
    torch.compile(nn.Linear(1, 1), backend="eager")(torch.ones(1, 1))
    assert key(net) == before


UNFOLLOWED = {
    "eval": "def f(): return eval('k')",
    "exec": "def f(): exec('k')",
    "globals": "def f(): return globals()['k']",
    "kept eval": "def f(x, call=eval): return call('k')",
    "builtins": "import builtins\ndef f(): return builtins.eval('k')",
    "name of builtins": "import builtins\ndef f(): return getattr(builtins, 'ev' + 'al')('k')",
    "__import__": "def f(): return __import__('m').k",
    "sys.modules": "import sys\ndef f(): return sys.modules['m'].k",
    "modules": "from sys import modules\ndef f(): return modules['m'].k",
    "name of sys": "import sys\ndef f(): return getattr(sys, 'mod' + 'ules')['m'].k",
    "late sys": "def f():\n    import sys as s\n    return s.modules['m'].k",
    "late modules": "def f():\n    from sys import modules as m\n    return m['m'].k",
    "import_module": "from importlib import import_module as i\ndef f(): return i('m').k",
    "late importlib": "def f():\n    import importlib as i\n    return i.import_module('m').k",
    "frame": "import sys\ndef f(): return sys._getframe().f_globals['k']",
    "globals of a function": "def g(): pass\ndef f(): return g.__globals__['k']",
    "inner": "def f(): return [eval(n) for n in 'k']",
}


@pytest.mark.parametrize("name", UNFOLLOWED)
def test_what_nobody_can_follow_never_matches(name):
    """Checks code that finds its values by names that are made when it runs, and a model and a partial with it."""
    call = using(k=1.0)(UNFOLLOWED[name])
    for thing in (call, Scaled(None, call), functools.partial(call)):
        with pytest.warns(IdentityWarning, match="cannot be told from another"):
            keys = [identity(thing), identity(thing)]
        assert all(map(is_fresh, keys)) and keys[0] != keys[1]


def test_what_is_followed_is_not_fresh():
    """Checks code whose words are like those that nobody can follow."""
    texts = [
        "def f(m): return m.eval(), m.modules(), vars(m), getattr(m, 'k')",
        "import sys\ndef f(m): return m.modules(), sys.float_info",
        "import importlib\ndef f(m): return importlib.machinery",
        "def f():\n    import sys\n    return sys.maxsize",
    ]
    assert len({key(using()(text)) for text in texts}) == len(texts)


def test_what_was_saved_and_loaded_keeps_its_key():
    """Checks sets and structured numbers, with objects and with room between their fields, against what pickle makes of them."""
    held = np.array([(Slotted(1.0), 2)], dtype=[("a", "O"), ("b", "i1")])
    things = [
        structured("a", "b"),
        structured("a", "b", align=True),
        {frozenset({"a", "b"}): {1, "x"}},
        held[0],
    ]
    assert key(pickle.loads(pickle.dumps(things))) == key(things)
