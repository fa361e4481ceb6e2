"""What the judge of lab 6 asks of an attack on features, and the nets that it is tried on."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from advcourse.core.rounding import percent
from advcourse.data.apps import CODE, MANIFEST, AppSet, Vocabulary
from advcourse.labs.checks import Student
from advcourse.labs.comparing import called
from advcourse.labs.exercises import Case, Draw
from advcourse.labs.lab6.apps import AppTask
from advcourse.labs.lab6.nets import AppNet, LevelNet
from advcourse.labs.verdicts import Finding

SLACK = 0.03  # of the apps that evade
APPS = 100
DEEP = 1.2  # so far that one addition is not enough
LONGER = 1.0  # additions more than the author's, on average over what both bring through
SAME = 0.9  # share of the apps that a slip must explain, by the slip that explains most


class NetTask(AppTask):
    """Its model is a net of features that raises the alarm for all apps, or for a share of them."""

    def case(
        self,
        draw: Draw,
        n: int = 24,
        features: int = 80,
        alarms: float = 1.0,
        loud: float = 1.0,
        deep: float = 0.02,
        x: Tensor | None = None,
        **overrides: Any,
    ) -> Case:
        """A fresh question: `n` apps of random features, or those of `x`; `loud`: how many times as large the logits are;
        `deep`: how far the nearest to passing is from it.
        """
        x = (draw.uniform((n, features)) < 0.15).float() if x is None else x
        addable = draw.uniform((x.shape[1],)) < 0.6
        net = AppNet("apps", draw.integer(), features=x.shape[1])
        lead = margin_of(net, x)
        kept = lead.sort().values[round(alarms * len(x)) - 1].item()
        model = replace(net, shift=kept + deep, loud=loud)
        values = {"x": x, "addable": addable, "budget": 8, **overrides}
        return Case(model, torch.zeros(len(x)), {name: values[name] for name in self.parameters[1:]})


def margin_of(net: AppNet, x: Tensor) -> Tensor:
    """The lead of benign, Z_benign - Z_malicious, in float64, (N,)."""
    with torch.no_grad():
        logits = net.build(torch.float64)(x.double())
    return logits[:, 0] - logits[:, 1]


def only_adds(student: Student, draw: Draw) -> None:
    """Zeros stay or become ones, where that is allowed, and not too often."""
    for how in ({}, {"budget": 3}):
        case = student.task.case(draw, **how)
        found = student(case)
        if torch.equal(found, case["x"].double()):
            changes_what_passes(student, draw)
        keeps_the_rules(case, found)


def changes_what_passes(student: Student, draw: Draw) -> None:
    """Raise a `Finding` for an answer that leaves what is detected alone, and adds to what passes."""
    case = student.task.case(draw, alarms=0.5)
    if not torch.equal(student(case), case["x"].double()):
        told = (
            "You leave the apps alone that are detected, and add to those that pass: your lead is turned round. logits[:, 0] is "
            "benign and logits[:, 1] malicious. An app is detected where logits[:, 0] - logits[:, 1] <= 0, and the slope of this "
            "same difference is to be climbed."
        )
        raise Finding("lead turned round", told)


def keeps_the_rules(case: Case, found: Tensor) -> None:
    """Raise a `Finding` where something else than an addition was made, or too many."""
    x, budget = case["x"].double(), case["budget"]
    if torch.equal(found, x):
        told = "The apps come back as they went in: nothing was added. Do you return the new x?"
        raise Finding("nothing added", told)
    if ((found == 1) & (x == 1)).sum() == 0:
        told = (
            "What you return lacks all that the apps had: these are the additions alone. Return x with them."
        )
        raise Finding("additions alone", told)
    odd = (found != 0) & (found != 1)
    if odd.any():
        told = f"Features are 0 or 1; yours hold {found[odd][0]:.3g}. There is no half a permission: set x[i, j] = 1."
        raise Finding("zeros and ones", told)
    if ((x - found) > 0).any():
        told = (
            f"{int(((x - found) > 0).sum())} features are gone: 1 became 0. To take something out may break the app; only "
            "additions are allowed: mask x > 0."
        )
        raise Finding("removed", told)
    new = found > x
    if (new & ~case["addable"]).any():
        told = (
            f"{int((new & ~case['addable']).sum())} additions are not addable. Mask ~addable with -torch.inf."
        )
        raise Finding("forbidden", told)
    most = int(new.sum(1).max())
    if most > budget:
        raise Finding("budget", f"An app got {most} additions, and the budget is {budget}.")


def stops_without_a_candidate(student: Student, draw: Draw) -> None:
    """Where hardly anything may be added, nothing else is."""
    case = student.task.case(draw, n=12)
    few = torch.zeros_like(case["addable"])
    few[draw.uniform(few.shape).topk(3).indices] = True
    few[0] = False
    case = case.but(addable=few)
    found, x = student(case), case["x"].double()
    if ((found > x) & ~few).any():
        told = (
            "Where nothing is left to add, you add a forbidden feature: the argmax of a row that is -inf throughout is 0. Add "
            "only where the largest allowed slope is above 0."
        )
        raise Finding("nothing left", told)


def leaves_what_passes(student: Student, draw: Draw) -> None:
    """Apps that pass as they are come back unchanged."""
    case = student.task.case(draw, alarms=0.5)
    found, before = student(case), margin_of(case.victim, case["x"])
    touched = (found != case["x"].double()).any(1) & (before > 1e-3)
    if not touched.any():
        return
    most = (found > case["x"]).sum(1)[touched].max()
    if most > 1:
        slip = next(slip for slip in student.task.slips if slip.key == "on after success")
        raise Finding(slip.key, slip.message)
    told = f"{int(touched.sum())} apps passed before anything was added, and you add to them. Ask the model first, then add."
    raise Finding("passes already", told)


def goes_on_at_a_tie(student: Student, draw: Draw) -> None:
    """An app with two equal logits is detected, and gets an addition."""
    case = student.task.case(draw)
    x = case["x"].clone()
    x[:6] = 0
    case = case.but(LevelNet(**vars(case.victim)), x=x)
    if (student(case)[:6] > 0).any(1).all():
        return
    told = (
        "Some apps have two equal logits here, and you leave them alone. A tie is no escape: an app is detected where the lead "
        "is <= 0, not only where it is < 0. argmax does not see it either: of equal logits it names the first, benign."
    )
    raise Finding("tie", told)


def evades_enough(student: Student, draw: Draw) -> None:
    """Nearly as many apps pass as by the author's answer, with hardly more additions."""
    near, deep = student.task.case(draw, n=APPS), _deep(student.task, draw)
    _compare(student, [near, deep, near.but(budget=4)])


