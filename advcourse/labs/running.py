"""The student's side of a check: call the function once, and say what came back and what was left behind.

This is the border between what is asked of a student's function and how its answer is judged. All that crosses it, in a `Call`
and in a `Reply`, is numbers, strings and arrays, so that the function may as well live in another process. This side knows no
right answer. What a `Reply` says beside its `value` is what this side saw: a judge that trusts nobody believes the value alone.
"""

import contextlib
import inspect
import io
import json
import linecache
import random
import sysconfig
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from advcourse.core.randomness import random_state, set_random_state
from advcourse.labs.victims import BlackBox, Victim

# Where no student's line stands: a traceback leaves these files out.
LIBRARIES = [sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib")]
LIBRARIES.append(str(Path(__file__).resolve().parent.parent))
UNWRITTEN, NOTHING, CRASH, OTHER = "unwritten", "nothing", "crash", "other"
TENSOR, NUMBER, TEXT = "tensor", "number", "text"
LONGEST = 2**21  # bytes of a text


@dataclass(frozen=True)
class Call:
    """What the function is called with: `arguments` by name, CPU tensors, numbers, texts, lists of texts or None; `victim`, if
    it takes a `model`.

    A tuple of victims among the arguments becomes a tuple of models. Models have the type of the first tensor among the
    arguments, and all are moved to `device`. `differentiate`: True where the gradient of the result, a number, by the weights is
    asked; the name of an argument where that of the result's sum by this argument is. Of a `BlackBox` the function gets no model,
    but something to ask.
    """

    victim: Victim | BlackBox | None
    arguments: dict = field(default_factory=dict)
    device: str = "cpu"
    differentiate: bool | str = False


@dataclass(frozen=True)
class Reply:
    """What came back from one call.

    `kind`: "tensor", with a copy on the CPU in `value`; "number", a plain int or float, as a tensor of shape () in `value`;
    "text", a text, or a dictionary of texts and of sets of texts, as the bytes of its JSON in `value` (None otherwise);
    "nothing", the function returned None or `...`; "other", something else; "unwritten", it reached `raise
    NotImplementedError`; "crash". `detail` holds the type's name, the name of the function that is not written, or the last lines
    of the traceback. `left` names what the function changed that was not its own. `slope`: where the call is to `differentiate`,
    and the value hangs on the graph, the gradient asked for, all numbers in one row; as good as `value`. `asked`: how many images
    a `BlackBox` was asked; whoever holds its model counts them.
    """

    kind: str
    value: torch.Tensor | None = None
    detail: str = ""
    device: str = ""
    requires_grad: bool = False
    left: tuple[str, ...] = ()
    slope: torch.Tensor | None = None
    asked: int = 0


class LocalRunner:
    """Calls a function of this process. `has_gpu`: whether it can be called with images on a GPU."""

    def __init__(self, function: Callable[..., object]):
        self._function, self.has_gpu = function, torch.cuda.is_available()

    def parameters(self) -> tuple[str, ...]:
        """The names of the function's parameters as a `def` has them: "eps", "eps=" with a default value, "*args", "**kwargs".

        A function that does not tell its parameters, such as one of TorchScript, may take any.
        """
        function = self._function.forward if isinstance(self._function, torch.nn.Module) else self._function
        try:
            found = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):
            return "*args", "**kwargs"
        stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
        return tuple(stars.get(p.kind, "") + p.name + ("" if p.default is p.empty else "=") for p in found)

    def __call__(self, call: Call) -> Reply:
        """Make the call in the usual state, on copies of its arrays, and put the process back into its own. Returns a `Reply`."""
        with usual_state():
            return self._call(call)

    def _call(self, call):
        arrays = [value for value in call.arguments.values() if isinstance(value, torch.Tensor)]
        dtype = arrays[0].dtype if arrays else torch.float32
        arguments = {k: _own_copy(v, call.device, dtype) for k, v in call.arguments.items()}
        tensors = [value for value in arguments.values() if isinstance(value, torch.Tensor)]
        model = call.victim.build(dtype, call.device) if call.victim else None
        given = arguments if model is None else {"model": model, **arguments}
        models = [m for value in given.values() for m in (value if isinstance(value, tuple) else (value,))]
        models = [m for m in models if isinstance(m, torch.nn.Module)]
        with _restored(call.device):
            by = _leaves(given, call.differentiate)
            before = _marks(models, tensors, call.device)
            reply = self._answer(given, by, summed=call.differentiate in arguments)
            after = _marks(models, tensors, call.device)
        left = tuple(name for name in before if not _equal(before[name], after[name]))
        return Reply(**{**vars(reply), "left": left, "asked": getattr(model, "asked", 0)})

    def _answer(self, arguments, by, summed):
        try:
            with quiet():
                value = self._called(arguments)
                slope = _slope(value, by, summed) if by else None
        except Exception as error:
            return failure(error)
        except SystemExit as error:
            return Reply(CRASH, detail=f"{_where(error)}SystemExit: the function ended the program")
        if value is None or value is Ellipsis or value is NotImplemented:
            return Reply(NOTHING, detail=type(value).__name__)
        if _is_number(value):
            return Reply(NUMBER, torch.tensor(float(value), dtype=torch.float64), type(value).__name__)
        if (text := _as_json(value)) is not None:
            return Reply(TEXT, torch.frombuffer(bytearray(text), dtype=torch.uint8), type(value).__name__)
        with torch._C.DisableTorchFunctionSubclass():  # a subclass could answer for itself what it holds
            if not _is_array(value):
                return Reply(OTHER, detail=type(value).__name__)
            told = {"device": str(value.device), "requires_grad": value.requires_grad, "slope": slope}
            return Reply(TENSOR, _plain(value), **told)

    def _called(self, arguments):
        """What the function returns: called by names, or in order where it takes no names, as behind `def wrapper(*args)`."""
        if not _takes(self._function, **arguments) and _takes(self._function, *arguments.values()):
            return self._function(*arguments.values())
        return self._function(**arguments)


