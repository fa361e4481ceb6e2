"""How the judge of lab 6 asks for the eight sets, compares them, and asks for those of other spellings."""

from collections.abc import Callable
from typing import Any

from advcourse.data.apps import extract as by_library
from advcourse.labs.checks import Student
from advcourse.labs.comparing import Comparison
from advcourse.labs.exercises import Case, Draw
from advcourse.labs.lab6.apps import SETS, AppTask
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
    return Finding("formula", f"{name} is not right: {apart(found[name], right[name])}.")


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
    """The same app in another spelling has the same features."""

    def ask(student, draw):
        case = student.task.case(draw)
        case = case.but(manifest=spell(case["manifest"]))
        found, right = asked_for_sets(student, case), called_for_sets(by_library, case)
        wrong = next((name for name in SETS if found[name] != right[name]), None)
        if wrong:
            raise Finding(key, f"{told} Here {wrong} differs: {apart(found[wrong], right[wrong])}.")

    return ask
