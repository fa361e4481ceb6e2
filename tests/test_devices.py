"""Defenses, their adaptive attacks, and what else takes tensors, on a GPU against the same on the CPU.

Attacks, metrics, transformations, training and cells have a test of this kind in their own files.
"""

from copy import deepcopy
from dataclasses import fields, replace

import pytest
import torch
from nets import conv, images, linear
from objectives import OBJECTIVES
from tiny import blobs, network, same
from torch import nn

from advcourse import data, models, plots
from advcourse.attacks import FGSM, PGD, Transfer, train_substitute
from advcourse.core.inputs import predict
from advcourse.course import widgets
from advcourse.data.transformations import GaussianNoise
from advcourse.defenses import (
    FeatureSqueezing,
    Guarded,
    LIDDetector,
    MagNet,
    PixelDetector,
    Quilting,
    choose_radius,
)
from advcourse.evaluation import ModelSource
from advcourse.models import PixelCNN
from advcourse.training import fit
from advcourse.training.augmentation import shifts, warps
from advcourse.zoo import deployed

pytestmark = pytest.mark.gpu

LEAST = {"steps": 2, "restarts": 2, "binary_search_steps": 1, "targets": 2}
WRAPPED = [name for name, defense in deployed.DEFENSES.items() if not defense.is_network]
X, Y = images(12, (1, 8, 8)), torch.arange(12) % 5


def shortened(attack):
    """The attack, or the one inside it, with few steps."""
    least = {field.name: LEAST[field.name] for field in fields(attack) if field.name in LEAST}
    if hasattr(attack, "attack"):
        least["attack"] = shortened(attack.attack)
    return replace(attack, **least)


def close(found, expected, atol=1e-2):  # a GPU's convolutions in float32 are short
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-2, atol=atol)


@pytest.mark.parametrize("name", WRAPPED)
def test_a_gpu_defends_as_the_cpu(name):
    """Checks logits and adaptive attacks against the CPU's: as many digits are read, and fooled, but for one."""
    few = 1 if name == "PixelDefend" else 4  # which goes from pixel to pixel
    x, y = data.load("mnist-5k").pick(few, seed=0)
    here = deployed.load(name)
    there = deepcopy(here).to("cuda")
    torch.manual_seed(0)
    expected = predict(here, x)
    torch.manual_seed(0)
    close(predict(there, x.cuda()), expected, atol=0.05)
    for attack in map(shortened, deployed.DEFENSES[name].adaptive.values()):
        runs = []
        for model, device in ((here, "cpu"), (there, "cuda")):
            torch.manual_seed(0)
            runs.append(attack.run(model, x.to(device), y.to(device)))
        assert {runs[1].images.device, runs[1].logits.device, runs[1].success.device} == {y.cuda().device}
        assert abs(runs[0].success_rate - runs[1].success_rate) <= 1 / few
        assert abs(runs[0].size.mean() - runs[1].size.mean().cpu()) <= 0.1 * runs[0].size.mean() + 1e-6


def test_a_defense_is_loaded_onto_a_gpu():
    """Checks the device of all that a detector with fitted parts holds."""
    held = deployed.load("MagNet", "cuda").state_dict().values()
    assert {tensor.device for tensor in held} == {torch.device("cuda:0")}


def auto_encoder():
    return nn.Conv2d(1, 1, 3, padding=1).requires_grad_(False)


def squeezing(model, device):
    return FeatureSqueezing(model)


def lid(model, device):
    return LIDDetector(model, k=3, batch=6)


def magnet(model, device):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MagNet(model, [auto_encoder().to(device), auto_encoder().to(device)])


def pixels(model, device):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PixelDetector(model, PixelCNN(4, 2, 2).to(device))


@pytest.mark.parametrize("make", [squeezing, lid, magnet, pixels])
def test_a_gpu_detects_as_the_cpu(make):
    """Checks fit, threshold, scores and an attack on the score against the CPU's, and one that was saved there."""
    scores, detectors = [], []
    for device in ("cpu", "cuda"):
        detector, x = make(conv().to(device), device), X.to(device)
        if make is lid:
            detector.fit(x, (x + 0.1).clamp(0, 1))
        detectors.append(detector.calibrate(x, 0.2))
        scores.append(detector.score(x))
        attacked = PGD(0.1, steps=2).run(Guarded(detector), x, Y.to(device))
        assert attacked.images.device == x.device
    close(scores[1], scores[0])
    assert detectors[1].threshold == pytest.approx(detectors[0].threshold, abs=1e-2)
    again = make(conv().to("cuda"), "cuda")
    again.load_state_dict(detectors[0].state_dict())
    close(again.score(X.cuda()), scores[0])
    assert again.flag(X.cuda()).is_cuda


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_gpu_trains_each_defense_as_the_cpu(name, tmp_path):
    """Checks the weights in float64 against the CPU's, and against those of a checkpoint that was written with a GPU."""
    x, y = blobs(n=32)

    def train(device):
        model, objective = network().double(), OBJECTIVES[name]()
        model[4] = nn.Identity()  # dropout draws other numbers on a GPU
        for part in vars(objective).values():
            for net in part if isinstance(part, tuple) else (part,):
                if isinstance(net, nn.Module):
                    net.double().to(device)
        schedule = objective.following() if getattr(objective, "ramp", 0) else "one-cycle"
        settings = {"epochs": 2, "batch_size": 16, "augment": shifts(1), "progress": False}
        settings |= {"device": device, "schedule": schedule, "checkpoint": tmp_path / f"{device}.pt"}
        fit(model, (x.double(), y), objective, **settings)
        return model.state_dict()

    expected, found = train("cpu"), train("cuda")
    for key, value in found.items():
        torch.testing.assert_close(value, expected[key], rtol=0, atol=1e-6)
    assert all(torch.equal(value, found[key]) for key, value in train("cuda").items())


