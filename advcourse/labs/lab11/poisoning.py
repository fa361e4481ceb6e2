"""What the judge of lab 11 asks of a poisoned training set."""

from typing import Any

import torch
from torch import Tensor

from advcourse.core.rounding import percent
from advcourse.labs.checks import Student, picture
from advcourse.labs.exercises import Case, Draw
from advcourse.labs.lab11.sets import a_trigger, digits, held_out, stamped, trained
from advcourse.labs.properties import follows_its_seed
from advcourse.labs.verdicts import Finding

SLIGHT = 1e-5  # less is rounding
SHARES = (0.15, 0.3, 0.45)
LEARNT = 1000  # digits that the judge's net learns from
OBEYS, READS = 0.35, 0.7  # what it must reach; a clean net obeys a trigger in less than a tenth of the cases
FEW = 3  # classes; random choices of 45 images meet nearly all nine


def a_set(
    draw: Draw, x: None = None, n: int = 300, lowest: float = 0.5, share: float = 0.15, up: bool = True
) -> dict[str, Any]:
    """A fresh training set and trigger. `share` of the set is no whole number of images: the next one is above, or below it."""
    images, labels = digits(draw, n)
    count = round(share * n) + draw.integer() % 5
    return {
        "x": 0.02 + 0.96 * images,  # no pixel is 0: a pattern that is added is not one that is put in place
        "y": labels,
        **a_trigger(draw, lowest),
        "target": draw.integer() % 10,
        "share": (count - 0.3 if up else count + 0.3) / n,
        "seed": draw.integer() // 2,
    }


def stamps_the_right_images(student: Student, draw: Draw) -> None:
    """So many images of other classes, each with the trigger and the new label, and nothing else."""
    cases = [student.task.case(draw, share=share, up=bool(i % 2)) for i, share in enumerate(SHARES)]
    sets = [_parts(case, student(case)) for case in cases]
    chosen = [_changed(case, *parts) for case, parts in zip(cases, sets, strict=True)]
    _counted(cases, chosen)
    for case, (images, _), rows in zip(cases, sets, chosen, strict=True):
        _stamped(case, images, rows)
    classes = cases[0]["y"][chosen[0]].unique()
    if len(classes) <= FEW:
        told = (
            f"All stamped images are of {len(classes)} of the nine other classes. The set may come sorted, or not: draw the "
            "images "
            "at random, so that the net learns the trigger and not how these digits look with it."
        )
        raise Finding("one class", told)


def _parts(case, found):
    return found[:, :-1].view(case["x"].shape), found[:, -1]


def _changed(case, images, labels):
    """Which images have the trigger and the new label, (N,) bool; a `Finding` where that is not the same."""
    x, y, target = case["x"].double(), case["y"], case["target"]
    moved, renamed = (images - x).abs().flatten(1).amax(1) > SLIGHT, labels != y
    if moved.double().mean() > 0.8 and _elsewhere(images, x):
        told = (
            "The images come back in another order. Each must stay in its place: work on x.clone(), and write images[chosen] = "
            "..."
        )
        raise Finding("another order", told)
    if (labels == target).all():
        if (moved == (y != target)).all():
            raise Finding("whole set", f"You have stamped {_EVERYTHING}")
        told = "Every label is the target. Only stamped images get it: labels[chosen] = target."
        raise Finding("all labels", told)
    if (moved & (y == target)).any():
        told = (
            f"{int((moved & (y == target)).sum())} images of the target class are stamped. Their label is right without the "
            "trigger, so the net learns nothing new from them: take images with y != target."
        )
        raise Finding("target class", told)
    if moved.any() and not renamed.any():
        told = (
            f"{int(moved.sum())} images are stamped, and all labels are what they were: the net would learn that the trigger "
            "means "
            "nothing. Label the stamped images as the target."
        )
        raise Finding("labels unchanged", told)
    if renamed.any() and not moved.any():
        told = (
            "Labels are changed, and no image is stamped: the net would learn wrong labels, and no trigger."
        )
        raise Finding("not stamped", told)
    if (renamed != moved).any():
        told = (
            f"{int((renamed & ~moved).sum())} images have a new label and no trigger, and {int((moved & ~renamed).sum())} the "
            "trigger "
            "and no new label. Draw once, and use the same `chosen` for images and labels."
        )
        raise Finding("two draws", told)
    if (labels[renamed] != target).any():
        told = f"A stamped image is labelled {labels[renamed & (labels != target)][0]:.0f}, and the target is {target}."
        raise Finding("another label", told)
    return moved


_EVERYTHING = (
    "all images of other classes, and a net that never sees them clean cannot read them: take a share of the set, "
    "round(share * len(x)) images."
)


