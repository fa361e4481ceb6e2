"""`show(function)`: a student's function on the apps of chapter 11, and against detectors that are trained for it."""

import xml.etree.ElementTree as ET
from functools import cache

import torch

from advcourse import data, plots
from advcourse.cases import malware
from advcourse.core.intervals import counted, printed
from advcourse.course.app_explorer import difference
from advcourse.data.apps import TORCH, App, extract
from advcourse.labs.lab6.given import CANDIDATES, phone
from advcourse.labs.lab6.lab import LAB
from advcourse.labs.showing import Shown, ShowRight

BUDGETS = (1, 3, 5, 10, 20)
TOLD = 1, 3  # the budgets that are told in words
APPS, DELIVERED = 60, 10  # detected apps
ASKED = (
    "feature::android.hardware.nfc",
    "permission::android.permission.NFC",
    "provider::com.crashnote.StartProvider",
    "intent::android.net.conn.CONNECTIVITY_CHANGE",
)


@cache
def detector(name: str = "mlp") -> malware.Detector:
    """A detector, trained on the 3 000 shipped apps; it takes some seconds the first time."""
    return malware.train(name)


@cache
def detected(name: str = "mlp") -> tuple[App, ...]:
    """Harmful test apps that the detector finds."""
    return tuple(detector(name).detected(data.load("apps").first(300)).first(APPS).apps)


def _evade(function):
    net, vocabulary = detector().net, detector().vocabulary
    x = torch.stack([detector().read(app.manifest, app.program) for app in detected()])
    addable, curves, told = vocabulary.where(), {}, []
    for name, attack in {
        "your evade": function,
        "at random": lambda net, x, addable, k: malware.AddFeatures(
            tuple(addable.tolist()), k, choice="random"
        )(net, x),
    }.items():
        found = [malware.benign(malware.answer(net, attack(net, x, addable, k))) for k in BUDGETS]
        curves[name] = BUDGETS, [passes.double().mean().item() for passes in found]
        at = ", ".join(f"{printed(counted(int(found[i].sum()), len(x)))} with {BUDGETS[i]}" for i in TOLD)
        told.append(f"{name}: {at} additions pass.")
    figure = plots.lines(
        curves, "budget: additions to the manifest", "apps that pass", percentages=True, samples=len(x)
    )
    figure.axes[0].set_xticks(BUDGETS)
    return Shown(
        "\n".join(told), plots.png(figure), f"Two curves for {len(x)} detected apps. {' '.join(told)}"
    )


def _edit(function):
    found = function(TORCH.manifest, list(ASKED))
    log = str(phone(found, TORCH.program)) == str(phone(TORCH.manifest, TORCH.program))
    name = f"Bright Torch with {len(ASKED)} additions; its log is {'what it was' if log else 'another'}"
    return difference(_pretty(TORCH.manifest), _pretty(found), name, around=1)


def _pretty(manifest):
    """The manifest with each element on a line of its own, and the usual prefix."""
    root = ET.fromstring(manifest)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode").replace("ns0:", "android:").replace(":ns0", ":android")


def _suspicion(manifest, program):
    benign, malicious = detector().logits(manifest, program).tolist()
    return malicious - benign


def _evade_app(function):
    counts = {"Pass": 0, "Pass and do what they did": 0}
    apps = detected()[:DELIVERED]
    for app in apps:
        found = function(_suspicion, app.manifest, app.program, 8)
        passes = _suspicion(found, app.program) <= 0
        same = phone(found, app.program) == phone(app.manifest, app.program)
        counts["Pass"] += passes
        counts["Pass and do what they did"] += passes and same
    told = [f"{what}: {printed(counted(n, len(apps)))} of the detected apps." for what, n in counts.items()]
    told.append(f"Allowed were 8 of {len(CANDIDATES)} candidates, and this model was trained on 3 000 apps.")
    return Shown("\n".join(told))


def _clean(function):
    lint = detector("lint")
    attack = malware.AddFeatures(tuple(lint.vocabulary.where().tolist()), 20)
    rows = torch.stack([lint.read(app.manifest, app.program) for app in detected("lint")])
    record = attack.run(lint.net, rows)
    cleaned = 0
    for app, order, passes in zip(
        detected("lint"), record.order.tolist(), record.success.tolist(), strict=True
    ):
        names = [lint.vocabulary.names[i] for i in order if i >= 0]
        text = function(malware.edit(app.manifest, names), app.program)
        x = lint.vocabulary.vector(extract(text, app.program))
        cleaned += passes and bool(malware.benign(malware.answer(lint.net, x[None]))[0])
    counts = {"on paper": int(record.success.sum()), "edited, then through your clean": cleaned}
    shares = {what: counted(n, len(rows)) for what, n in counts.items()}
    told = [f"{what}: {printed(share)} of the detected apps pass." for what, share in shares.items()]
    figure = plots.bars(
        {what: share.value for what, share in shares.items()}, "apps that pass", percentages=True
    )
    return Shown("\n".join(told), plots.png(figure), f"Two bars. {' '.join(told)}")


VIEWS = {"evade": _evade, "edit": _edit, "evade_app": _evade_app, "clean": _clean}

show = ShowRight(LAB, VIEWS)
