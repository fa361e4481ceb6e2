"""What the judge of lab 6 asks of the lint."""

import xml.etree.ElementTree as ET

from advcourse.labs.checks import Student
from advcourse.labs.comparing import Comparison
from advcourse.labs.exercises import Case, Draw
from advcourse.labs.lab6.apps import (
    AppTask,
    asked,
    canonical,
    commented,
    declared,
    drawn,
    lost,
    renamed,
    run,
    turned,
)
from advcourse.labs.lab6.editing import log
from advcourse.labs.lab6.given import ANDROID, classes
from advcourse.labs.lab6.leftovers import an_app_with_leftovers
from advcourse.labs.lab6.reading import NAME, components, short
from advcourse.labs.verdicts import Finding


def _different(case: Case, found: str, right: str) -> Finding:
    """The finding for a cleaned manifest that no slip explains."""
    manifest, program = case["manifest"], case["program"]
    before, ours, theirs = declared(manifest), declared(right), declared(found)
    if canonical(found) == canonical(manifest):
        return Finding("nothing dropped", "The manifest comes back as it was, and some of it has no use.")
    old, new = run(manifest, program), run(found, program)
    trace = log(old, new) if old != new else ""
    if gone := sorted(ours - theirs):
        told = f"You drop what is in use: {', '.join(gone[:3])}."
        return Finding("still in use", told + (" The log is another now." if trace else ""), trace=trace)
    if more := sorted(theirs - ours):
        new = f" {len(set(more) - before)} of it was not there before." if set(more) - before else ""
        return Finding("of no use", f"You keep what has no use: {', '.join(more[:3])}.{new}")
    what = ", ".join(lost(right, found)[:3]) or "an element, an attribute or their order"
    told = f"Beside what has no use something else is gone or changed: {what}. Remove elements, and leave all others as they are."
    return Finding("more than unused", told, trace=trace)


def _called(function, case):
    return function(**case.arguments)


def _same(found, right):
    return canonical(found) == canonical(right)


BY_MEANING = Comparison(asked, _called, _same, _different)


def works_in_another_spelling(student: Student, draw: Draw) -> None:
    """The same app with attributes in another order, another prefix, and remarks."""
    values = an_app_with_leftovers(draw)
    for spell in (turned, renamed, commented):
        case = student.task.case(draw, **{**values, "manifest": spell(values["manifest"])})
        found, right = asked(student, case), _called(student.task.solution, case)
        if not _same(found, right):
            told = (
                "It works for the manifest as it is usually written, and not for the same with its attributes in another "
                "order, another prefix, or remarks. Let ElementTree read it, and change the tree."
            )
            raise Finding("another spelling", told)


def leaves_a_clean_app(student: Student, draw: Draw) -> None:
    """A manifest that is clean stays as it is."""
    app = drawn(draw)
    manifest = student.task.solution(app.manifest, app.program)
    case = student.task.case(draw, manifest=manifest, program=app.program)
    found = asked(student, case)
    if not _same(found, manifest):
        raise _different(case, found, manifest)


def keeps_what_is_switched_off(student: Student, draw: Draw) -> None:
    """A component that is switched off stays if its class is in the program."""
    app = drawn(draw)
    root, there = ET.fromstring(app.manifest), {short(name, app.package) for name in classes(app.program)}
    own = [part for part in components(root) if short(part.get(NAME), app.package) in there]
    own[-1].set(ANDROID + "enabled", "false")
    manifest = ET.tostring(root, encoding="unicode")
    case = student.task.case(draw, manifest=manifest, program=app.program)
    found, right = asked(student, case), _called(student.task.solution, case)
    if own[-1].get(NAME) in found or _same(found, right):
        return
    told = (
        f"You drop {own[-1].get(NAME)}, which is switched off. Its class is in the program, and an app can switch its components "
        "on while it runs: look at the class alone."
    )
    raise Finding("switched off", told)


def several(task: AppTask, draw: Draw) -> list[Case]:
    """One with a receiver without a class, one with a service that has a filter as if it were one."""
    return [task.case(draw, **an_app_with_leftovers(draw, service=service)) for service in (False, True)]
