"""Evaluations with a mistake in each, and which checks of the audit give them away: the table in docs/evaluation.md.

    python tests/broken_evaluations.py --write docs/evaluation.md

The first nine stand in the literature's lists of mistakes (Carlini et al. 2019, arXiv 1902.06705; Athalye et al. 2018, arXiv
1802.00420), as do the others; all were made for real defenses once. A case is a function that returns the arguments of `audit`.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from advcourse import data, models
from advcourse.attacks import BPDA, FGSM, PGD
from advcourse.core.files import write_between
from advcourse.core.intervals import printed
from advcourse.defenses import RandomTransformation
from advcourse.evaluation import audit
from advcourse.zoo import deployed

BEGIN = "<!-- audit: made by `python tests/broken_evaluations.py --write docs/evaluation.md` -->"
END = "<!-- audit ends -->"
IMAGES = 40


@dataclass(frozen=True)
class Broken:
    """An evaluation with a mistake.

    title: what is wrong. red, lit: checks whose light must be red, and at least amber. one_of: of these at least one must be red.
    make: images and labels to the arguments of `audit`. images: how many.
    """

    title: str
    make: Callable
    red: tuple[str, ...] = ()
    lit: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    images: int = IMAGES


CASES: dict[str, Broken] = {}


def case(title, **expected):
    """Register a function of images and labels that returns the arguments of `audit`."""

    def register(make):
        CASES[make.__name__] = Broken(title, make, **expected)
        return make

    return register


def digits(n):
    return data.load("mnist-5k").pick(n, seed=0)


def climb(model, x, y, eps, alpha, steps, loss=cross_entropy, start=None):
    """PGD as people write it: the plain loss, and the last point."""
    z = x.clone() if start is None else start
    for _ in range(steps):
        z = z.detach().requires_grad_()
        slope = torch.autograd.grad(loss(model(z), y), z)[0]
        z = torch.clamp(x + (z.detach() + alpha * slope.sign() - x).clamp(-eps, eps), 0, 1)
    return z.detach()


class Gain(nn.Module):
    """A network whose logits are multiplied: distillation at a high temperature."""

    def __init__(self, model, factor):
        super().__init__()
        self.model, self.factor = model, factor

    def forward(self, x):
        return self.factor * self.model(x)


def three_bits(x):
    return (7 * x).round() / 7


class Quantised(nn.Module):
    """A network behind an input of three bits."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(three_bits(x))


class Standardised(nn.Module):
    """A network that wants images with the mean and deviation of the digits taken out."""

    def __init__(self, model, mean=0.1307, deviation=0.3081):
        super().__init__()
        self.model, self.mean, self.deviation = model, mean, deviation

    def forward(self, x):
        return self.model(x * self.deviation + self.mean)


# ---- the nine of the first table ----


@case("one step, against a defense that was trained on it", red=("3", "4"), one_of=("6", "14"))
def one_step(x, y):
    return {"model": models.load("mnist-nat"), "x": x, "y": y, "attack": FGSM(0.3)}


def eight_bit_unit(model, x, y, eps=0.3, steps=40):
    return PGD(eps / 255, steps=steps)(model, x, y)


@case("eps in the unit of 0 to 255", red=("budget", "1", "3", "4", "5", "6", "12"))
def wrong_unit(x, y):
    return {"model": models.load("mnist-small"), "x": x, "y": y, "attack": eight_bit_unit}


def plain_pgd(model, x, y, eps=0.3, steps=40):
    return climb(model, x, y, eps, 2.5 * eps / steps, steps)


@case(
    "logits times 100, and the plain cross-entropy", red=("17", "1", "3", "4", "5", "13"), one_of=("6", "14")
)
def saturated(x, y):
    return {"model": Gain(models.load("mnist-small"), 100), "x": x, "y": y, "attack": plain_pgd}


@case("no BPDA through an input of three bits", red=("17", "3", "4", "5", "11"))
def no_bpda(x, y):
    net = models.load("mnist-small")
    straight = nn.Sequential(BPDA(three_bits), net)
    return {"model": Quantised(net), "x": x, "y": y, "attack": PGD(0.3), "straight": straight}


@case("a random defense, and no EOT", red=("6",), lit=("10",))
def no_eot(x, y):
    model = RandomTransformation(models.load("mnist-small"))
    return {"model": model, "x": x, "y": y, "attack": PGD(0.1, steps=10)}


def rounded_steps(model, x, y, eps=0.3, steps=40):
    z = x
    for _ in range(steps):
        z = (255 * climb(model, x, y, eps, 0.4 / 255, 1, start=z)).round() / 255
    return z


@case("each step rounded to eight bits, and too short for it", red=("budget", "1", "3", "4", "5", "6", "12"))
def eight_bits(x, y):
    x = (255 * x).round() / 255
    return {"model": models.load("mnist-small"), "x": x, "y": y, "attack": rounded_steps}


@case("labels in another order than the images", red=("8",))
def shuffled_labels(x, y):
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    return {"model": models.load("mnist-small"), "x": x, "y": y[order], "attack": PGD(0.3)}


@case("standardised images", red=("0",))
def standardised(x, y):
    model = Standardised(models.load("mnist-small"))
    return {"model": model, "x": (x - 0.1307) / 0.3081, "y": y, "attack": PGD(0.3)}


@case("a model left in training mode", red=("0",), lit=("10",))
def training_mode(x, y):
    model = nn.Sequential(nn.Dropout(0.5), models.load("mnist-small")).train()
    return {"model": model, "x": x, "y": y, "attack": plain_pgd}


# ---- more, from the field's history ----


