"""Making apps from seeds: an honest app of a category, and in half of them a payload.

A payload sits in a repackaged honest app and acts without a tap. `check` holds the design against the pocket phone: what an app
does there must be what it was designed to do. Every shipped app has passed.
"""

import random
from dataclasses import dataclass, field
from xml.sax.saxutils import quoteattr

from advcourse.core.inputs import check_seed
from advcourse.data.apps.android import (
    BROADCASTS,
    HARDWARE,
    LAUNCHER,
    MAIN,
    NAMESPACE,
    PERMISSION,
    POST,
    RESTRICTED,
)
from advcourse.data.apps.designs import (
    CATEGORIES,
    DISGUISES,
    LIBRARIES,
    OPTIONAL,
    PAYLOADS,
    RECEIVERS,
    RISKY,
    SERVERS,
    SERVICES,
    WORDS,
)
from advcourse.data.apps.phone import PocketPhone

_RISKY_IN_HOSTS = 0.55  # repackaged apps are simpler ones


@dataclass(frozen=True)
class App:
    """A toy app.

    Attributes:
        package: its name, such as "org.example.quicktorch42".
        category: of the honest app.
        family: of the payload; "" for an honest app.
        manifest: the AndroidManifest.xml.
        program: the code, in the language of `parse_program`.
    """

    package: str
    category: str
    family: str
    manifest: str
    program: str

    @property
    def label(self) -> int:
        """0 for benign, 1 for malicious."""
        return int(bool(self.family))


class _Draw:
    """Draws from one seed. `random.Random.random` gives the same numbers in every version of Python."""

    def __init__(self, seed):
        self._draw = random.Random(seed).random

    def happens(self, share):
        return self._draw() < share

    def one(self, values):
        return values[int(self._draw() * len(values))]

    def weighted(self, weights):
        mark = self._draw() * sum(weights.values())
        for value, weight in weights.items():
            mark -= weight
            if mark < 0:
                return value
        return value


@dataclass
class _Draft:
    """An app that is being made."""

    package: str
    label: str
    hardware: dict[str, bool] = field(default_factory=dict)
    permissions: list[str] = field(default_factory=list)
    components: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    classes: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    guarded: list[tuple[str, str, list[str], str]] = field(default_factory=list)

    def requests(self, permission):
        if permission and permission not in self.permissions:
            self.permissions.append(permission)

    def declares(self, kind, name, action=""):
        actions = self.components.setdefault(name, (kind, []))[1]
        if action and action not in actions:
            actions.append(action)
        self.classes.setdefault(name, {})

    def adds(self, name, handler, calls, guard=""):
        lines = self.classes.setdefault(name, {}).setdefault(handler, [])
        if guard:
            lines.append(f"ifperm {PERMISSION}{guard} {len(calls)}")
        for call in calls:
            lines.append(f"call {call}")
            if not guard:
                self.requests(RESTRICTED.get(call.split()[0], ""))

    def manifest(self):
        lines = ['<?xml version="1.0" encoding="utf-8"?>']
        lines.append(f'<manifest xmlns:android="{NAMESPACE}" package={quoteattr(self.package)}>')
        lines.append('  <uses-sdk android:minSdkVersion="16" android:targetSdkVersion="22"/>')
        for name, required in self.hardware.items():
            optional = "" if required else ' android:required="false"'
            lines.append(f"  <uses-feature android:name={quoteattr(name)}{optional}/>")
        lines += [f"  <uses-permission android:name={quoteattr(name)}/>" for name in self.permissions]
        lines.append(f"  <application android:label={quoteattr(self.label)}>")
        for name, (kind, actions) in self.components.items():
            lines += _element(kind, name, actions)
        return "\n".join([*lines, "  </application>", "</manifest>", ""])

    def program(self):
        lines = []
        for name, handlers in self.classes.items():
            lines.append(f"class {name}")
            for handler, calls in handlers.items():
                lines.append(f"  on {handler}")
                lines += [f"    {call}" for call in calls]
        return "\n".join([*lines, ""])


def _element(kind, name, actions):
    opening = f"    <{kind} android:name={quoteattr(name)}"
    if kind == "provider":
        opening += f" android:authorities={quoteattr('org.example' + name.lower())}"
    if not actions:
        return [f"{opening}/>"]
    lines = [f"{opening}>", "      <intent-filter>"]
    lines += [f"        <action android:name={quoteattr(action)}/>" for action in actions]
    if MAIN in actions:
        lines.append(f"        <category android:name={quoteattr(LAUNCHER)}/>")
    return [*lines, "      </intent-filter>", f"    </{kind}>"]


def make(seed: int) -> App:
    """Make the app of a seed: half of the seeds give honest apps, half such with a payload.

    Args:
        seed: from 0; the same seed gives the same app.
    """
    draw = _Draw(check_seed(seed))
    family = draw.one(tuple(PAYLOADS)) if draw.happens(0.5) else ""
    weights = {name: category.hosts if family else 1 for name, category in CATEGORIES.items()}
    category = draw.weighted(weights)
    draft = _honest(draw, category, bool(family))
    if family:
        _hide_payload(draw, draft, family)
    _add_guarded(draft)
    return App(draft.package, category, family, draft.manifest(), draft.program())