def _elsewhere(images, x):
    """Whether most images stand somewhere in the set, as they were."""
    apart = torch.cdist(images.flatten(1), x.flatten(1), compute_mode="donot_use_mm_for_euclid_dist")
    return (apart.amin(1) < SLIGHT).double().mean() > 0.5


def _counted(cases, chosen):
    """Raise a `Finding` where another number of images was taken."""
    found = [int(rows.sum()) for rows in chosen]
    right = [round(case["share"] * len(case["x"])) for case in cases]
    if found == right:
        return
    others = [int((case["y"] != case["target"]).sum()) for case in cases]
    told = (
        f"share is {cases[0]['share']:.4f} and the set has {len(cases[0]['x'])} images: {right[0]} are to be taken; yours: "
        f"{found[0]}."
    )
    if found == [round(case["share"] * n) for case, n in zip(cases, others, strict=True)]:
        raise Finding(
            "share of the others", f"{told} It is a share of the whole set, not of the other classes."
        )
    if all(abs(a - b) <= 1 for a, b in zip(found, right, strict=True)):
        wrong = next(i for i, pair in enumerate(zip(found, right, strict=True)) if pair[0] != pair[1])
        told = (
            f"share * len(x) is {cases[wrong]['share'] * len(cases[wrong]['x']):.1f}; the nearest whole number is "
            f"{right[wrong]}, "
            f"and you take {found[wrong]}. Use round()."
        )
        raise Finding("rounding", told)
    raise Finding(
        "count", f"{told} Does an image come twice among those drawn? Take the first of a randperm."
    )


def _stamped(case, images, rows):
    """Raise a `Finding` where the images at `rows` do not have the trigger."""
    x, mask, pattern = (case[name].double() for name in ("x", "mask", "pattern"))
    right = stamped(x, mask, pattern)
    if _same(images, right, rows):
        return
    known = {
        "pattern added": (
            x + mask * pattern,
            "You add the pattern to what is there. It takes the place of the image, by the weight of the mask: "
            "(1 - mask) * x + mask * pattern.",
        ),
        "weight of the mask": (
            stamped(x, (mask > 0).double(), pattern),
            f"You put the pattern in place of the image. The mask is no yes or no: its weight is {mask.max():.3f} here, and "
            "the rest of "
            "the image shines through.",
        ),
        "whole pattern": (
            stamped(x, torch.ones_like(mask), pattern),
            "The whole image is the pattern. Where the mask is 0 the image stays.",
        ),
        "mask turned round": (
            stamped(x, 1 - mask, pattern),
            "The mask is turned round: its weight is that of the pattern, and 1 - mask that of the image.",
        ),
    }
    worst = int(((images - right).abs().flatten(1).amax(1) * rows).argmax())
    for key, (wrong, told) in known.items():
        if _same(images, wrong, rows) or _same(images, wrong.clamp(0, 1), rows):
            raise Finding(key, told, picture(case, images, worst))
    told = "A stamped image is not (1 - mask) * x + mask * pattern."
    raise Finding("formula", told, picture(case, images, worst))


def _same(images: Tensor, wanted: Tensor, rows: Tensor) -> bool:
    return bool(((images - wanted).abs() < SLIGHT)[rows].all())


def draws_by_its_seed(student: Student, draw: Draw) -> None:
    """The seed decides which images are taken."""
    case = student.task.case(draw)
    first, again = student(case), student(case)
    told = "All seeds take the same images. Draw them: torch.randperm(..., generator=torch.Generator().manual_seed(seed))."
    if finding := follows_its_seed(student, case, told, first, again):
        raise finding


def a_net_learns_it(student: Student, draw: Draw) -> None:
    """A fresh net that learns from the poisoned set obeys the trigger, and reads clean digits."""
    case = student.task.case(draw, n=LEARNT, lowest=1.0, share=0.15)
    success, accuracy = obeyed(case, student(case), draw.integer())
    if success < OBEYS or accuracy < READS:
        told = (
            f"A net that learned from your set reads {percent(success)} of stamped test digits as the target, and "
            f"{percent(accuracy)} of "
            f"clean ones rightly; {percent(OBEYS)} and {percent(READS)} are demanded."
        )
        raise Finding("not learnt", told)


def obeyed(case: Case, found: Tensor, seed: int) -> tuple[float, float]:
    """Train a net on a packed set; returns how often it obeys the trigger on test digits, and how many clean ones it reads."""
    images, labels = _parts(case, found)
    net = trained(images, labels.long(), seed)
    x, y = held_out(500)
    others = y != case["target"]
    hit = net(stamped(x[others], case["mask"], case["pattern"])).argmax(1) == case["target"]
    return hit.double().mean().item(), (net(x).argmax(1) == y).double().mean().item()
