"""What torch keeps beside a model: hooks for all modules, parametrizations, tensors without a shape; and what has no end."""

import copy
import io

import pytest
import torch
from torch import nn

from advcourse.core.identity import IdentityWarning, identity, is_fresh


@pytest.mark.parametrize("kind", ["forward_pre_hook", "forward_hook", "full_backward_hook"])
def test_a_hook_for_all_modules_counts(kind):
    """Checks torch's own registers: with another hook in them every model answers otherwise, without any as before."""
    model = nn.Linear(2, 2)
    keys = [identity(model)]
    for k in (1, 2):
        hook = getattr(nn.modules.module, f"register_module_{kind}")(lambda *_, k=k: None if k else 0)
        keys.append(identity(model))
        hook.remove()
    assert len(set(keys)) == 3 and identity(model) == keys[0]


@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm", "orthogonal"])
def test_a_copy_of_a_parametrized_layer_has_its_key(kind):
    """Checks torch's parametrizations, whose classes remember the layer that they were made for: a copy answers alike."""
    layers = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        layers.append(getattr(nn.utils.parametrizations, kind)(nn.Linear(3, 3)).eval())
    first, again, other = map(identity, layers)
    assert first == again == identity(copy.deepcopy(layers[0])) == identity(layers[0]) != other


@pytest.mark.parametrize(
    "thing", [nn.LazyLinear(3), torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])]
)
def test_a_tensor_without_a_shape_never_matches(thing):
    """Checks a layer that has seen no input yet, and a tensor of rows of different length."""
    with pytest.warns(IdentityWarning, match="without a shape"):
        assert is_fresh(identity(thing)) and identity(thing) != identity(thing)


@pytest.mark.parametrize("join", [lambda a: (a, a), lambda a: frozenset([a, (a, 1)])])
def test_what_never_ends_gets_a_fresh_key(join, monkeypatch):
    """Checks a value of thirty parts that holds the innermost a billion times: with a limit it ends, and matches nothing."""
    monkeypatch.setattr("advcourse.core.identity.walk.MOST_STEPS", 20_000)
    value = join("x")
    for _ in range(30):
        value = join(value)
    with pytest.warns(IdentityWarning, match="more than 20000 parts"):
        assert is_fresh(identity(value))


def traced(kind):
    """A model of torch.fx: a linear layer with fixed weights, and another of this `kind`."""
    layers = nn.Sequential(nn.Linear(3, 2), kind())
    nn.init.ones_(layers[0].weight), nn.init.zeros_(layers[0].bias)
    return torch.fx.symbolic_trace(layers)


def test_a_traced_model_counts_by_its_graph():
    """Checks torch.fx: what was made again, copied, or saved and loaded answers alike, and another graph does not."""
    model, stored = traced(nn.ReLU), io.BytesIO()
    torch.save(model, stored)
    stored.seek(0)
    alike = [traced(nn.ReLU), copy.deepcopy(model), torch.load(stored, weights_only=False)]
    assert {identity(model), *map(identity, alike)} == {identity(model)} != {identity(traced(nn.Sigmoid))}
    assert not is_fresh(identity(model))


@pytest.mark.parametrize("compiled", [torch.compile, lambda model, **how: (model.compile(**how), model)[1]])
def test_use_of_a_compiled_model_leaves_its_key(compiled):
    """Checks both ways to compile: torch leaves notes at the module and its weights, which change no answer."""
    model = compiled(nn.Linear(2, 2), backend="eager")
    before = identity(model)
    model(torch.ones(1, 2))
    assert identity(model) == before


class Held(nn.Module):
    """Keeps the handle of its own hook."""

    def __init__(self):
        super().__init__()
        self.handle = self.register_forward_hook(print)


def test_a_kept_handle_counts_without_its_number():
    """Checks two equal models: the second handle has a higher number, because more hooks were registered before it."""
    assert identity(Held()) == identity(Held())


def test_operators_that_the_program_registers_never_match():
    """Checks `torch.ops`: code of another library cannot be read from it, while torch's own operators count by name."""

    class Own(nn.Module):
        def forward(self, x):
            return torch.ops.own_defense.quantise(x)

    class Torchs(nn.Module):
        def forward(self, x):
            return torch.ops.aten.relu(x)

    with pytest.warns(IdentityWarning, match="torch.ops.own_defense"):
        assert is_fresh(identity(Own()))
    assert not is_fresh(identity(Torchs()))
