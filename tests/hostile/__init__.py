"""Submissions that try to get more than their answers deserve, as data. Nothing here runs them: `test_grading_hostile` does.

A source may hold these words, which the test replaces: @TASK@ and @PARAMS@, the function that is asked for; @REPO@, the clone;
@SITE@, its site-packages; @PLANTED@, a folder with a gradebook, a secret and another's submission, which hold a mark; @HOME@;
@PORT@ and @ABSTRACT@, where servers of this machine listen, the first with the mark; @STAYS@, a name of processes.

A cheat that has found what it must not have raises an error whose text begins with LEAK: the text of a crash reaches the student.
The word is put together at run time, since the line of the error is told, too.
"""

from dataclasses import dataclass
from textwrap import dedent

CHEATS = []


@dataclass(frozen=True)
class Cheat:
    """One attempt.

    name: the test's. source: of the cell of the task, or a function of nothing that makes it. lab. task: whose cell it is.
    deserves: "nothing"; "all", for an answer that is right in itself; or "either". keys: the verdict's key must be one of
    these; () for any. told: whether the instructor must get a sign. before: cells in front of the task's; after: at the end.
    limits: by name. succeeds: what it gets in a notebook, where nothing protects: "points", "LEAK", or "" where that is not
    tried.
    """

    name: str
    source: object
    lab: str = "lab4"
    task: str = "rate"
    deserves: str = "nothing"
    keys: tuple[str, ...] = ()
    told: bool = True
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    limits: str = "usual"
    succeeds: str = ""


def cheat(name, source, **fields):
    """Put a cheat on the list; its sources may be indented."""
    for part in ("before", "after"):
        fields[part] = tuple(dedent(cell).strip() for cell in fields.get(part, ()))
    source = source if callable(source) else dedent(source).strip()
    CHEATS.append(Cheat(name, source, **fields))


def body(lines, first="import torch"):
    """The source of an answer that does this."""
    lines = dedent(lines).strip().replace("\n", "\n    ")
    return f"{first}\n\n\ndef @TASK@(@PARAMS@):\n    {lines}\n"
