"""What the benchmarks share: optional libraries, the digits, timing, and the table in benchmarks/results."""

import importlib
import platform
import statistics
import sys
import time
import types
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import advcourse
from advcourse import attacks, data, models
from advcourse.attacks.ascent import log_odds
from advcourse.core.inputs import predict

RESULTS = Path(__file__).parent / "results"


def optional(name):
    """The module, or None with a line that says so."""
    if name.startswith("adv_lib"):
        # adv-lib imports a plotting server's client, which none of its attacks uses unless asked to.
        sys.modules.setdefault("visdom", types.SimpleNamespace(Visdom=None))
    try:
        return importlib.import_module(name)
    except ImportError as error:
        print(f"{name} cannot be imported ({error}): its rows are left out")
        return None


def digits(device, images):
    """mnist-cnn, and the first `images` held-out digits that it reads correctly, with labels and random targets."""
    model = models.load("mnist-cnn").to(device).eval()
    test = data.load("mnist-5k")
    right = predict(model, test.images.to(device)).argmax(1).cpu() == test.labels
    x, y = test.images[right][:images].to(device), test.labels[right][:images].to(device)
    return model, x, y, attacks.choose_target(model, x, y)


def bare(model, x, y, steps):
    """`steps` forward and backward passes to the input, in chunks as large as the attacks' own."""
    size = attacks.base._chunk_size(x)
    for images, labels in zip(x.split(size), y.split(size), strict=True):
        for _ in range(steps):
            images = images.detach().requires_grad_()
            torch.autograd.grad(log_odds(model(images), labels).sum(), images)
    return x


def seconds(call, x):
    """How long the call takes, and what it returns."""
    began = time.perf_counter()
    images = call()
    if x.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began, images


def alternating(calls, x, runs):
    """Median seconds of `runs` runs after a warm-up, and the last images, for each of {who: call}; the runs alternate.

    With `runs` 0 there is one run, and no warm-up.
    """
    times, images = {who: [] for who in calls}, {}
    for run in range(runs + 1):
        for who, call in calls.items():
            spent, images[who] = seconds(call, x)
            if run or not runs:  # the first is the warm-up
                times[who].append(spent)
    return {who: statistics.median(spent) for who, spent in times.items()}, images


def write(name, head, lines, x, packages):
    """Write the table to benchmarks/results: `head` is its text, `lines` lists of cells, the first the names of the columns."""
    versions = [f"advcourse {advcourse.__version__}"]
    for package in ("torch", *packages):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    processor = torch.cuda.get_device_name() if x.is_cuda else platform.machine()
    where = f"{', '.join(versions)}; {processor}, threads: {torch.get_num_threads()}."
    RESULTS.mkdir(exist_ok=True)
    lines = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    (RESULTS / f"{name}{'_gpu' if x.is_cuda else ''}.md").write_text(f"{head}\n{where}\n\n{table}\n")
