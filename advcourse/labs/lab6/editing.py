"""What the judge of lab 6 asks of an edited manifest: that the additions are there, and that the app is what it was."""

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from typing import Any

from advcourse.cases.malware import edit as by_library
from advcourse.data.apps import App, Trace, parse_manifest, relative
from advcourse.data.apps.android import BROADCASTS, HARDWARE
from advcourse.labs.checks import Student
from advcourse.labs.exercises import Draw
from advcourse.labs.lab6.apps import asked, canonical, declared, drawn, in_full, lost, renamed, richer, run
from advcourse.labs.lab6.given import ANDROID, CANDIDATES, classes
from advcourse.labs.verdicts import Finding

_WAKING = [f"intent::{action}" for action, permission in BROADCASTS.values() if not permission]
_ICON = re.compile(r'\s*<category android:name="android.intent.category.LAUNCHER"/>')
_FILTER = re.compile(
    r"\s*<intent-filter>\s*<action android:name=\"android.intent.action.MAIN\"/>.*?</intent-filter>",
    re.DOTALL,
)


def _alive(app: App) -> bool:
    """Whether it has a receiver of its own with a class, and does not listen for unlocking or for the network."""
    parsed = parse_manifest(app.manifest)
    names = {relative(name, parsed.package) for name in classes(app.program)}
    first = next((part for part in parsed.components if part.kind == "receiver"), None)
    return bool(first and first.name in names and set(_WAKING) - declared(app.manifest))


def _does_something(app: App) -> bool:
    return _alive(app) and _wakes(app)


def _wakes(app):
    """Whether the first receiver does something that shows when it wakes up for what it did not listen for."""
    before = run(app.manifest, app.program)
    new = sorted(set(_WAKING) - declared(app.manifest))
    return bool(new) and run(by_library(app.manifest, new[:1], careful=False), app.program) != before


def _quiet(app: App, features: list[str]) -> list[str]:
    """Those of these features that can be added with nothing changed, each for itself."""
    before = run(app.manifest, app.program)
    return [f for f in features if run(by_library(app.manifest, [f]), app.program) == before]


def chosen(draw: Draw, app: App, *more: str) -> list[str]:
    """Additions of all kinds, in a random order: some are there already, and one is hardware that the phone lacks."""
    have, names = declared(app.manifest), {relative(name, app.package) for name in classes(app.program)}
    free = [f for f in CANDIDATES if f not in have and f.split("::")[1] not in names]
    hardware = [f for f in free if f.startswith("feature") and f.split("::")[1] not in HARDWARE]
    kinds = [
        [f for f in free if f.startswith(kind)]
        for kind in ("permission", "activity", "service", "receiver", "provider")
    ]
    picked = [*_some(draw, hardware, 1), *(f for some in kinds for f in _some(draw, _quiet(app, some), 1))]
    picked += ["intent::android.intent.category.DEFAULT", *sorted(set(_WAKING) - have), *more]
    old = [sorted(f for f in have if f.startswith(kind)) for kind in ("activity", "permission", "intent")]
    picked += [f for some in old for f in _some(draw, some, 1)]
    picked += ["provider::org.elsewhere.Data", "feature::android.hardware.consumerir"]
    return [picked[i] for i in draw.uniform((len(picked),)).argsort().tolist()]


def _some(draw, names, n):
    return [names[i] for i in draw.uniform((len(names),)).argsort().tolist()[:n]]


def _question(app, additions):
    """Manifest and additions, without those that the careful edit of the library cannot add unseen; the program beside them."""
    before, kept = run(app.manifest, app.program), list(dict.fromkeys(additions))
    while run(by_library(app.manifest, kept), app.program) != before:
        kept = kept[:-1]
    return {"manifest": app.manifest, "additions": kept, "program": app.program}


def an_edit(draw: Draw, x: None = None) -> dict[str, Any]:
    """An app with a live receiver, and additions of all kinds."""
    app = drawn(draw, _does_something)
    return _question(app, chosen(draw, app))


def without_an_icon(draw: Draw, x: None = None) -> dict[str, Any]:
    """An app that hides its icon, as many harmful ones do: its filter has MAIN alone. LAUNCHER is to be added."""
    app = drawn(draw, _alive)
    manifest = _ICON.sub("", app.manifest, count=1)
    app = App(app.package, app.category, app.family, manifest, app.program)
    return _question(app, ["intent::android.intent.category.LAUNCHER", *chosen(draw, app)])


def with_an_icon_to_lose(draw: Draw, x: None = None) -> dict[str, Any]:
    """An app whose first activity has no filter: MAIN and LAUNCHER are to be added, and must not meet."""
    app = drawn(draw, _alive)
    app = App(app.package, app.category, app.family, _FILTER.sub("", app.manifest, count=1), app.program)
    icon = ["intent::android.intent.action.MAIN", "intent::android.intent.category.LAUNCHER"]
    return _question(app, [*icon, *chosen(draw, app)])


def in_another_spelling(draw: Draw, x: None = None) -> dict[str, Any]:
    """An app with more of everything, another prefix, and names in full."""
    app = richer(drawn(draw, _alive))
    manifest = renamed(in_full(app.manifest))
    app = App(app.package, app.category, app.family, manifest, app.program)
    return _question(app, chosen(draw, app))


def edits(make: Callable[..., dict[str, Any]]) -> Callable[[Student, Draw], None]:
    """The additions of a question that `make` draws are there, nothing else is lost or new, and the trace is what it was."""

    def ask(student, draw):
        values = make(draw)
        case = student.task.case(draw, **values)
        holds_the_additions(values["manifest"], case["additions"], asked(student, case), values["program"])

    return ask