@case("label leaking: the true label's single step, which training has learned to read", red=("1", "6"))
def label_leaking(x, y):
    return {"model": models.load("mnist-eat"), "x": x, "y": y, "attack": FGSM(0.3)}


def towards_the_truth(model, x, y, eps=0.3, steps=20):
    return climb(model, x, y, eps, 2.5 * eps / steps, steps, lambda logits, y: -cross_entropy(logits, y))


@case("a target that is the true class", red=("1", "3", "4", "6", "12", "14"))
def wrong_target(x, y):
    return {"model": models.load("mnist-small"), "x": x, "y": y, "attack": towards_the_truth}


def against_itself(model, x, y, eps=0.3, steps=40):
    """The loss of the model's answer of the moment: past the boundary it turns back."""
    z = x + 0.01 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(x)
    z = z.clamp(0, 1)
    for _ in range(steps):
        z = climb(model, x, model(z).argmax(1).detach(), eps, 2.5 * eps / steps, 1, start=z)
    return z


@case("the loss of the model's own answer, and the last point", red=("0", "1"))
def own_answer(x, y):
    return {"model": models.load("mnist-small"), "x": x, "y": y, "attack": against_itself}


@case("images made on the undefended network, and replayed", red=("4", "6", "14"), lit=("18",))
def replayed(x, y):
    images = PGD(0.3)(models.load("mnist-cnn"), x, y)
    return {"model": models.load("mnist-nat"), "x": x, "y": y, "attack": images, "eps": 0.3}


def frozen_draw(model, x, y, eps=0.1, steps=10):
    """Gradients of one and the same draw."""
    z = x
    for _ in range(steps):
        torch.manual_seed(0)
        z = climb(model, x, y, eps, 2.5 * eps / steps, 1, start=z)
    return z


@case("EOT in the wrong place: the same draw in each step", red=("6",), lit=("10",))
def frozen_eot(x, y):
    model = RandomTransformation(models.load("mnist-small"))
    return {"model": model, "x": x, "y": y, "attack": frozen_draw}


def same_start(model, x, y, eps=0.3, steps=10, restarts=5):
    """Every restart begins at the same point, since the seed is set inside of the loop."""
    best = x.clone()
    for _ in range(restarts):
        torch.manual_seed(0)
        start = (x + eps * (2 * torch.rand_like(x) - 1)).clamp(0, 1)
        z = climb(model, x, y, eps, 2.5 * eps / steps, steps, start=start)
        best = torch.where((model(z).argmax(1) != y).view(-1, 1, 1, 1), z, best)
        best = torch.where((best == x).flatten(1).all(1).view(-1, 1, 1, 1), z, best)
    return best


@case("restarts that all begin at the same point", lit=("6",))
def dead_restart(x, y):
    return {"model": models.load("mnist-pat"), "x": x, "y": y, "attack": same_start}


def ignores_the_detector(model, x, y, eps=0.3):
    return PGD(eps, steps=40)(model.detector.model, x, y)


@case("the detector is forgotten", red=("6", "14"))
def forgotten_detector(x, y):
    return {"model": deployed.load("MagNet"), "x": x, "y": y, "attack": ignores_the_detector}


def unbounded(model, x, y, eps=0.3, steps=10):
    z = x
    for _ in range(steps):
        z = climb(model, z, y, eps, eps / 4, 1)  # the ball moves along
    return z


@case("a ball around the last point instead of the image", red=("0",))
def lost_ball(x, y):
    return {"model": models.load("mnist-pat"), "x": x, "y": y, "attack": unbounded}


@case("a targeted attack's failures, counted as robust images", red=("6", "9"))
def targeted(x, y):
    return {
        "model": models.load("mnist-trades"),
        "x": x,
        "y": y,
        "attack": PGD(0.35, targeted=True, steps=10),
    }


@case("a softmax at the end, and the cross-entropy of its probabilities", red=("0",))
def probabilities(x, y):
    model = nn.Sequential(models.load("mnist-small"), nn.Softmax(1))
    return {"model": model, "x": x, "y": y, "attack": plain_pgd}


@case("eps so large that every image can be grey", red=("15",))
def grey_images(x, y):
    return {"model": models.load("mnist-small"), "x": x, "y": y, "attack": PGD(0.5, steps=10)}


def audited(name, images=None):
    """The audit of a case."""
    broken = CASES[name]
    given = broken.make(*digits(images or broken.images))
    return audit(given.pop("model"), given.pop("x"), given.pop("y"), given.pop("attack"), **given)


def missing(broken, result):
    """The checks that should have lit and have not."""
    red = [check for check in broken.red if result[check].light != "red"]
    amber = [check for check in broken.lit if result[check].light not in ("amber", "red")]
    none = broken.one_of and not any(result[check].light == "red" for check in broken.one_of)
    return red + amber + (["/".join(broken.one_of)] if none else [])


def table():
    """The Markdown table: what is wrong, the claim, what is left of it, and the lights."""
    lines = ["| what is wrong | claim | left | red | amber |", "|---|---|---|---|---|"]
    for name, broken in CASES.items():
        result = audited(name)
        lit = {
            light: ", ".join(finding.check for finding in result.findings if finding.light == light)
            for light in ("red", "amber")
        }
        if len([finding for finding in result.findings if finding.light == "grey"]) > 15:
            claim = left = "not measured"
        else:
            claim, left = (
                printed(one).split(" (")[0] for one in (result.claimed_accuracy, result.robust_accuracy)
            )
        lines.append(f"| {broken.title} | {claim} | {left} | {lit['red']} | {lit['amber']} |")
    return f'{IMAGES} held-out digits, profile "quick".\n\n' + "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="the page to write the table into; else it is printed")
    where = parser.parse_args().write
    write_between(where, BEGIN, END, table()) if where else print(table())