def check(app: App) -> None:
    """Run an app on the pocket phone.

    Raises:
        AssertionError: it does not behave as designed, crashes, or cannot be installed: a fault of the designs.
    """
    trace = PocketPhone().run(app.manifest, app.program)
    assert not trace.refused and not trace.crashed, f"{app.package}: {trace}"
    assert trace.harmful == bool(app.label), f"{app.package} is designed as {app.family or 'honest'}: {trace}"


def _honest(draw, category, hosts):
    word, number = draw.one(WORDS), int(draw.one(range(100)))
    label = f"{word} {category}"
    draft = _Draft(f"org.example.{label.replace(' ', '')}{number}", label.title())
    draft.declares("activity", ".MainActivity", MAIN)
    draft.adds(".MainActivity", "create", ["TextView.setText welcome"])
    design = CATEGORIES[category]
    for name in design.hardware:
        if draw.happens(0.7):
            name = f"android.hardware.{name}"
            draft.hardware[name] = name in HARDWARE and draw.happens(0.4)
    for name in design.spare:
        if draw.happens(0.38 if hosts else 0.52):
            draft.requests(PERMISSION + name)
    screens = [".MainActivity"]
    for screen in (*design.screens, ".AboutActivity", ".HelpActivity"):
        if draw.happens(0.5):
            draft.declares("activity", screen)
            draft.adds(screen, "create", [f"TextView.setText {screen[1:].removesuffix('Activity').lower()}"])
            draft.adds(".MainActivity", "click", [f"Context.startActivity {screen}"])
            screens.append(screen)
    receiver = draw.one(RECEIVERS)

    def place(event):
        return _place(draft, event, draw.one(screens), receiver)

    for function in design.functions:
        _add_function(draw, draft, function, place)
    for function in RISKY:
        _add_function(draw, draft, function, place, _RISKY_IN_HOSTS if hosts else 1)
    for function in OPTIONAL:
        _add_function(draw, draft, function, place)
    for library in LIBRARIES:
        if draw.happens(library.hosts if hosts else library.honest):
            _add_library(draw, draft, library)
    return draft


def _add_function(draw, draft, function, place, factor=1.0):
    """Add a function, with its share as the chance. One behind a guard waits for `_add_guarded`.

    Args:
        place: event -> the (class, handler) for it.
    """
    event, share, calls = function.split(" ", 2)
    if not draw.happens(factor * float(share)):
        return
    name, handler = place(event)
    if calls.startswith("?"):
        guard, calls = calls[1:].split(" ", 1)
        draft.guarded.append((name, handler, calls.split("|"), guard))
    else:
        draft.adds(name, handler, calls.split("|"))


def _add_guarded(draft):
    """Add what waits for a permission, once all others are requested: nothing that would send private data out by itself."""
    for name, handler, calls, guard in draft.guarded:
        if PERMISSION + guard not in draft.permissions or not any(call.startswith(POST) for call in calls):
            draft.adds(name, handler, calls, guard)


def _place(draft, event, screen, receiver):
    """Return the (class, handler) of an app's own that an event runs; a receiver is declared."""
    if event == "tap":
        return screen, "click"
    if event == "launch":
        return ".MainActivity", "create"
    action, permission = BROADCASTS[event]
    draft.declares("receiver", receiver, action)
    draft.requests(permission)
    return receiver, "receive"


def _place_in_library(draft, event, package):
    """Return the (class, handler) of a library that an event runs, and see that the app's first screen starts it."""
    if event in BROADCASTS:
        return _place(draft, event, "", f"{package}.Receiver")
    name, screen = (
        f"{package}.{'OnTap' if event == 'tap' else 'OnLaunch'}",
        _place(draft, event, ".MainActivity", ""),
    )
    if name not in draft.classes:
        draft.classes[name] = {}
        draft.adds(*screen, [f"Thread.start {name}"])
    return name, "run"


def _add_library(draw, draft, library):
    for item in library.declares:
        kind, name = item.split()
        draft.declares(kind, library.package + name)
    for function in library.functions:
        _add_function(draw, draft, function, lambda event: _place_in_library(draft, event, library.package))


def _hide_payload(draw, draft, family):
    events, variants = PAYLOADS[family]
    host = draw.one(SERVERS)
    calls = draw.one(variants.split("/"))
    calls = calls.format(
        host=host, post=f"HttpURLConnection.post {host}", get=f"HttpURLConnection.get {host}"
    ).split("|")
    if draw.happens(0.65):
        calls.insert(0, draw.one(DISGUISES))
    name, handler = _place(draft, draw.one(events.split("/")), "", draw.one(RECEIVERS))
    if draw.happens(0.3):
        service = draw.one(SERVICES)
        draft.declares("service", service)
        draft.adds(name, handler, [f"Context.startService {service}"])
        name, handler = service, "start"
    draft.adds(name, handler, calls)