def substitute(device):
    victim, own = conv(), linear(5, (1, 8, 8), dtype=torch.float32)
    result = train_substitute(
        victim.to(device), own.to(device), X.to(device), rounds=2, epochs=1, progress=False
    )
    return result.model.weight.detach()


def sampled(device):
    return pixels(conv(), device).pixelcnn.sample(3, 4, 4, torch.Generator().manual_seed(0))


def augmented(device):
    generator, x = torch.Generator().manual_seed(0), X.to(device)
    return warps(10, 0.1, 1)(shifts(1)(x, generator), generator)


def quilted(device):
    return Quilting(X.to(device), patches=20, size=3, overlap=1, nearest=2, seed=0)(X[:2].to(device))


def carried_over(device):
    """The source stands on the CPU whatever the device."""
    return Transfer(FGSM(0.1), conv(seed=1))(conv().to(device), X.to(device), Y.to(device))


OTHERS = [substitute, sampled, augmented, quilted, carried_over]


@pytest.mark.parametrize("make", OTHERS)
def test_a_gpu_makes_what_the_cpu_makes(make):
    """Checks images, or weights, against the CPU's: but for a few numbers, which rounding may move."""
    expected, found = make("cpu"), make("cuda")
    assert found.is_cuda and ((found.cpu() - expected).abs() < 1e-2).double().mean() > 0.95


def test_a_gpu_chooses_the_cpus_radius():
    """Checks the number against the CPU's, for the labels that the model itself gives."""
    model = conv()
    y = predict(model, X).argmax(1)
    expected = choose_radius(model, X, y, samples=3, step=0.05, tolerance=0.5)
    assert (
        0 < expected == choose_radius(model.cuda(), X.cuda(), y.cuda(), samples=3, step=0.05, tolerance=0.5)
    )


def test_a_model_that_is_there_is_not_copied():
    """Checks the identity of a module on the GPU, by the name "cuda" and by its own; on the CPU it is a copy, and equal."""
    model = conv().cuda()
    source = ModelSource("mine", module=model)
    assert source.load("cuda") is model and source.load("cuda:0") is model
    assert source.load("cpu") is not model and same(source.load("cpu").cuda(), model.state_dict())


def test_a_model_saved_from_a_gpu_is_loaded(tmp_path):
    """Checks the weights that come back against those that were saved."""
    model = models.load("mnist-mlp", "cuda")
    models.save(model, "mine", models.card("mnist-mlp"), tmp_path)
    assert same(models.load("mine", folder=tmp_path).cuda(), model.state_dict())


def first(figure):
    """The figure where a function returns more."""
    return figure[0] if isinstance(figure, tuple) else figure


LOGITS, FLOW = images(12, (5,), seed=1), images(12, (2, 8, 8), seed=2)
FIGURES = {
    "grid": lambda x, z, flow: plots.grid(x),
    "adversarial": lambda x, z, flow: plots.adversarial(x, x.flip(0), z, z.flip(0)),
    "bent": lambda x, z, flow: plots.bent(x, flow, x.flip(0), z, z.flip(0)),
    "signed_maps": lambda x, z, flow: plots.signed_maps({"a": flow[0, 0], "b": flow[0, 1]}, "pixels"),
    "slice2d": lambda x, z, flow: plots.slice2d(x[0, 0] > 0.5, 1, points={"p": z[0, :2]}, path=z[:, :2]),
    "lines": lambda x, z, flow: plots.lines({"a": (z[:, 0].sort().values, z[:, 1])}, "x", "y"),
    "bars": lambda x, z, flow: plots.bars({"a": z[0, 0], "b": z[0, 1]}, "x"),
    "histogram": lambda x, z, flow: plots.histogram((9 * z).round(), 9, "x", "y"),
    "distributions": lambda x, z, flow: plots.distributions({"a": z[0], "b": z[1]}, "x"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_gpus_numbers_are_drawn(name):
    """Checks the picture against that of the same numbers on the CPU, byte by byte."""
    there = (tensor.cuda() for tensor in (X, LOGITS, FLOW))
    found, expected = FIGURES[name](*there), FIGURES[name](X, LOGITS, FLOW)
    assert plots.png(first(found), optimize=False) == plots.png(first(expected), optimize=False)


EXPLORERS = {
    "attacks": lambda model, digits: widgets.explorer(model, digits, steps=2),
    "transformations": lambda model, digits: widgets.transformation_explorer(
        model, digits, {"noise": (GaussianNoise, [0.1])}
    ),
    "votes": lambda model, digits: widgets.vote_explorer(
        model, {"clean": digits.images[:3]}, digits.labels[:3], samples=5
    ),
}


@pytest.mark.parametrize("name", EXPLORERS)
def test_a_model_on_a_gpu_is_explored(name):
    """Checks what is said of it against the CPU's sentence up to the model's answer."""
    said = []
    for device in ("cpu", "cuda"):
        explorer = EXPLORERS[name](models.load("mnist-mlp", device), data.load("mnist-5k"))
        assert explorer.error is None
        said.append(explorer.message.value.split("%")[0])
    assert said[0] == said[1]
