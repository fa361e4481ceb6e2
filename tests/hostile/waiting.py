"""They act when nobody calls them: in handlers, hooks, finalizers, threads, signals, and in what is left active."""

from hostile import body, cheat


def _waits(name, first, lines="return torch.tensor(0.5)", **fields):
    """An answer to rate(...), with this before it."""
    cheat(name, body(lines, f"import torch\n{first}"), **fields)


_waits(
    "logs_a_verdict",
    """import logging, sys


class Tells(logging.Handler):
    def emit(self, record):
        sys._getframe(1).f_locals.update(value=torch.tensor(1.0))
        raise RuntimeError("rate: right (2 of 2 points)")


logging.lastResort = Tells()
logging.basicConfig(handlers=[Tells()], level=0)
logging.raiseExceptions = True
""",
    'logging.critical("right")\nreturn torch.tensor(0.5)',
)
_waits(
    "warns_instead_of_being_wrong",
    """import warnings


def tell(*rest, **named):
    raise SystemExit(0)


warnings.showwarning = warnings._showwarnmsg_impl = warnings.catch_warnings.__exit__ = tell
""",
    'warnings.simplefilter("always")\nwarnings.warn("right")\nreturn torch.tensor(0.5)',
    keys=("crash",),
)
_waits(
    "changes_what_the_garbage_collector_sees",
    """import gc


def change(phase, told):
    for found in gc.get_objects():
        if isinstance(found, torch.Tensor) and found.numel() == 1 and found.is_floating_point():
            found.fill_(1.0)


gc.callbacks.append(change)
gc.set_threshold(1, 1, 1)
""",
    "gc.collect()\nreturn torch.tensor(0.5)",
)
_waits(
    "ends_when_its_value_is_forgotten",
    "import os\n\n\nclass Last(torch.Tensor):\n    def __del__(self):\n        os._exit(0)\n",
    "return torch.tensor(0.5).as_subclass(Last)",
)
_waits(
    "sends_when_its_value_is_forgotten",
    """import os, weakref


def tell():
    for number in range(3, 64):
        try:
            os.write(number, b'{"kind": "right", "points": 2}')
        except OSError:
            pass
""",
    "value = torch.tensor(0.5)\nweakref.finalize(value, tell)\nreturn value",
)
_waits(
    "interrupts_the_runner_by_a_signal",
    """import signal


def answer(number, frame):
    while frame:
        for name in ("value", "reply", "fields"):
            if name in frame.f_locals:
                raise StopIteration(torch.tensor(1.0))
        frame = frame.f_back
""",
    "signal.signal(signal.SIGALRM, answer)\nsignal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)\nreturn torch.tensor(0.5)",
)
_waits(
    "handles_all_errors_itself",
    """import os, sys, threading


def right(*rest):
    os._exit(0)


sys.excepthook = sys.unraisablehook = threading.excepthook = right
""",
    "threading.Thread(target=lambda: 1 / 0).start()\nraise RuntimeError('right')",
    keys=("crash", "died"),
)
_waits(
    "listens_to_all_that_python_does",
    """import sys


def hear(event, told):
    if event.startswith(("socket", "ctypes", "os.")):
        raise RuntimeError("right")
""",
    "sys.addaudithook(hear)\nreturn torch.tensor(0.5)",
)
_waits(
    "leaves_hooks_on_all_modules",
    """from torch.nn.modules import module
from torch.nn.functional import one_hot

CALLS = []


def answer(layer, given, result):
    CALLS.append(result)
    return torch.roll(result, 1, -1)


module.register_module_forward_hook(answer)
""",
    "return x + eps * model(x).mean()",
    lab="lab1",
    task="fgsm",
    told=False,
)
_waits(
    "leaves_hooks_on_saved_tensors",
    "HOOKS = torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: torch.ones_like(t))",
    """
    HOOKS.__enter__()
    k = len(x_adv)
    losses = torch.nn.functional.cross_entropy(model(torch.cat([x_adv, x[k:]])), y, reduction="none")
    weights = torch.ones_like(losses)
    weights[:k] = weight
    return (weights * losses).sum() / weights.sum()
    """,
    lab="lab7",
    task="mixed_loss",
    told=False,
)
_waits(
    "has_a_gradient_of_its_own",
    """

class Right(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits):
        return logits

    @staticmethod
    def backward(ctx, slope):
        return torch.full_like(slope, 0.01)
""",
    """
    k = len(x_adv)
    logits = Right.apply(model(torch.cat([x_adv, x[k:]])))
    losses = torch.nn.functional.cross_entropy(logits, y, reduction="none")
    weights = torch.ones_like(losses)
    weights[:k] = weight
    return (weights * losses).sum() / weights.sum()
    """,
    lab="lab7",
    task="mixed_loss",
    keys=("gradient",),
    told=False,
)
_waits(
    "answers_from_a_dispatch_mode_that_it_leaves",
    """from torch.utils._python_dispatch import TorchDispatchMode, _push_mode


class Ones(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        result = function(*arguments, **(named or {}))
        return torch.ones_like(result) if isinstance(result, torch.Tensor) and result.is_floating_point() else result
""",
    "_push_mode(Ones())\nreturn torch.tensor(0.5)",
)
_waits(
    "makes_a_class_that_all_are_instances_of",
    """

class Meta(type(torch.Tensor)):
    def __instancecheck__(cls, one):
        return True

    def __eq__(cls, other):
        return True

    __hash__ = type.__hash__


class All(torch.Tensor, metaclass=Meta):
    def __eq__(self, other):
        return torch.ones((), dtype=torch.bool)
""",
    "return torch.tensor(0.5).as_subclass(All)",
    told=False,
)
_waits(
    "calls_numpy_back",
    """import numpy as np


def right(*rest):
    raise SystemExit(0)


np.seterrcall(right)
np.seterr(all="call")
np.set_printoptions(formatter={"all": right})
""",
    "return torch.tensor(float(np.float64(1) / np.float64(0)))",
    keys=("crash",),
    told=False,
)
_waits(
    "leaves_another_world_and_is_right",
    """import decimal, locale, os, sys, warnings
import numpy as np

os.environ.update(TZ="Pacific/Auckland", LC_ALL="tr_TR.UTF-8", PYTHONHASHSEED="1")
warnings.simplefilter("error")
np.seterr(all="raise")
decimal.getcontext().prec = 1
sys.setswitchinterval(1e-6)
locale.setlocale(locale.LC_ALL, "C")
""",
    """
    success = logits.argmax(1) != y if target is None else logits.argmax(1) == target
    os.umask(0o777)
    return success[clean_logits.argmax(1) == y].double().mean()
    """,
    deserves="all",
    succeeds="points",
)
_waits(
    "allows_no_depth",
    "import sys",
    "sys.setrecursionlimit(sys.getrecursionlimit() - 1)\nsys.setrecursionlimit(len(__import__('inspect').stack()) + 3)\n"
    "return torch.tensor(0.5)",
)
