"""Lab 6: an app that passes, and still runs."""

import xml.etree.ElementTree as ET

from advcourse.labs.exercises import exercise
from advcourse.labs.lab6.delivering import (
    ReaderTask,
    delivers,
    leaves_what_passes,
    no_settings,
)
from advcourse.labs.lab6.edit import edit, edited, there
from advcourse.labs.lab6.given import CANDIDATES, phone
from advcourse.labs.lab6.reading import NAME
from advcourse.labs.properties import answers, leaves_nothing_behind, other_device


def best_first(model, manifest, program, additions):
    """What may come next, as rows (suspicion, feature, manifest), the lowest suspicion first."""
    left = [name for name in CANDIDATES if name not in there(manifest) and name not in additions]
    tried = [(name, edit(manifest, [*additions, name])) for name in left]
    return sorted((model(text, program), name, text) for name, text in tried)


@exercise(
    "Pass, and still run",
    5,
    no_settings,
    (
        "Greedy: for each of CANDIDATES that the app lacks, write it in with your `edit` and ask model(edited, program). Which "
        "one lowers the suspicion most, and does phone(edited, program) still equal the trace of the app as it came?",
        "If the trace is another, that feature is of no use in this app: take the next best. Keep the additions in a list, and "
        "edit the *original* manifest with all of them, so that one edit does not stand on another.",
        "Repeat up to `budget` times, and stop as soon as model(...) is not above 0. After each addition measure the others "
        "anew: two that help may undo one another.",
    ),
    numbers="text",
    kind=ReaderTask,
)
def evade_app(model, manifest, program, budget):
    before, found, additions = phone(manifest, program), manifest, []
    while model(found, program) > 0 and len(additions) < budget:
        now = model(found, program)
        for suspicion, name, text in best_first(model, manifest, program, additions):
            if suspicion < now and phone(text, program) == before:
                additions.append(name)
                found = text
                break
        else:
            break
    return found


@evade_app.wrong("phone not asked")
def never_asks_the_phone(model, manifest, program, budget):
    found, additions = manifest, []
    while model(found, program) > 0 and len(additions) < budget:
        _, name, found = best_first(model, manifest, program, additions)[0]
        additions.append(name)
    return found


@evade_app.wrong("phone not asked")
def asks_whether_it_installs(model, manifest, program, budget):
    found, additions = manifest, []
    while model(found, program) > 0 and len(additions) < budget:
        for _, name, text in best_first(model, manifest, program, additions):
            if not phone(text, program).refused:
                additions.append(name)
                found = text
                break
    return found


@evade_app.wrong("phone not asked")
def asks_whether_it_crashes(model, manifest, program, budget):
    found, additions = manifest, []
    while model(found, program) > 0 and len(additions) < budget:
        for _, name, text in best_first(model, manifest, program, additions):
            if not phone(text, program).crashed:
                additions.append(name)
                found = text
                break
    return found


@evade_app.wrong("nothing added")
def stops_at_the_first_that_changes(model, manifest, program, budget):
    before, found, additions = phone(manifest, program), manifest, []
    while model(found, program) > 0 and len(additions) < budget:
        _, name, text = best_first(model, manifest, program, additions)[0]
        if phone(text, program) != before:
            break
        additions.append(name)
        found = text
    return found


@evade_app.wrong("gives up")
def one_addition(model, manifest, program, budget):
    return evade_app(model, manifest, program, 1)


@evade_app.wrong("gives up")
def nearly(model, manifest, program, budget):
    return evade_app(lambda text, code: model(text, code) - 0.5, manifest, program, budget)


@evade_app.wrong("gives up")
def trusts_the_sum(model, manifest, program, budget):
    before, now = phone(manifest, program), model(manifest, program)
    additions, expected = [], now
    for suspicion, name, text in best_first(model, manifest, program, []):
        if expected > 0 and len(additions) < budget and phone(text, program) == before:
            additions.append(name)
            expected += suspicion - now
    return edit(manifest, additions)


@evade_app.wrong("spent")
def measures_once(model, manifest, program, budget):
    before, found, additions = phone(manifest, program), manifest, []
    for _, name, text in best_first(model, manifest, program, []):
        if model(found, program) > 0 and len(additions) < budget and phone(text, program) == before:
            additions.append(name)
            found = edit(manifest, additions)
    return found


