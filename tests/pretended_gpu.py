"""A GPU that is only pretended: tests marked `gpu` run on it where there is none, and fail as they would on a real one.

    with pretended_gpu():
        torch.rand(3).cuda() + torch.rand(3)  # RuntimeError: Expected all tensors to be on the same device ...

A tensor on it is an `OnGPU`: it says that it lies on "cuda:0", and holds its numbers in an ordinary tensor. So torch itself sees
to all that depends on where a tensor says it is, such as `.to` and autograd. What torch leaves to a GPU's kernels is done here,
for every operation: devices may not be mixed, but where torch lets them be; what is made for the GPU lies there; random numbers
there come from generators of its own. The arithmetic is the CPU's: its rounding and its speed say nothing of a real GPU's.
"""

from contextlib import ExitStack, contextmanager, nullcontext
from functools import cache
from types import SimpleNamespace
from unittest import mock

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

from advcourse.core.identity import stands_for
from advcourse.core.identity.walk import _Walk

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")
INSIDE = torch.device(
    "meta"
)  # where torch's own code takes such a tensor to be: a device that needs no driver
aten = torch.ops.aten

# These carry numbers from one device to another.
CROSSING = {aten.copy_.default, aten._to_copy.default}
# Arguments: a tensor, places in it, and what is put there. The places may lie on the CPU, and so may a single number.
INDEXING = {
    aten.index.Tensor,
    aten._unsafe_index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
    aten._unsafe_index_put.default,
}
# These take a single number from the CPU, as all operations do that go number by number.
TAKING_A_NUMBER = {
    aten.fill.Tensor,
    aten.fill_.Tensor,
    aten.masked_fill.Tensor,
    aten.masked_fill_.Tensor,
    aten.index_fill.int_Tensor,
    aten.index_fill_.int_Tensor,
}


@contextmanager
def pretended_gpu():
    """Inside, torch finds one GPU, "cuda:0"; gives the `Machine` behind it."""
    machine = Machine()
    with ExitStack() as stack:
        for patch in machine.patches():
            stack.enter_context(patch)
        stack.enter_context(torch.serialization.safe_globals([_saved]))
        stack.enter_context(Naming())
        stack.enter_context(machine)
        yield machine


class OnGPU(torch.Tensor):
    """A tensor on the pretended GPU. `numbers`: an ordinary tensor. `block`: its memory, shared with its views."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # results are made by `Machine.run` alone

    @staticmethod
    def __new__(cls, numbers, block):
        layout = {"strides": numbers.stride(), "storage_offset": numbers.storage_offset()}
        made = cls._make_wrapper_subclass(cls, numbers.size(), dtype=numbers.dtype, device=INSIDE, **layout)
        made.numbers, made.block = numbers, block
        return made

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        leaves = tree_flatten((args, kwargs))[0]
        machine = next(leaf.block.machine for leaf in leaves if isinstance(leaf, OnGPU))
        return machine.run(operation, args, kwargs or {})

    device, is_cuda, is_meta = GPU, True, False

    def get_device(self):
        return GPU.index

    @property
    def data(self):
        return self.detach()

    @data.setter
    def data(self, other):
        _as_large(self, other.numbers)
        self.numbers, self.block = other.numbers, other.block

    def __repr__(self, **_):
        return f"{self.numbers!r} on {GPU}"

    def numpy(self, **_):
        raise TypeError(f"can't convert {GPU} device type tensor to numpy. Use Tensor.cpu() first")

    def tolist(self):
        return self.numbers.tolist()

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            copied = self.detach().clone()
            if isinstance(self, nn.Parameter):
                copied = nn.Parameter(copied)
            memo[id(self)] = copied.requires_grad_(self.requires_grad)
            if self.grad is not None:
                copied.grad = self.grad.__deepcopy__(memo)
        return memo[id(self)]

    def __reduce_ex__(self, protocol):
        return _saved, (self.numbers, self.requires_grad, isinstance(self, nn.Parameter))


def _saved(numbers, requires_grad, is_parameter):
    """A tensor as it was saved, on the CPU: `Machine.load` moves it."""
    return nn.Parameter(numbers, requires_grad) if is_parameter else numbers.requires_grad_(requires_grad)


class Block:
    """A piece of the GPU's memory. It is freed with the last tensor that uses it."""

    def __init__(self, machine, size):
        self.machine, self.size = machine, size
        machine.used += size
        machine.peak = max(machine.peak, machine.used)

    def __del__(self):
        self.machine.used -= self.size