def _takes(function, *args, **named):
    """Whether the function itself, not one that it wraps, can be called so; True where it does not tell."""
    try:
        inspect.signature(function, follow_wrapped=False).bind(*args, **named)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def _as_json(value):
    """The JSON, as bytes, of a text or of a dictionary of texts, in which sets become sorted lists; None for all else."""
    if not isinstance(value, str | dict):
        return None
    try:
        text = json.dumps(value, default=_sorted)
    except (TypeError, ValueError, RecursionError):
        return None
    return text.encode() if len(text) <= LONGEST else None


def _sorted(part):
    if not isinstance(part, set | frozenset):
        raise TypeError(f"a {type(part).__name__} is no set")
    return sorted(part)


def _is_array(value):
    """A tensor that holds its numbers, one beside the other."""
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
        return False
    return not (value.is_nested or value.is_quantized or value.is_meta)


def _plain(value):
    return torch.Tensor.as_subclass(value.detach().to("cpu", copy=True), torch.Tensor)


def _leaves(arguments, differentiate):
    """The tensors that a `Call` is to `differentiate` by: none, the model's weights, or one argument, which then requires it."""
    if differentiate in arguments:
        return (arguments[differentiate].requires_grad_(),)
    return tuple(arguments["model"].parameters()) if differentiate else ()


def _slope(value, by, summed):
    """The gradient of a number, or of the sum of several where that is asked, by the tensors `by`, in one row on the CPU.

    None where there is no graph to follow.
    """
    with torch._C.DisableTorchFunctionSubclass():
        if not isinstance(value, torch.Tensor) or (value.dim() and not summed) or not value.requires_grad:
            return None
        with torch.enable_grad():
            found = torch.autograd.grad(value.sum(), by, allow_unused=True, materialize_grads=True)
        return _plain(torch.cat([gradient.flatten() for gradient in found]))


def _is_number(value):
    """A float, or an int that a float can hold; True and False are none."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, float) or (whole and abs(value) < 2**53)


def _own_copy(value, device, dtype):
    if isinstance(value, tuple) and value and all(isinstance(part, Victim) for part in value):
        return tuple(part.build(dtype, device) for part in value)
    if isinstance(value, list):
        return list(value)
    return value.clone().to(device) if isinstance(value, torch.Tensor) else value


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Inside the block nothing is printed and no warning shown: a check calls functions many times, and shows its verdict."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield


@contextlib.contextmanager
def usual_state() -> Iterator[None]:
    """Torch as in a fresh process: it records gradients, and new tensors hold float32 on the CPU. Afterwards all is as before.

    A cell of the notebook may have changed any of it, and neither the judge nor the function is to answer for that.
    """
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    on_cpu = contextlib.nullcontext() if device.type == "cpu" else torch.device("cpu")
    try:
        with torch.inference_mode(False), torch.enable_grad(), on_cpu:
            torch.set_default_dtype(torch.float32)
            yield
    finally:
        torch.set_default_dtype(dtype)
        if torch.get_default_device() != device:
            torch.set_default_device(device)


@contextlib.contextmanager
def _restored(device):
    """Afterwards the global random states are as before."""
    states = random_state(torch.device(device)), np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        set_random_state(torch.device(device), states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


def _marks(models, tensors, device):
    """All that a function must leave as it was, by name; the first that differs is the first to be told."""
    parameters = [p for model in models for p in model.parameters()]
    marks = {
        "input": [t.detach().clone() for t in tensors],
        "mode": [module.training for model in models for module in model.modules()],
        "buffers": [buffer.clone() for model in models for buffer in model.buffers()],
        "parameters": [p.detach().clone() for p in parameters],
        "parameter flags": [p.requires_grad for p in parameters],
        "parameter gradients": [p.grad is None for p in parameters],
    }
    marks["input flags"] = [(t.requires_grad, t.grad is None) for t in tensors]
    states = random_state(torch.device(device))
    _, numbers, place, *_ = np.random.get_state()
    marks["random state"] = [*states.values(), numbers.tobytes(), place, random.getstate()]
    marks["gradient mode"] = [torch.is_grad_enabled()]
    marks["defaults"] = [str(torch.get_default_dtype()), str(torch.get_default_device())]
    return marks


def _equal(before, after):
    return len(before) == len(after) and all(map(_same, before, after))


def _same(a, b):
    if not isinstance(a, torch.Tensor):
        return a == b
    return a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)


def failure(error: BaseException) -> Reply:
    """The `Reply` for an exception of the student's code."""
    frames = _frames(error)
    if isinstance(error, NotImplementedError) and frames:
        last = frames[
            -1
        ]  # torch raises the same type for what it cannot do; a stub raises it on a line of its own
        if not error.args or last.line.startswith("raise NotImplementedError"):
            return Reply(UNWRITTEN, detail=last.name)
    text = " ".join(str(error).split())
    text = text if len(text) <= 300 else text[:297] + "..."
    return Reply(CRASH, detail=f"{_where(error)}{type(error).__name__}: {text}")


def _where(error):
    """The last lines of the student's own code that the error went through, outermost first."""
    return "".join(f"line {frame.lineno}, in {frame.name}: {frame.line}\n" for frame in _frames(error)[-3:])


def _frames(error):
    linecache.checkcache()
    frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame in frames if not frame.filename.startswith(tuple(LIBRARIES))]
