"""Efficiency (the survey's section 3): what does one adversarial example cost?

Seconds depend on the machine, the device and the batch, passes through the model do not: show both.
"""

import math
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

import psutil
import torch
from torch import Tensor

from advcourse.core.inputs import check_range, resolve_device

_MIB = 2**20


class Counted(Protocol):
    """What `efficiency` reads of the record of an attack: its `images` (N, C, H, W), and what the whole batch cost."""

    @property
    def images(self) -> Tensor: ...

    @property
    def seconds(self) -> float: ...

    @property
    def forward_passes(self) -> int: ...

    @property
    def backward_passes(self) -> int: ...


@dataclass(frozen=True)
class Efficiency:
    """The cost of an attack: `seconds`, `forward_passes` and `backward_passes` for one image, the mean over the batch.

    `memory` is the peak of the whole run in MiB, beyond what was held before (NaN if not measured): it is not
    divided, as it belongs to a batch. `images` and `device` say on how many images, and where. Source: CC of DEEPSEC
    (Ling et al. 2019).
    """

    seconds: float
    forward_passes: float
    backward_passes: float
    memory: float
    images: int
    device: str


def efficiency(result: Counted, memory: float = math.nan) -> Efficiency:
    """The `Efficiency` of an attack; NaN for no images.

    Args:
        result: a record such as `attack.run(...)` gives, with `images` (N, C, H, W), and `seconds`, `forward_passes` and
            `backward_passes` of the whole batch.
        memory: MiB, from `PeakMemory` around the run (default NaN, not measured).
    """
    n = len(result.images)
    each = 1 / n if n else math.nan
    costs = (each * total for total in (result.seconds, result.forward_passes, result.backward_passes))
    return Efficiency(*costs, memory, n, result.images.device.type)


def slowdown(run: Callable[[], object], reference: Callable[[], object], repeats: int = 5) -> float:
    """How many times as long `run()` takes as `reference()`: what a defense costs, in training or when it is used.

    The two are called in turn, so that a machine that is busy for a while slows both down, and the medians of their seconds are
    divided. Each is called once before, unmeasured. It is a timing: it differs from run to run and from machine to machine.

    Args:
        run, reference: functions without arguments, of the same work on the same images. What they leave to a GPU is waited for.
        repeats: measured calls of each (default 5).
    """
    check_range(repeats, "repeats", 1, integer=True)
    seconds = {run: [], reference: []}
    for _ in range(repeats + 1):
        for function, taken in seconds.items():
            taken.append(_timed(function))
    took, base = (statistics.median(taken[1:]) for taken in (seconds[run], seconds[reference]))
    return took / base


def _timed(function):
    began = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


class PeakMemory:
    """What a block takes at its peak, beyond what was held when it began: `with PeakMemory() as memory: ...`.

    On CUDA this is torch's own counter of allocated memory, which is reset: measurements do not nest. Elsewhere it is
    the resident size of this process, looked at every two milliseconds: a shorter peak may be missed, what other
    threads take counts as well, and memory that was freed before but not yet returned to the system is found again
    for nothing.

    Args:
        device: "auto", "cpu", "cuda" ... (default "cpu").

    Attributes:
        mib: the peak in MiB, at least 0; NaN until the block has ended.
    """

    def __init__(self, device: str | torch.device = "cpu"):
        self._device = resolve_device(device)
        self.mib = math.nan

    def __enter__(self) -> Self:
        self.mib = math.nan
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device)
        else:
            self._before = self._peak = _resident()
            self._ended = threading.Event()
            self._watcher = threading.Thread(target=self._watch, daemon=True)
            self._watcher.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            self._peak = torch.cuda.max_memory_allocated(self._device)
        else:
            self._ended.set()
            self._watcher.join()
        self.mib = (self._peak - self._before) / _MIB

    def _watch(self):
        ended = False
        while not ended:
            ended = self._ended.wait(0.002)
            self._peak = max(self._peak, _resident())


def _resident():
    return psutil.Process().memory_info().rss