class Generator(torch._C.Generator):
    """In place of torch.Generator, which makes none for a GPU that is not there."""

    on_gpu = set()  # by the place in memory: what torch hands on is another object with the same inside

    def __new__(cls, device="cpu"):
        made = super().__new__(cls)
        made.place = GPU if _inside(device) == INSIDE else CPU
        if made.place == GPU:
            cls.on_gpu.add(made._cdata)
        return made

    @property
    def device(self):
        return self.place

    def __del__(self):
        self.on_gpu.discard(self._cdata)


class Naming(TorchFunctionMode):
    """Hands torch the device that it takes `OnGPU` to be on where it is asked for the GPU."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function is torch.Tensor.cuda:
            function, args = torch.Tensor.to, (args[0], GPU if args[1:] in [(), (None,)] else args[1])
        if function is torch.Tensor.new_tensor:
            kwargs = {"device": args[0].device, "dtype": args[0].dtype} | kwargs
            function, args = torch.tensor, args[1:]
        if function is torch.Tensor.to:
            args = [_inside(argument) for argument in args]
        elif function in (torch.tensor, torch.as_tensor, torch.asarray):
            return _of_data(function, *args, **kwargs)
        elif function in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
            args = [args[0], _places(args[1]), *args[2:]]
        if "device" in kwargs:
            kwargs["device"] = _inside(kwargs["device"])
        return function(*args, **kwargs)


class Machine(TorchDispatchMode):
    """The pretended GPU. `used` and `peak`: bytes of its memory that are taken, now and at most; `random`: its generator."""

    def __init__(self):
        super().__init__()
        self.used = self.peak = 0
        self.random = Generator("cuda").manual_seed(0)

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return self.run(operation, args, kwargs or {})

    def run(self, operation, args, kwargs):
        """What the operation gives: on the device that it is asked to be on, else on that of its arguments."""
        if _is_composed(operation):  # it is made of others, which come here one by one
            with self:
                return operation.decompose(*args, **kwargs)
        leaves, structure = tree_flatten((args, kwargs))
        here = [leaf for leaf in leaves if isinstance(leaf, OnGPU)]
        asked = kwargs.get("device")
        onto_gpu = bool(here) if asked is None else asked.type in ("cuda", "meta")
        _check_generator(kwargs.get("generator"), onto_gpu)
        if not here and not onto_gpu:
            return operation(*args, **kwargs)
        _check_devices(operation, args, leaves)
        numbers = [_numbers(leaf) for leaf in leaves]
        args, kwargs = tree_unflatten(numbers, structure)
        with self._drawing() if _is_random(operation) and kwargs.get("generator") is None else nullcontext():
            results = operation(*args, **kwargs)
        given = {id(a): b for a, b in zip(numbers, leaves) if isinstance(b, torch.Tensor)}
        blocks = {_storage(tensor.numbers): tensor.block for tensor in here}

        def placed(result):
            if id(result) in given:  # it was worked on in place
                return _as_large(given[id(result)], result)
            if not onto_gpu:
                return result
            return OnGPU(
                result, blocks.get(_storage(result)) or Block(self, result.untyped_storage().nbytes())
            )

        return tree_map_only(torch.Tensor, placed, results)

    @contextmanager
    def _drawing(self):
        """Inside, the CPU's generator draws what the GPU's would."""
        before = torch.get_rng_state()
        torch.set_rng_state(self.random.get_state())
        try:
            yield
            self.random.set_state(torch.get_rng_state())
        finally:
            torch.set_rng_state(before)

    def load(self, *args, map_location=None, from_file=torch.load, **kwargs):
        """In place of torch.load: what was saved is read on the CPU, and then moved."""
        if map_location is None:
            raise NotImplementedError("torch.load on the pretended GPU needs map_location")
        found = from_file(*args, map_location="cpu", **kwargs)
        return tree_map_only(torch.Tensor, lambda tensor: tensor.to(map_location), found)

    def patches(self):
        """What torch is told of the machine."""
        cuda = {
            "_lazy_init": lambda: None,
            "is_available": lambda: True,
            "is_initialized": lambda: True,
            "device_count": lambda: 1,
            "current_device": lambda: 0,
            "device": lambda device=None: nullcontext(),
            "synchronize": lambda device=None: None,
            "empty_cache": lambda: None,
            "get_device_name": lambda device=None: "a pretended GPU",
            "get_device_properties": lambda device=None: SimpleNamespace(
                name="a pretended GPU", total_memory=2**32, major=8, minor=0
            ),
            "memory_allocated": lambda device=None: self.used,
            "max_memory_allocated": lambda device=None: self.peak,
            "reset_peak_memory_stats": lambda device=None: setattr(self, "peak", self.used),
            "get_rng_state": lambda device=None: self.random.get_state(),
            "set_rng_state": lambda state, device=None: self.random.set_state(state),
            "manual_seed": lambda seed: self.random.manual_seed(seed) and None,
            "manual_seed_all": lambda seed: self.random.manual_seed(seed) and None,
        }
        yield _in_place(torch.cuda, **cuda)
        yield _in_place(torch.accelerator, current_accelerator=lambda check_available=False: None)
        yield _in_place(torch, Generator=Generator, load=lambda *args, **kwargs: self.load(*args, **kwargs))
        yield _in_place(nn.Module, _apply=_moving)
        yield mock.patch.object(_Walk, "_tensor", _walked)


def _in_place(owner, **replacements):
    """A patch of functions and classes that answer as those do in whose place they stand: the device leaves a model's key."""
    for name, replacement in replacements.items():
        stands_for(replacement, getattr(owner, name))
    return mock.patch.multiple(owner, **replacements)