@evade_app.wrong("spent")
def in_the_order_of_the_list(model, manifest, program, budget):
    before, found, additions = phone(manifest, program), manifest, []
    for name in CANDIDATES:
        text = edit(manifest, [*additions, name])
        if name not in there(manifest) and len(additions) < budget and phone(text, program) == before:
            additions.append(name)
            found = text
    return found


@evade_app.wrong("budget")
def all_that_is_harmless(model, manifest, program, budget):
    before, found, additions = phone(manifest, program), manifest, []
    for name in CANDIDATES:
        text = edit(manifest, [*additions, name])
        if name not in there(manifest) and phone(text, program) == before:
            additions.append(name)
            found = text
    return found


@evade_app.wrong("budget")
def until_it_passes(model, manifest, program, budget):
    before, found, additions = phone(manifest, program), manifest, []
    for name in CANDIDATES:
        text = edit(manifest, [*additions, name])
        if model(found, program) > 0 and name not in there(manifest) and phone(text, program) == before:
            additions.append(name)
            found = text
    return found


@evade_app.wrong("refused")
def hardware_required(model, manifest, program, budget):
    found = ET.fromstring(evade_app(model, manifest, program, budget))
    ET.SubElement(found, "uses-feature", {NAME: "android.hardware.consumerir"})
    return ET.tostring(found, encoding="unicode")


@evade_app.wrong("taken away")
def takes_away(model, manifest, program, budget):
    found = manifest
    for i in range(len(ET.fromstring(manifest).findall("uses-permission"))):
        root = ET.fromstring(manifest)
        root.remove(root.findall("uses-permission")[i])
        found = min(found, ET.tostring(root, encoding="unicode"), key=lambda text: model(text, program))
    return found


@evade_app.wrong("taken away")
def permissions_out(model, manifest, program, budget):
    root = ET.fromstring(evade_app(model, manifest, program, budget))
    root.remove(root.find("uses-permission"))
    return ET.tostring(root, encoding="unicode")


@evade_app.wrong("passes already")
def asks_after_the_addition(model, manifest, program, budget):
    before, found, additions = phone(manifest, program), manifest, []
    while len(additions) < budget:
        for _, name, text in best_first(model, manifest, program, additions):
            if phone(text, program) == before:
                additions.append(name)
                found = text
                break
        if model(found, program) <= 0:
            break
    return found


@evade_app.wrong("nothing added")
def unchanged(model, manifest, program, budget):
    return manifest


@evade_app.wrong("type")
def both_parts(model, manifest, program, budget):
    return evade_app(model, manifest, program, budget), program


@evade_app.wrong("crash")
def the_model_of_features(model, manifest, program, budget):
    return model(there(manifest))


@evade_app.right
def gains_first(model, manifest, program, budget):
    before, text, additions = phone(manifest, program), manifest, []
    harmless = [name for name in CANDIDATES if phone(edit(manifest, [name]), program) == before]
    harmless = [name for name in harmless if name not in there(manifest)]
    for _ in range(budget):
        now = model(text, program)
        if now <= 0:
            break
        scored = [
            (model(edited(manifest, [*additions, name]), program), name)
            for name in harmless
            if name not in additions
        ]
        lowest, name = min(scored)
        if lowest >= now:
            break
        additions.append(name)
        text = edited(manifest, additions)
    return text if phone(text, program) == before else manifest


@evade_app.right
def two_at_once(model, manifest, program, budget):
    def passes(additions):
        text = edit(manifest, additions)
        return phone(text, program) == before and model(text, program)

    before, additions, left = phone(manifest, program), [], set(CANDIDATES) - there(manifest)
    while len(additions) < budget and model(edit(manifest, additions), program) > 0:
        values = {name: passes([*additions, name]) for name in sorted(left - set(additions))}
        values = {name: value for name, value in values.items() if value is not False}
        additions.append(min(values, key=values.get))
    return edit(manifest, additions)


evade_app.checks(
    answers,
    delivers,
    leaves_what_passes,
    delivers,
    other_device,
    leaves_nothing_behind,
)
