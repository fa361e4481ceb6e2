"""What the judge of lab 6 asks of an app that is to pass: a model drawn for the app, and what is delivered."""

from typing import Any

import torch

from advcourse.cases.malware import edit as by_library
from advcourse.data.apps import App
from advcourse.labs.checks import Student
from advcourse.labs.exercises import Case, Draw
from advcourse.labs.lab6.apps import AppTask, asked, canonical, declared, drawn, lost, run
from advcourse.labs.lab6.editing import log
from advcourse.labs.lab6.given import CANDIDATES
from advcourse.labs.lab6.nets import Reader
from advcourse.labs.verdicts import Finding

STEPS = 4  # additions that a right answer takes
SPARE = 2  # more that the budget allows
LURES = 3.0  # what an addition that changes the app takes off the suspicion
HELPS = 1.0  # what a good one does, about
SIDE = 0.4  # what a permission that sleeping code uses puts on it, as a feature of S6


def no_settings(draw: Draw, x: None = None) -> dict[str, Any]:
    """All of a question hangs together: see `ReaderTask.case`."""
    return {}


def _sorted(app: App) -> tuple[list[str], list[str]]:
    """The candidates that the app lacks: those that leave its trace as it is, and those that do not."""
    have, before = declared(app.manifest), run(app.manifest, app.program)
    quiet, loud = [], []
    for name in CANDIDATES:
        if name not in have:
            same = run(by_library(app.manifest, [name]), app.program) == before
            (quiet if same else loud).append(name)
    return quiet, loud


class ReaderTask(AppTask):
    """Its model reads the app itself, and is drawn for it."""

    def case(self, draw: Draw, alarm: bool = True, **overrides: Any) -> Case:
        """A harmful app, and a model that raises the alarm for it, unless not `alarm`.

        What changes the app lowers the suspicion most. Of what leaves it as it is, six features help; the best two undo one
        another; all others raise the suspicion a little.
        """
        while True:
            app = drawn(draw, lambda app: app.label == 1)
            quiet, loud = _sorted(app)
            if loud and len(quiet) > STEPS + 6:
                break
        order = [quiet[i] for i in draw.uniform((len(quiet),)).argsort().tolist()]
        first, second, *others = order[: STEPS + 2]
        weights = {name: draw.number(0.05, 0.3) for name in order}
        weights |= dict.fromkeys(loud, -LURES)
        weights |= {first: -1.5 * HELPS, second: -1.4 * HELPS}
        weights |= {name: -HELPS - draw.number(0, 0.1) for name in others}
        weights |= {name: draw.number(0.1, 0.5) for name in sorted(declared(app.manifest))}
        pairs = ((first, second, 4.2 * HELPS),)
        used = {f"real_{name}": SIDE for name in loud if name.startswith("permission")}
        own = sum(weights[name] for name in sorted(declared(app.manifest)))
        wanted = (STEPS - 0.2) * HELPS if alarm else -0.5
        model = Reader("reader", 0, weights=tuple((weights | used).items()), pairs=pairs, start=wanted - own)
        values = {"model": model, "manifest": app.manifest, "program": app.program, "budget": STEPS + SPARE}
        values |= overrides
        return Case(values["model"], torch.zeros(1), {name: values[name] for name in self.parameters[1:]})


def delivers(student: Student, draw: Draw) -> None:
    """The app passes, does what it did, and has no more additions than the budget."""
    case = student.task.case(draw)
    manifest, program, budget = (case[name] for name in ("manifest", "program", "budget"))
    found = asked(student, case)
    if gone := lost(manifest, found):
        told = f"The manifest lacks what was there: {', '.join(gone[:3])}. The app may need it; only additions are allowed."
        raise Finding("taken away", told)
    new = sorted((declared(found) - declared(manifest)) & set(CANDIDATES))
    if canonical(found) == canonical(manifest):
        raise Finding(
            "nothing added",
            "The manifest comes back as it was, and the app is detected as before. If the best addition changes what it does, "
            "take the next best.",
        )
    _still_runs(manifest, found, program, new)
    if len(new) > budget:
        raise Finding(
            "budget",
            f"You add {len(new)} features, and the budget is {budget}. Add those that lower the suspicion most.",
        )
    suspicion = case.victim.build(torch.float64)(found, program)
    if suspicion > 0:
        _detected(suspicion, new, budget)


def _still_runs(manifest, found, program, new):
    before, after = run(manifest, program), run(found, program)
    if after.refused:
        raise Finding(
            "refused",
            f"The phone refuses the app that you deliver: {after.refused}. Ask phone(...) before you hand it in.",
        )
    if after != before:
        guilty = [name for name in new if run(by_library(manifest, [name]), program) != before]
        told = (
            f"The app that you deliver does something else than before. {', '.join(guilty[:2]) or 'An addition'} looks best to "
            "the model, and changes the log. Compare phone(edited, program) with phone(manifest, program): all of it, and for "
            "every addition."
        )
        raise Finding("phone not asked", told, trace=log(before, after))


def _detected(suspicion, new, budget):
    told = f"In the end the suspicion is {suspicion:.2f}, and above 0 is an alarm. You made {len(new)} of {budget} additions"
    if len(new) < budget:
        more = "If the best addition changes the app, take the next best. Go on until model(edited, program) is not above 0."
        raise Finding("gives up", f"{told}. {more}")
    more = "Take the one that lowers the suspicion most *now*: ask anew after each, since two that help may undo one another."
    raise Finding("spent", f"{told}. {more}")


def leaves_what_passes(student: Student, draw: Draw) -> None:
    """An app that passes comes back as it is."""
    case = student.task.case(draw, alarm=False)
    if canonical(asked(student, case)) != canonical(case["manifest"]):
        told = "The app passed as it was, and you changed it. Ask model(manifest, program) before the first addition."
        raise Finding("passes already", told)