def _walked(walk, value, kind, walked=_Walk._tensor):
    """Identity knows torch's own kinds of tensors alone; one on the pretended GPU counts as what it holds."""
    if isinstance(value, OnGPU):
        walk.apart |= {id(value.numbers)} if id(value) in walk.apart else set()
        value, kind = value.numbers, torch.Tensor
    walked(walk, value, kind)


def _moving(module, function, recurse=True, apply=nn.Module._apply):
    """Module.to and the like: a parameter stays the object that it was, as on a real GPU."""
    swap = torch.__future__.set_swap_module_params_on_conversion
    swap(True)
    try:
        return apply(module, function, recurse)
    finally:
        swap(False)


def _inside(device):
    """`INSIDE` for the GPU, and all else as it is; no second GPU is there."""
    if not isinstance(device, str | torch.device) or torch.device(device).type != "cuda":
        return device
    if torch.device(device).index not in (None, GPU.index):
        raise RuntimeError(f"CUDA error: invalid device ordinal, {device}")
    return INSIDE


def _of_data(function, data, *args, device=None, requires_grad=False, **kwargs):
    """torch.tensor and its kind: made where the data are, then moved, for a device without a driver takes no data."""
    made = function(data, *args, **kwargs)
    made = made if device is None else made.to(device=_inside(device))
    return made.detach().requires_grad_() if requires_grad else made


def _places(index):
    """What stands in brackets, lists as tensors, for the same reason."""
    if isinstance(index, tuple):
        return tuple(map(_places, index))
    return torch.tensor(index) if isinstance(index, list) else index


def _numbers(leaf):
    if isinstance(leaf, OnGPU):
        return leaf.numbers
    return CPU if isinstance(leaf, torch.device) else leaf


def _storage(tensor):
    return tensor.untyped_storage()._cdata


def _as_large(tensor, numbers):
    """The tensor, which must not have got another shape than its numbers had."""
    if isinstance(tensor, OnGPU) and (tensor.shape, tensor.stride()) != (numbers.shape, numbers.stride()):
        raise NotImplementedError(f"a tensor on the pretended GPU was given another shape: {numbers.shape}")
    return tensor


@cache
def _is_composed(operation):
    return operation._can_decompose()


@cache
def _is_random(operation):
    return torch.Tag.nondeterministic_seeded in operation.tags


def _check_generator(generator, onto_gpu):
    if generator is not None and (generator._cdata in Generator.on_gpu) != onto_gpu:
        wanted, found = ("cuda", "cpu") if onto_gpu else ("cpu", "cuda")
        raise RuntimeError(f"Expected a '{wanted}' device type for generator but found '{found}'")


def _check_devices(operation, args, leaves):
    """Raise `RuntimeError` where the operation has arguments on both devices, unless torch allows it."""
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    strays = [tensor for tensor in tensors if not isinstance(tensor, OnGPU)]
    if operation in CROSSING or not strays or len(strays) == len(tensors):
        return
    if operation in INDEXING:
        strays = _strays_of_indexing(*args[:3])
    elif operation in TAKING_A_NUMBER or torch.Tag.pointwise in operation.tags:
        written = args[0] if operation._schema.is_mutable else None
        strays = [tensor for tensor in strays if tensor.dim() or tensor is written]
    if strays:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {GPU} and cpu! ({operation})"
        )


def _strays_of_indexing(tensor, places, value=None):
    on_gpu = isinstance(tensor, OnGPU)
    strays = [] if on_gpu else [place for place in places if isinstance(place, OnGPU)]
    elsewhere = value is not None and value.dim() and isinstance(value, OnGPU) != on_gpu
    return strays + [value] * bool(elsewhere)