def holds_the_additions(manifest: str, additions: list[str], found: str, program: str) -> None:
    """Raise a `Finding` for what is wrong with the edited manifest `found`."""
    before, after = declared(manifest), declared(found)
    installs(found, program)
    if gone := lost(manifest, found):
        told = f"The edited manifest lacks what was there: {', '.join(gone[:3])}. Only add to the tree that you parsed."
        raise Finding("lost", told)
    same_trace(manifest, found, program)
    missing = [name for name in additions if name not in after]
    if missing and after == before and canonical(found) == canonical(manifest):
        raise Finding("nothing added", "The manifest comes back as it was: nothing was added.")
    if missing:
        _tell_where(missing, found)
    _each_has_its_tag(found, set(additions) - before)
    extra = [name for name in sorted(after - before - set(additions)) if not name.startswith("activity::")]
    if extra:
        told = f"You add {', '.join(extra[:3])}, which nobody asked for. Only activities that hold intents may come as well."
        raise Finding("more than asked", told)


def _each_has_its_tag(found, new):
    """Raise a `Finding` for an intent that stands in the element of the other kind."""
    for element in ET.fromstring(found).iter():
        name = element.get(ANDROID + "name") or ""
        if element.tag in ("action", "category") and f"intent::{name}" in new:
            right = "category" if ".category." in name else "action"
            if element.tag != right:
                told = f"{name} stands in an element <{element.tag}>. It is a {right}: the phone would not find it there."
                raise Finding("action or category", told)


def _tell_where(missing, found):
    names = [name.split("::")[1] for name in missing]
    elsewhere = {element.get(ANDROID + "name") for element in ET.fromstring(found).iter()}
    misplaced = [name for name, short in zip(missing, names, strict=True) if short in elsewhere]
    if misplaced:
        told = (
            f"{misplaced[0]} stands in the file, but not where the phone looks. uses-feature and uses-permission stand in "
            "<manifest>; components in <application>; action and category in an <intent-filter> of a component."
        )
        raise Finding("wrong place", told)
    raise Finding("missing", f"{len(missing)} additions are not there: {', '.join(missing[:3])}.")


def installs(found: str, program: str) -> None:
    """Raise a `Finding` if the phone refuses the app."""
    refused = run(found, program).refused
    if "MISSING_FEATURE" in refused:
        told = (
            f"The phone refuses the app: {refused}. Hardware is required unless the element says "
            'android:required="false", an attribute in Android\'s namespace.'
        )
        raise Finding("hardware required", told)
    if refused:
        told = (
            f"The phone refuses the app: {refused}. A component must not be declared twice. Leave out what is there already, and "
            "give each new activity that holds an intent a name of its own."
        )
        raise Finding("duplicate", told)


def same_trace(manifest: str, found: str, program: str) -> None:
    """Raise a `Finding` if the edited app does something else than before; the log shows where."""
    before, after = run(manifest, program), run(found, program)
    if after != before:
        raise _changed(before, after)


def _changed(before: Trace, after: Trace) -> Finding:
    """The finding for a trace that is not what it was."""
    new = [effect for effect in after.effects if effect not in before.effects]
    shown = log(before, after)
    if any(effect.text == "has an icon" for effect in new):
        told = (
            "The edited app has one icon more. MAIN and LAUNCHER in the same filter make one, whoever brought them together: "
            "give each intent a filter of its own."
        )
        return Finding("second icon", told, trace=shown)
    if any("CRASH: ClassNotFoundException" in effect.text and effect.event == "launch" for effect in new):
        told = (
            "The edited app crashes when it starts: Android creates every provider at once, and yours has no class. Switch it "
            "off: "
            'android:enabled="false".'
        )
        return Finding("provider", told, trace=shown)
    told = (
        "The edited app does something that it did not do before: a broadcast wakes a receiver up. What you put into the "
        "filter of a receiver, it will get. Use an activity of its own for each intent; no broadcast reaches that."
    )
    return Finding("live receiver", told, trace=shown)


def log(before: Trace, after: Trace) -> str:
    """The lines of the log that came and went, with + and -."""
    old, new = str(before).splitlines(), str(after).splitlines()
    lines = [f"- {line}" for line in old if line not in new] + [
        f"+ {line}" for line in new if line not in old
    ]
    return "\n".join(lines[:6])


def adds_nothing_if_nothing_is_asked(student: Student, draw: Draw) -> None:
    """No additions, or such as are there already: the manifest is as it was."""
    app = richer(drawn(draw))
    for additions in ([], sorted(declared(app.manifest))):
        found = asked(student, student.task.case(draw, manifest=app.manifest, additions=additions))
        if twice := declared_again(app.manifest, found):
            told = (
                f"{twice[0]} is declared twice now: it was there already, and you add it again. Ask first whether the manifest "
                "has it, and leave it out then."
            )
            raise Finding("declared again", told)
        if canonical(found) != canonical(app.manifest):
            what = "Only what is there already was" if additions else "No addition was"
            told = f"{what} asked for, and the manifest is another."
            raise Finding("more than asked", told)


def declared_again(before: str, after: str) -> list[str]:
    """The hardware, permissions and components that `after` declares more often than `before`, sorted."""
    old, new = (Counter(_declarations(manifest)) for manifest in (before, after))
    return sorted(name for name in new if old[name] and new[name] > old[name])


def _declarations(manifest):
    parsed = parse_manifest(manifest)
    return [*(name for name, _ in parsed.hardware), *parsed.permissions, *(c.name for c in parsed.components)]
