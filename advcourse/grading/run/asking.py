"""Call a function that lives in another process: the grader's end of the wire."""

import inspect
import math
import sys
from dataclasses import fields

import torch

from advcourse.grading.run.sandbox import Limits
from advcourse.grading.run.watch import Watch
from advcourse.grading.run.wire import Broken, Late, Wire
from advcourse.labs import running
from advcourse.labs.exercises import Task
from advcourse.labs.running import CRASH, NOTHING, NUMBER, OTHER, TENSOR, TEXT, UNWRITTEN, Call, Reply
from advcourse.labs.verdicts import CRASHED, TIMED_OUT, Finding
from advcourse.labs.victims import BlackBox, Victim

_KINDS = (CRASH, NOTHING, NUMBER, OTHER, TENSOR, TEXT, UNWRITTEN)
LONGEST = 4000  # characters of text in a reply


def words(told: object, most: int = LONGEST) -> str:
    """Return a text from the student's process as it can be shown and kept: cut to `most` characters, all printable.

    Line feeds and tabs stay; other characters that cannot be printed are replaced. Raises `TypeError` if it is not text.
    """
    if not isinstance(told, str):
        raise TypeError("no text")
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in told[:most])


class Unwritten:
    """The runner for a function that is not written yet."""

    has_gpu = False

    def __init__(self, task: Task):
        self._task = task

    def parameters(self) -> tuple[str, ...]:
        """Return the parameters that the task wants."""
        return self._task.parameters

    def __call__(self, call: Call) -> Reply:
        """Return the reply of a function that reaches `raise NotImplementedError()`."""
        return Reply(UNWRITTEN, detail=self._task.name)


class PipeRunner:
    """Calls a function behind a `Wire`, as `advcourse.labs.running.LocalRunner` calls one at hand.

    The form of what comes back is checked; of its contents only the value counts. If nothing comes back, a `Finding` says why,
    and `reason` keeps it: "time", "memory", "processes", "died" or "protocol". `waited`: whether it is the time by the clock.
    """

    has_gpu = False  # the sandbox hides GPUs: memory on a GPU has no limit

    def __init__(self, wire: Wire, watch: Watch, limits: Limits, task: Task):
        self._wire, self._watch, self._limits, self._task = wire, watch, limits, task
        self._sent, self.reason, self.waited = {Victim.__module__}, "", False

    def parameters(self) -> tuple[str, ...]:
        """Return the names of the function's parameters, see `LocalRunner`."""
        message, _ = self._exchange({"ask": "parameters"})
        try:
            return tuple(words(name, 100) for name in message["parameters"][:50])
        except (TypeError, KeyError) as error:
            raise self.stopped(error) from error

    def __call__(self, call: Call) -> Reply:
        """Return what came back from a call."""
        victim, box = call.victim, None
        if isinstance(victim, BlackBox):
            arrays = [value for value in call.arguments.values() if isinstance(value, torch.Tensor)]
            victim, box = victim.victim, victim.build(arrays[0].dtype if arrays else torch.float32)
        arrays = {k: v for k, v in call.arguments.items() if isinstance(v, torch.Tensor)}
        recipes = {k: v for k, v in call.arguments.items() if isinstance(v, tuple)}
        for recipe in (victim, *(one for many in recipes.values() for one in many)):
            self._make_known(type(recipe).__module__ if recipe and not box else Victim.__module__)
        message = {
            "ask": "call",
            "order": list(call.arguments),
            "plain": {k: v for k, v in call.arguments.items() if k not in arrays and k not in recipes},
            "recipes": {k: [_told(one) for one in many] for k, many in recipes.items()},
            "victim": _told(victim) if victim and not box else None,
            "black_box": box is not None,
            "queries": call.victim.queries if box else 0,
            "labels": call.victim.labels if box else False,
            "device": call.device,
            "differentiate": call.differentiate,
        }
        pixels = math.prod(call.victim.victim.shape) if box else 0
        answer, tensors = self._exchange(message, arrays, box, pixels)
        try:
            return _reply(answer, tensors, box.asked if box else 0)
        except (TypeError, KeyError, ValueError) as error:
            raise self.stopped(error) from error

    def _make_known(self, module):
        """Send the source of a module of recipes that the other side does not have."""
        if module not in self._sent:
            self._sent.add(module)
            source = inspect.getsource(sys.modules[module])
            self._exchange({"ask": "module", "name": module, "source": source})

    def _exchange(self, message, arrays=None, box=None, pixels=0):
        """Send a message, answer questions to a black box, whose images have `pixels` pixels, and return what else comes back."""
        try:
            self._wire.send(message, arrays)
            while True:
                answer, tensors = self._wire.receive()
                if not (box and isinstance(answer, dict) and "query" in answer):
                    return answer, tensors
                self._wire.send(*_answered(box, tensors, pixels))
        except (Broken, Late) as error:
            raise self.stopped(error) from error

    def stopped(self, error: Exception) -> Finding:
        """Return the finding for an exchange that failed, and remember its reason."""
        limits = self._limits
        self.waited = not self._watch.why() and isinstance(error, Late)
        self.reason = self._watch.why() or _reason(error)
        message = {
            "time": f"It was stopped after {limits.cpu_seconds} seconds of work, or {limits.seconds:g} seconds of waiting. "
            "Is there a loop that does not end?",
            "memory": f"It was stopped: it took more than {limits.memory / 2**30:g} GiB of memory.",
            "processes": f"It was stopped: it had started more than {limits.processes} processes and threads.",
            "died": "Its process ended before it gave an answer. Does it call exit(), or something that crashes Python?",
            "protocol": "What its process sent is no answer of a function.",
        }[self.reason]
        return Finding(self.reason, message, outcome=TIMED_OUT if self.reason == "time" else CRASHED)


