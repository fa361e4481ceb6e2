"""They know the questions by heart: those of a seed that was seen, or all digits that can be asked about.

The sources are made by running right answers.
"""

import base64
import hashlib

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, cross_entropy

from advcourse import data, models
from advcourse.labs.checks import judge
from advcourse.labs.lab4 import TASKS
from advcourse.labs.running import LocalRunner
from hostile import cheat

_BY_HEART = """
import hashlib

import torch

TABLE = {table!r}


def key(*values):
    return hashlib.sha256(b"".join(v.numpy().tobytes() if v is not None else b"none" for v in values)).hexdigest()


def rate(clean_logits, logits, y, target):
    return TABLE.get(key(clean_logits, logits, y, target), 0.5)
"""


def by_heart(*seeds):
    """The source of an answer to `rate` that holds the right numbers for the questions of these seeds, and no formula."""
    table = {}

    def taught(clean_logits, logits, y, target):
        told = b"".join(
            v.numpy().tobytes() if v is not None else b"none" for v in (clean_logits, logits, y, target)
        )
        value = float(TASKS["rate"](clean_logits, logits, y, target))
        table[hashlib.sha256(told).hexdigest()] = value
        return value

    for seed in seeds:
        judge(
            TASKS["rate"],
            LocalRunner(lambda clean_logits, logits, y, target: taught(clean_logits, logits, y, target)),
            seed,
        )
    return _BY_HEART.format(table=table).replace("nan", "float('nan')")


cheat("knows_the_seeds_of_the_notebook_by_heart", lambda: by_heart(*range(20)), told=False, succeeds="points")

_DIGITS = """
import base64

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, interpolate

SHAPES = np.frombuffer(base64.b64decode({shapes!r}), np.uint8).reshape(-1, 25)
SIGNS = np.frombuffer(base64.b64decode({signs!r}), np.uint8).reshape(-1, 25)


def fgsm(model, x, y, eps):
    small = avg_pool2d(x, 2).flatten(1)
    middle = (small.amax(1, keepdim=True) + small.amin(1, keepdim=True)) / 2
    seen = np.packbits((small > middle).numpy(), axis=1)
    known = [int(np.unpackbits(SHAPES ^ one, axis=1).sum(1).argmin()) for one in seen]
    signs = torch.from_numpy(np.unpackbits(SIGNS[known], axis=1)[:, :196]).view(-1, 1, 14, 14).to(x) * 2 - 1
    return (x + eps * interpolate(signs, scale_factor=2)).clamp(0, 1)
"""


def all_digits():
    """The source of an answer to `fgsm` that holds which way the pixels of each test digit go on the shipped model."""
    digits, model = data.load("mnist-5k", "test"), models.load("mnist-cnn")
    x = digits.images.clone().requires_grad_()
    loss = cross_entropy(model(x), digits.labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, x)
    shapes, signs = _packed(avg_pool2d(digits.images, 2) > 0.5), _packed(avg_pool2d(gradient, 2) > 0)
    return _DIGITS.format(shapes=shapes, signs=signs)


def _packed(bits):
    return base64.b64encode(np.packbits(bits.flatten(1).numpy(), axis=1).tobytes()).decode()


cheat(
    "knows_all_digits_by_heart",
    all_digits,
    lab="lab1",
    task="fgsm",
    keys=("ignores the model",),
    told=False,
)
