"""Odd but legitimate inputs, and what comes of each: the table in docs/inputs.md.

    python tests/odd_inputs.py --write docs/inputs.md

A case is a function that takes a net, images and labels as they should be, and gives them back changed. "Works" means that FGSM's
images are inside of the box and the budget, and that `predict` and the record say what the model says when it is called by hand.
"""

import argparse
import contextlib
import copy
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
from nets import Function, conv, images
from torch import nn

from advcourse.attacks import FGSM
from advcourse.core.inputs import InputError, predict

EPS = 0.1
INFERENCE = torch.inference_mode
CASES = {"Images": {}, "Labels": {}, "Models": {}}
_HEAD = """# Odd inputs

What attacks and `predict` make of inputs that are odd, though somebody had a reason for them. FGSM stands for all attacks, for
they ask a model through one gate, `advcourse.core.inputs.ask`; so do training objectives, detectors and defenses around a model.
Nets and images are in float32 where the first column does not say otherwise. The table is made by trying:
`python tests/odd_inputs.py --write docs/inputs.md`.
"""


class Answering(nn.Module):
    """A net whose answer goes through `change`."""

    def __init__(self, net, change):
        super().__init__()
        self.net, self.change = net, change

    def forward(self, x):
        return self.change(self.net(x))


class Seeing(nn.Module):
    """A net that sees the images after `change`."""

    def __init__(self, net, change):
        super().__init__()
        self.net, self.change = net, change

    def forward(self, x):
        return self.net(self.change(x))


def parallel(net):
    """`nn.DataParallel` as it is where there is no GPU, whatever this machine has."""
    with mock.patch("torch.nn.parallel.data_parallel._get_available_device_type", return_value=None):
        return nn.DataParallel(net)


def case(group, name, context=contextlib.nullcontext):
    def register(function):
        CASES[group][name] = function, context
        return function

    return register


def of_images(name, change, context=contextlib.nullcontext):
    case("Images", name, context)(lambda net, x, y: (net, change(x), y))


def of_labels(name, change):
    case("Labels", name)(lambda net, x, y: (net, x, change(y)))


def of_models(name, change, context=contextlib.nullcontext):
    case("Models", name, context)(lambda net, x, y: (change(net), x, y))


def of_types(name, weights, pixels):
    case("Images", name)(lambda net, x, y: (net.to(weights), x.to(pixels), y))


of_types("float64, net in float64", torch.float64, torch.float64)
of_types("float16, net in float16", torch.float16, torch.float16)
of_types("bfloat16, net in bfloat16", torch.bfloat16, torch.bfloat16)
of_types("float64", torch.float32, torch.float64)
of_types("float32, net in float16", torch.float16, torch.float32)
of_images("channels_last", lambda x: x.contiguous(memory_format=torch.channels_last))
of_images("transposed, not contiguous", lambda x: x.transpose(2, 3))
of_images("one image expanded to six", lambda x: x[:1].expand(6, -1, -1, -1))
of_images("that require gradients", lambda x: x.requires_grad_())
of_images("made and attacked in inference mode", lambda x: x.clone(), INFERENCE)
case("Images", "a batch of one")(lambda net, x, y: (net, x[:1], y[:1]))
case("Images", "an empty batch")(lambda net, x, y: (net, x[:0], y[:0]))
case("Images", "one image without a batch")(lambda net, x, y: (net, x[0], y[:1]))
of_images("flat, (N, 64)", lambda x: x.flatten(1))
of_images("0 to 255, uint8", lambda x: (255 * x).to(torch.uint8))
of_images("0 to 255, float", lambda x: (255 * x).round())
of_images("normalised", lambda x: (x - 0.5) / 0.25)
of_images("1.0000001 after rounding", lambda x: x.index_fill(3, torch.tensor([0]), 1.0000001))
of_images("with a NaN", lambda x: x.masked_fill(x == x.max(), torch.nan))
of_images("complex", lambda x: x.to(torch.complex64))
of_images("a numpy array", lambda x: x.numpy())

of_labels("int32", lambda y: y.int())
of_labels("uint8", lambda y: y.to(torch.uint8))
of_labels("one-hot", lambda y: nn.functional.one_hot(y, 5))
of_labels("one-hot, float", lambda y: nn.functional.one_hot(y, 5).float())
of_labels("a column, (N, 1)", lambda y: y.unsqueeze(1))
of_labels("float", lambda y: y.float())
of_labels("bool", lambda y: y > 2)
of_labels("-1 for unknown", lambda y: y.where(y > 0, -1))
of_labels("counted from 1", lambda y: y + 1)
of_labels("a numpy array", lambda y: y.numpy())
of_labels("a list", lambda y: y.tolist())
of_labels("on another device", lambda y: y.to("meta"))