def _deep(task, draw):
    """A question in which one addition is enough for none."""
    for _ in range(20):
        case = task.case(draw, n=12, deep=DEEP)
        if (margin_of(case.victim, called(task.solution, case.but(budget=1))) < 0).all():
            break
    return case


def evades_real_apps(student: Student, draw: Draw) -> None:
    """The same of the features of fresh apps, of which the manifest's may be added."""
    apps = AppSet.draw(20, draw.integer())
    vocabulary = Vocabulary.of(apps.extracted(), at_least=1)
    sets = MANIFEST if draw.integer() % 2 else (*MANIFEST, *CODE)
    case = student.task.case(draw, x=apps.features(vocabulary), addable=vocabulary.where(sets))
    _compare(student, [case])


def uses_the_whole_budget(student: Student, draw: Draw) -> None:
    """Where some apps need exactly the budget, some get it: there one addition fewer shows, whatever else is drawn."""
    case = student.task.case(draw, n=APPS)
    needed = (called(student.task.solution, case) > case["x"]).sum(1)
    case = case.but(budget=int(needed[needed > 0].mode().values))
    found, right = student(case), called(student.task.solution, case)
    last = ((right > case["x"]).sum(1) == case["budget"]) & (margin_of(case.victim, right) > 0)
    if last.any() and (found > case["x"]).sum(1).max() < case["budget"]:
        slip = next(slip for slip in student.task.slips if slip.key == "one too few")
        raise Finding(slip.key, slip.message)


def _compare(student, cases):
    found = [student(case) for case in cases]
    for case, result in zip(cases, found, strict=True):
        keeps_the_rules(case, result)
    right = [called(student.task.solution, case) for case in cases]
    theirs, ours = (
        torch.cat([margin_of(c.victim, r) > 0 for c, r in zip(cases, some)]) for some in (found, right)
    )
    sizes = [
        torch.cat([(r > c["x"]).sum(1) for c, r in zip(cases, some)]).double() for some in (found, right)
    ]
    both = theirs & ours
    longer = (sizes[0] - sizes[1])[both].mean() if both.any() else torch.tensor(0.0)
    enough = theirs.sum() >= ours.sum() - max(
        1, SLACK * len(ours)
    )  # of twenty apps, one is more than the slack
    if enough and longer <= LONGER:
        return
    shares = [min(_explained(slip, *pair) for pair in zip(cases, found)) for slip in student.task.slips]
    if max(shares) >= SAME:
        slip = student.task.slips[shares.index(max(shares))]
        raise Finding(slip.key, slip.message)
    told = f"{percent(theirs.double().mean())} of the apps pass, and {percent(ours.double().mean())} by a right answer"
    if enough:
        raise Finding("too many additions", f"{told}, but yours take {longer:.1f} additions more on average.")
    raise Finding(
        "weak", f"{told}. Is the slope that of the app as it is now, and is the largest allowed one taken?"
    )


def _explained(slip, case, found):
    """The share of the apps that a slip gives the same."""
    return (called(slip.function, case) == found).all(1).double().mean().item()


def works_where_logits_are_large(student: Student, draw: Draw) -> None:
    """A net that is very sure has a slope, too: its probabilities have none."""
    case = student.task.case(draw, n=40, loud=400.0)
    theirs, ours = (
        margin_of(case.victim, r) > 0 for r in (student(case), called(student.task.solution, case))
    )
    if theirs.double().mean() >= 0.7 * ours.double().mean():
        return
    told = (
        f"Of apps that the net is very sure of {int(theirs.sum())} pass, and {int(ours.sum())} by a right answer. There the "
        "slope of a probability is 0 to the last digit, and that of log p(malicious) as well. Take that of the logits' "
        "difference."
    )
    raise Finding("saturated", told)
