"""How the judge of lab 6 asks for the eight sets, compares them, and asks for those of other spellings."""

from collections.abc import Callable
from typing import Any

from advcourse.data.apps import extract as by_library
from advcourse.labs.checks import Student
from advcourse.labs.comparing import Comparison, gives
from advcourse.labs.exercises import Case, Draw
from advcourse.labs.lab6.apps import SETS, AppTask, bare, commented, in_full, quoted, renamed, turned
from advcourse.labs.lab6.given import calls
from advcourse.labs.verdicts import Finding


def has_eight_sets(student: Student, draw: Draw) -> None:
    """A dictionary with the keys S1 to S8, and collections of texts in it."""
    found = student.text(student.task.case(draw))
    missing = [name for name in SETS if name not in found]
    if missing or len(found) > len(SETS):
        told = f"The dictionary must have the keys S1 to S8; yours has {', '.join(sorted(found)) or 'none'}."
        raise Finding("sets missing", told)
    odd = [name for name in SETS if not _is_set(found[name])]
    if odd:
        told = f"{odd[0]} must be a set of names, such as {{'permission::android.permission.NFC'}}; yours holds something else."
        raise Finding("no sets", told)
    listed = [name for name in SETS if found[name] != sorted(set(found[name]))]
    if listed:
        told = (
            f"{listed[0]} is a list: its names stand in the order of the app, or twice. A set holds each once, in no order: "
            f"set(...), or {{... for ...}} in place of [... for ...]."
        )
        raise Finding("no sets", told)
    nameless = [name for names in found.values() for name in names if name.split("::")[-1] in ("None", "")]
    if set(nameless) - {"intent::None", "intent::"} or (nameless and len(found["S4"]) == 1):
        told = (
            f"Your sets hold {nameless[0]!r}: a name was looked for and not found. To ElementTree android:name is an attribute "
            "in Android's namespace: element.get(ANDROID + 'name'). For 'android:name' or 'name' get() returns None."
        )
        raise Finding("namespace", told)


def _is_set(value):
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def asked_for_sets(student: Student, case: Case) -> dict[str, Any]:
    """What an answer returned, as sets."""
    found = student.text(case)
    return {name: frozenset(found[name]) if _is_set(found.get(name)) else None for name in SETS}


def called_for_sets(function: Callable, case: Case) -> dict[str, frozenset[str]]:
    """What a function of the lab returns, as sets."""
    return {name: frozenset(names) for name, names in function(**case.arguments).items()}


def other_sets(case: Case, found: dict, right: dict) -> Finding:
    """The finding for sets that no slip explains: what is missing, and what is too much, in the first that differs."""
    name = next(name for name in SETS if found[name] != right[name])
    told = f"{name} is not right: {apart(found[name], right[name])}."
    wrong = {one.split("::")[-1] for one in (found[name] or frozenset()) ^ right[name]}
    guarded = [call for call in calls(case["program"]) if call.guard]
    if wrong <= {part for call in guarded for part in (call.api, call.argument, call.guard)}:
        told += (
            " It has to do with an `ifperm`. Calls behind one count like all others, and the permission that it asks for is not "
            "used by that alone."
        )
    return Finding("formula", told)


def apart(found: frozenset[str] | None, right: frozenset[str]) -> str:
    """What two sets differ by, in words."""
    found = found or frozenset()
    lacks = f"yours lacks {_some(right - found)}" if right - found else ""
    more = f"yours has {_some(found - right)}, which does not belong there" if found - right else ""
    return "; ".join(filter(None, [lacks, more]))


def _some(names):
    shown = ", ".join(sorted(names)[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


BY_SETS = Comparison(asked_for_sets, called_for_sets, lambda found, right: found == right, other_sets)


def two_apps(task: AppTask, draw: Draw) -> list[Case]:
    """Two questions, so that a slip is one in both."""
    return [task.case(draw), task.case(draw)]


def spelt(key: str, spell: Callable[[str], str], told: str) -> Callable[[Student, Draw], None]:
    """The same app in another spelling has the same features. What is wrong in the usual spelling, too, is told as that."""

    def ask(student, draw):
        usual = student.task.case(draw)
        case = usual.but(manifest=spell(usual["manifest"]))
        found, right = asked_for_sets(student, case), called_for_sets(by_library, case)
        wrong = next((name for name in SETS if found[name] != right[name]), None)
        if wrong:
            gives(student.task, BY_SETS, make=lambda *_: usual)(student, draw)  # the fault may be another
            raise Finding(key, f"{told} Here {wrong} differs: {apart(found[wrong], right[wrong])}.")

    return ask


def set_by_set(function: Callable) -> Callable[[Case, dict], bool]:
    """The test of a slip that may be made in some of the sets alone: each set is the right one, or that of `function`."""

    def test(case, found):
        right, slip = (called_for_sets(one, case) for one in (by_library, function))
        return all(found[name] in (right[name], slip[name]) for name in SETS)

    return test


_PARSER = "Let ElementTree or another parser of XML read the manifest, and no regular expression."
SPELLINGS = (
    spelt(
        "attribute order",
        turned,
        f"The attributes of an element may stand in any order, and android:name need not be the first. {_PARSER}",
    ),
    spelt("quotes", quoted, f"Attributes may stand in single quotes as well. {_PARSER}"),
    spelt(
        "namespace prefix",
        renamed,
        f"Android's namespace has the prefix `a:` here instead of `android:`, which is the same to the phone. {_PARSER}",
    ),
    spelt("remarks", commented, f"What stands in a remark, <!-- ... -->, is not there. {_PARSER}"),
    spelt(
        "package written out",
        in_full,
        "A manifest may write its own classes with the package in front: org.example.x.Main of the package org.example.x is the "
        "class .Main, and the same feature.",
    ),
    spelt("no dot", bare, "A name without any dot belongs to the package: Main is .Main."),
)
