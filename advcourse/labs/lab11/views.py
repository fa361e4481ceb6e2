"""`show(function)`: a student's function on digits, on a net that learned a backdoor, and on the shipped shadow nets."""

import torch

from advcourse import plots
from advcourse.core.intervals import counted, printed
from advcourse.core.rounding import percent
from advcourse.labs.exercises import Draw
from advcourse.labs.lab11.clustering import SEEDS, found_by, poisoned_class, whitened
from advcourse.labs.lab11.lab import LAB
from advcourse.labs.lab11.poisoning import a_set, obeyed
from advcourse.labs.lab11.thief import BUDGET, LEARNT, POOL, UNSEEN, a_victim
from advcourse.labs.showing import Shown, ShowRight
from advcourse.labs.victims import Questions
from advcourse.lifecycle import load_shadows
from advcourse.lifecycle.membership import Guesses
from advcourse.plots.style import new_chart

SHARES = (0.0025, 0.005, 0.01, 0.03, 0.1)
QUERIES = (30, 60, 100, 200, BUDGET)
TARGETS = 8  # nets that are attacked
FPR = 0.01


def _poison(function):
    values = a_set(Draw(11), n=LEARNT, lowest=1.0)
    success, accuracy = [], []
    for share in SHARES:
        found = function(**{**values, "share": share})
        hit, right = obeyed(LAB.tasks["poison"].case(Draw(11), n=LEARNT, lowest=1.0), found.double(), 11)
        success.append(hit)
        accuracy.append(right)
    told = [
        f"{100 * share:g} % of the set poisoned: {percent(hit)} of stamped test digits are read as the target, and "
        f"{percent(right)} of clean ones rightly."
        for share, hit, right in zip(SHARES, success, accuracy)
    ]
    curves = {"stamped, read as the target": (SHARES, success), "clean, read rightly": (SHARES, accuracy)}
    figure = plots.lines(
        curves, "share of the training set that is poisoned", "test digits", percentages=True
    )
    figure.axes[0].set_xscale("log")
    figure.axes[0].set_xticks(SHARES, [f"{100 * share:g} %" for share in SHARES])
    figure.axes[0].minorticks_off()
    return Shown("\n".join(told), plots.png(figure), f"Two curves over the share of poison. {' '.join(told)}")


def _suspects(function):
    h, poison = poisoned_class(SEEDS[0])
    flags = function(h=h).bool()
    precision, recall = found_by(flags, poison)
    z = whitened(h)
    across = z[flags].mean(0) - z[~flags].mean(0)
    along = (z @ across / across.norm()).double()
    told = [
        f"{int(flags.sum())} of {len(h)} images of the class are flagged: {percent(precision)} of them are poison, and "
        f"{percent(recall)} "
        "of the poison is among them."
    ]
    figure, axis = new_chart(5.6, 2.8)
    edges = torch.linspace(along.min(), along.max(), 25).numpy()
    kinds = {"clean": along[~poison], "poison": along[poison]}
    for i, (kind, values) in enumerate(kinds.items()):
        style = {"color": plots.COLOURS[i], "hatch": plots.HATCHES[i], "alpha": 0.7, "edgecolor": "white"}
        axis.hist(values.numpy(), edges, label=kind, **style)
    axis.set(xlabel="place along the line between your two clusters", ylabel="training images")
    axis.legend(fontsize=8, frameon=False)
    return Shown(
        "\n".join(told), plots.png(figure), f"Two histograms, of clean images and of poison. {told[0]}"
    )


def _lira(function):
    shadows = load_shadows()
    phi, members = shadows.phi.double(), shadows.members
    targets = range(TARGETS)
    ways = {
        "one threshold for all": phi[:TARGETS],
        "yours, online": torch.stack(
            [function(phi=phi, members=members, target=t, online=True) for t in targets]
        ),
        "yours, offline": torch.stack(
            [function(phi=phi, members=members, target=t, online=False) for t in targets]
        ),
    }
    guesses = {name: Guesses(scores, members[:TARGETS]) for name, scores in ways.items()}
    told = [
        f"{name}: balanced accuracy {percent(found.balanced_accuracy)}; at 1 % false alarms it finds "
        f"{percent(found.tpr_at(FPR))} "
        f"of {len(found.of_members)} members."
        for name, found in guesses.items()
    ]
    figure = plots.roc_curves({name: found.roc() for name, found in guesses.items()})
    return Shown("\n".join(told), plots.png(figure), f"Three curves on logarithmic axes. {' '.join(told)}")


def _steal(function):
    values = a_victim(Draw(11), budget=BUDGET, pool=POOL, unseen=UNSEEN)
    net, unseen = values["model"].victim.net, values["unseen"]
    right, told = net(unseen).argmax(1), []
    for budget in QUERIES:
        box = Questions(lambda x: net(x).argmax(1), budget)
        found = function(model=box, pool=values["pool"].clone(), unseen=unseen.clone(), budget=budget)
        same = counted(int((found == right).sum()), UNSEEN)
        told.append((box.asked, same))
    curve = {"your copy": ([asked for asked, _ in told], [same.value for _, same in told])}
    figure = plots.lines(
        curve, "questions to the victim", "agreement on unseen digits", percentages=True, samples=UNSEEN
    )
    words = [f"{asked} questions: {printed(same)} of unseen digits as the victim." for asked, same in told]
    return Shown("\n".join(words), plots.png(figure), f"A curve that rises. {' '.join(words)}")


VIEWS = {"poison": _poison, "suspects": _suspects, "lira": _lira, "steal": _steal}

show = ShowRight(LAB, VIEWS)