of_models("in training mode, with dropout and batch normalisation", lambda net: net.train())
of_models("frozen: no parameter requires a gradient", lambda net: net.requires_grad_(False))
of_models("without parameters", lambda net: Function(lambda x: x.flatten(1)[:, :5] * 3 - 1))
of_models("in channels_last", lambda net: net.to(memory_format=torch.channels_last))
of_models("in `nn.DataParallel`", parallel)
of_models("scripted", torch.jit.script)
of_models("traced", lambda net: torch.jit.trace(net, torch.rand(6, 1, 8, 8)))
of_models("compiled", lambda net: torch.compile(net, backend="aot_eager"))
of_models("with `nn.LazyLinear`, not yet used", lambda net: nn.Sequential(nn.Flatten(), nn.LazyLinear(5)))
of_models("that answers in float64", lambda net: Answering(net, torch.Tensor.double))
of_models("under autocast", lambda net: net, lambda: torch.autocast("cpu", torch.bfloat16))
of_models("that sums its pixels", lambda net: Function(lambda x: x.sum((1, 2, 3)).outer(torch.arange(5.0))))
of_models("that returns a tuple", lambda net: Answering(net, lambda z: (z, None)))
of_models("that returns a dictionary", lambda net: Answering(net, lambda z: {"logits": z}))
of_models(
    "that returns an object with `.logits`", lambda net: Answering(net, lambda z: SimpleNamespace(logits=z))
)
of_models("that returns labels", lambda net: Answering(net, lambda z: z.argmax(1)))
of_models(
    "that returns one-hot labels", lambda net: Answering(net, lambda z: nn.functional.one_hot(z.argmax(1), 5))
)
of_models("with one logit", lambda net: Answering(net, lambda z: z[:, :1]))
of_models("that returns complex numbers", lambda net: Answering(net, lambda z: z.to(torch.complex64)))
of_models("that returns NaN", lambda net: Answering(net, lambda z: z * torch.nan))
of_models("that ends in a softmax", lambda net: nn.Sequential(net, nn.Softmax(1)))
of_models("that rounds its input", lambda net: Seeing(net, lambda x: (3 * x).round() / 3))
of_models("that takes the root of a black pixel", lambda net: Seeing(net, lambda x: (x - x.amin()).sqrt()))
of_models("with a forward under `torch.no_grad`", lambda net: Answering(net, torch.no_grad()(torch.clone)))
of_models("that detaches its input", lambda net: Seeing(net, torch.Tensor.detach))
of_models("that changes its input in place", lambda net: Seeing(net, lambda x: x.mul_(0.5)))
of_models("that halves its input by `x.data`", lambda net: Seeing(net, lambda x: (x.data.mul_(0.5), x)[1]))
of_models("that begins with an in-place ReLU", lambda net: nn.Sequential(nn.ReLU(inplace=True), net))
of_models("whose weights were made in inference mode", lambda net: INFERENCE()(copy.deepcopy)(net))
of_models("that is only a name", lambda net: "mnist-cnn")


@case("Models", "with a forward hook")
def _(net, x, y):
    net.register_forward_hook(lambda module, inputs, output: None)
    return net, x, y


def attempt(function, context):
    """What comes of one case, in words: "works", the sentence of the error, or of the warning."""
    net, x, y = conv().eval(), images(), torch.tensor([0, 1, 2, 3, 4, 0])
    with warnings.catch_warnings(record=True) as warned, context():
        warnings.simplefilter("ignore")
        model, x, y = function(net, x, y)
        before = copy.deepcopy(x.detach() if isinstance(x, torch.Tensor) else x)
        warnings.simplefilter("always", UserWarning)
        try:
            check(model, x, y)
        except InputError as error:
            return f"error: {error}"
        finally:
            assert np.array_equal(plain(before), plain(x), equal_nan=True), "the caller's images have changed"
    told = [str(w.message) for w in warned if w.category.__module__.startswith("advcourse")]
    return f"works, with a warning: {told[0]}" if told else "works"


def plain(x):
    return x.detach().to(torch.complex128).numpy() if isinstance(x, torch.Tensor) else x


def check(model, x, y):
    """Attack and predict; raises what they raise, and AssertionError where what they say is not so."""
    record = FGSM(EPS).run(model, x, y)
    assert record.images.dtype == x.dtype and record.images.shape == x.shape
    if len(x):
        assert record.images.min() >= 0 and record.images.max() <= 1
        assert (record.images - x).abs().max() <= EPS + torch.finfo(x.dtype).eps
    modes = [module.training for module in model.modules()]
    logits = predict(model, record.images)
    assert modes == [module.training for module in model.modules()]
    with torch.no_grad():
        by_hand = model.eval()(record.images) if len(x) else logits
    torch.testing.assert_close(logits, by_hand)
    assert torch.equal(record.success, by_hand.argmax(1) != y)


def table():
    """The document, made by trying every case."""
    parts = [_HEAD]
    for group, cases in CASES.items():
        parts += [f"## {group}\n", "| | |", "|---|---|"]
        for name, (function, context) in cases.items():
            outcome = " ".join(attempt(function, context).replace("|", "\\|").split())
            parts.append(f"| {name} | {outcome} |")
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="the file to write; else the table is printed")
    where = parser.parse_args().write
    where.write_text(table(), encoding="utf-8") if where else sys.stdout.write(table())
