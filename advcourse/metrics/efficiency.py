"""Efficiency (the survey's section 3): how much does an adversarial example cost?

Seconds depend on the machine, the device and the batch; passes through the model do not. Show both.
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
    """What `efficiency` needs of an attack's record: its `images` (N, C, H, W), and the costs of the whole batch."""

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
    """The cost of an attack.

    Source: CC (computation cost) of DEEPSEC (Ling et al. 2019).

    Attributes:
        seconds, forward_passes, backward_passes: for one image, averaged over the batch.
        memory: peak memory of the whole run in MiB, beyond what was in use before; NaN if not measured. It belongs to a batch,
            so it is not divided by the number of images.
        images: number of images.
        device: type of the device, such as "cpu".
    """

    seconds: float
    forward_passes: float
    backward_passes: float
    memory: float
    images: int
    device: str


def efficiency(result: Counted, memory: float = math.nan) -> Efficiency:
    """Compute the cost of an attack for one image.

    Args:
        result: a record such as `attack.run(...)` returns, with `images` (N, C, H, W), and `seconds`, `forward_passes` and
            `backward_passes` of the whole batch.
        memory: in MiB, from `PeakMemory` around the run (default NaN: not measured).

    Returns:
        the costs; NaN for N = 0.
    """
    n = len(result.images)
    each = 1 / n if n else math.nan
    costs = (each * total for total in (result.seconds, result.forward_passes, result.backward_passes))
    return Efficiency(*costs, memory, n, result.images.device.type)


def slowdown(run: Callable[[], object], reference: Callable[[], object], repeats: int = 5) -> float:
    """Measure how many times as long `run()` takes as `reference()`: the cost of a defense, in training or in use.

    The two are called alternately, so that a busy machine slows both down, and the medians of their seconds are divided. Each
    is called once before, without being measured. The result is a timing, so it differs between runs and between machines.

    Args:
        run, reference: functions without arguments that do the same work on the same images. Work that they leave to a GPU is
            waited for.
        repeats: number of measured calls of each (default 5).

    Returns:
        the ratio; above 1 if `run` is slower.

    Raises:
        InputError: `repeats` is not a whole number of at least 1.
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
    """Measure the peak memory of a block, beyond what was in use when it began: `with PeakMemory() as memory: ...`.

    On CUDA this is torch's own counter of allocated memory. The counter is reset, so measurements can't be nested. Elsewhere
    it is the resident size of this process, read every two milliseconds: shorter peaks may be missed, the memory of other
    threads counts as well, and memory freed earlier but still held by the process is reused and not counted.

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