def _reason(error):
    if isinstance(error, Late):
        return "time"
    return "died" if isinstance(error, Broken) and str(error) == "nothing more" else "protocol"


def _told(recipe):
    """Return a recipe for a model as plain values."""
    kind = type(recipe)
    values = {field.name: getattr(recipe, field.name) for field in fields(recipe)}
    return {"module": kind.__module__, "name": kind.__qualname__, "fields": values}


def _answered(box, found, pixels):
    """Return what the black box says about the images in `found`: a message and its arrays."""
    images = found.get("images")
    if images is None or images.dim() != 4 or not images.is_floating_point():
        return {"refused": "the model is asked with images, a floating-point tensor (N, C, H, W)"}, {}
    if images[0:1].numel() > pixels:  # larger ones would use up the grader's memory
        return {
            "refused": f"the model is asked with images of {pixels} pixels; these have {images[0].numel()}"
        }, {}
    try:
        return {}, {"answers": box(images)}
    except (RuntimeError, ValueError, IndexError) as error:  # too many, or of a wrong shape
        return {"refused": str(error)[:LONGEST]}, {}


def _reply(told, found, asked):
    """Return the `Reply` in a message from the student's process.

    Raises `ValueError`, `TypeError` or `KeyError` if there is none.
    """
    kind, value, slope = told["kind"], found.get("value"), found.get("slope")
    if kind not in _KINDS or (kind in (TENSOR, NUMBER, TEXT)) != (value is not None):
        raise ValueError("no reply")
    if kind == NUMBER and (value.dim() or value.dtype != torch.float64):
        raise ValueError("no number")
    if kind == TEXT and (value.dim() != 1 or value.dtype != torch.uint8 or len(value) > running.LONGEST):
        raise ValueError("no text")
    if slope is not None and slope.dim() != 1:
        raise ValueError("no slope")
    return Reply(
        kind,
        value,
        words(told["detail"]),
        words(told["device"], 100),
        bool(told["requires_grad"]),
        tuple(words(name, 100) for name in told["left"][:50]),
        slope,
        asked,
    )
