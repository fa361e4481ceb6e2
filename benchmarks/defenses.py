"""What the defenses cost on digits: training, beside ordinary training, and each image, beside the undefended network.

    python benchmarks/defenses.py [--batches 4] [--images 20] [--runs 5] [--device cpu]

Every number is a quotient of two medians, measured by turns in one process (`metrics.slowdown`). The objectives and their epochs
are those of `recipes.RECIPES`, the deployed modules those of `zoo.deployed`. The tables go to benchmarks/results/defenses.md.
"""

import argparse
import copy
import time
from dataclasses import replace
from functools import partial

import torch
from measuring import alternating, write

from advcourse import data, metrics, models
from advcourse.core.inputs import predict
from advcourse.core.rounding import number
from advcourse.defenses import LSPGA, DefensiveDistillation, RegionClassifier, Thermometer, teacher_objective
from advcourse.defenses.ramp import Ramped
from advcourse.training import cross_entropy, fit
from advcourse.zoo import deployed, recipes

ORDINARY = recipes.RECIPES["mnist-small"]
# Each shipped network that one call of `fit` trained, by the defense's title in the zoo.
TRAINED = {
    one.title: one.network
    for name, one in deployed.DEFENSES.items()
    if name != "none" and one.is_network and type(recipes.RECIPES[one.network]) is recipes.Recipe
}
DEPLOYED = {
    "ensemble input transformation": "EIT",
    "random transformation": "RT",
    "PixelDefend": "PixelDefend",
    "thermometer encoding": "Thermometer",
    "LID, score and label": "LID",
    "feature squeezing, score and label": "FS",
    "MagNet, score, reformer and label": "MagNet",
}


def stages(device):
    """{defense: [(network, objective, epochs)]}: what is trained one after the other."""
    small = partial(models.build, "mnist-small")
    table = {"undefended": [(small(), cross_entropy, ORDINARY.epochs)]}
    for title, name in TRAINED.items():
        recipe = recipes.RECIPES[name]
        table[title] = [(small(), ready(recipe.objective(), device), recipe.epochs)]
    epochs, teacher = recipes.RECIPES["mnist-distilled"].epochs, small().to(device)
    student = DefensiveDistillation(copy.deepcopy(teacher))
    table["defensive distillation"] = [(teacher, teacher_objective(), epochs), (small(), student, epochs)]
    coded = recipes.RECIPES["mnist-thermometer-lspga"]
    code = Thermometer(models.build("mnist-thermometer"))
    lspga = Thermometer(models.build("mnist-thermometer"))
    table["thermometer encoding with LS-PGA"] = [
        (code, cross_entropy, coded.epochs),
        (lspga, LSPGA(), coded.adversarial),
    ]
    return table


def ready(objective, device):
    """The objective with its full budget from the first step on, its own networks on the device."""
    for network in getattr(objective, "static", ()):
        network.to(device)
    return replace(objective, ramp=0.0) if isinstance(objective, Ramped) else objective


def times_as_long(run, reference, runs):
    """`metrics.slowdown` of calls that take a tenth of a second or more, and about as long: what else runs slows both alike."""
    run()
    began = time.perf_counter()
    run()
    often = max(1, round(0.1 / (time.perf_counter() - began)))
    run, reference = repeated(run, often), repeated(reference, often)
    times = max(1, round(metrics.slowdown(run, reference, 1)))
    for _ in range(5):
        share = metrics.slowdown(run, repeated(reference, times), runs)
        if 2 / 3 < share < 3 / 2 or (times == 1 and share < 1):
            break
        times = max(1, round(times * share))
    return times * share


def repeated(function, times):
    """Calls `function` so often."""
    return lambda: [function() for _ in range(times)]


def training(options):
    """Lines of the first table: an epoch over the same batches, and the whole recipe, in units of the undefended network's."""
    size = ORDINARY.batch_size
    x, y = data.load("mnist-5k", "train").pick(options.batches * size)
    pair = x.to(options.device), y.to(options.device)

    def epoch(network, objective):
        return partial(
            fit, network, pair, objective, epochs=1, batch_size=size, device=options.device, progress=False
        )

    reference = epoch(models.build("mnist-small"), cross_entropy)
    yield ["defense", "an epoch, times as long", "epochs of its recipe", "the whole recipe, times as long"]
    for title, parts in stages(options.device).items():
        factors = [times_as_long(epoch(net, loss), reference, options.runs) for net, loss, _ in parts]
        whole = sum(factor * epochs for factor, (_, _, epochs) in zip(factors, parts)) / ORDINARY.epochs
        told = (
            " + ".join(f"{factor:.1f}" for factor in factors),
            " + ".join(str(epochs) for *_, epochs in parts),
        )
        yield [title, *told, f"{whole:.1f}"]


def modules(options):
    """{defense: module}."""
    table = {title: deployed.load(name, options.device) for title, name in DEPLOYED.items()}
    network = models.load("mnist-small", options.device)
    for voters in (100, 1000):
        table[f"region-based classification, {voters} voters"] = RegionClassifier(network, 0.3, voters)
    return table


def inference(options, x):
    """Lines of the second table: labels of the same images, in units of the undefended network's."""
    network = models.load("mnist-small", options.device)
    yield ["defense", "an image, times as long"]
    for title, module in modules(options).items():
        took = times_as_long(partial(predict, module, x), partial(predict, network, x), options.runs)
        yield [title, number(took)]


def main():
    """Measure, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    x = data.load("mnist-5k").pick(options.images)[0].to(options.device)
    tables = []
    for lines in (training(options), inference(options, x)):
        tables.append([])
        for line in lines:
            tables[-1].append(line)
            print(" | ".join(line), flush=True)
    network = models.load("mnist-small", options.device)
    alone = alternating({"alone": partial(predict, network, x)}, x, options.runs)[0]["alone"]
    each, replays = 1000 * alone / options.images, recipes.FreeAT().replays
    first = "\n".join("| " + " | ".join(line) + " |" for line in with_rule(tables[0]))
    text = f"""# What the defenses cost

On digits, in units of the undefended `mnist-small`, each number a quotient of the medians of {options.runs} runs that took turns.
Made by `python benchmarks/defenses.py` in one process. Both sides are repeated until they take about as
long, so that whatever else runs slows both alike; still the quotients move from machine to machine.

Training: {options.batches} batches of {ORDINARY.batch_size} digits, without augmentation; objectives and epochs are those of
`advcourse/zoo/recipes.py`. Defenses with two stages have two numbers. Free adversarial training takes {replays} steps of the
optimizer on each batch.

{first}

Use: labels of {options.images} digits at once by the modules of `advcourse/zoo`. The undefended network takes {each:.2f} ms
a digit.
"""
    write("defenses", text, tables[1], x, ())


def with_rule(lines):
    """The lines of a table with the rule below its head."""
    return [lines[0], ["---"] * len(lines[0]), *lines[1:]]


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
