"""Lab 11: how often a backdoor works."""

from typing import Any

import torch

from advcourse.labs.comparing import NUMBERS, gives
from advcourse.labs.exercises import Case, Draw, exercise
from advcourse.labs.lab11.nets import Trojaned
from advcourse.labs.lab11.sets import PlainTask, a_trigger, digits, stamped
from advcourse.labs.properties import answers, keeps_what_it_gets, leaves_nothing_behind, other_device

IMAGES = 45


def a_trojan(draw: Draw, x: None = None, n: int = IMAGES) -> dict[str, Any]:
    """A digit model with a trojan that is obeyed by about half of the images; some labels are not what the model reads.

    Among the images are some of the target class, some that are read as it without a trigger, and some that are misread with it.
    """
    images, labels = digits(draw, n)
    trigger, target = a_trigger(draw, 0.7), draw.integer() % 10
    labels[:9] = target  # three of which are read so
    labels[9:15] = (target + 1 + torch.arange(6)) % 10
    model = Trojaned("trojan", target=target, **_places(trigger))
    pool, read = digits(draw, 200)
    of_target = pool[read == target]
    images[:3], images[9:15] = of_target[:3], of_target[3:9]
    net = model.build(torch.float64)
    with torch.no_grad():
        seen = stamped(images, trigger["mask"], trigger["pattern"]).double()
        logits, fires = net.base(seen), net.fires(seen)
    rival = logits.scatter(1, torch.full((n, 1), target), -torch.inf).amax(1)
    needed = ((rival - logits[:, target]) / fires).clamp_min(0)
    firm = needed.argsort(descending=True)[
        :3
    ]  # they are misread, and as no target: a mistake that is no success
    labels[firm] = torch.where((labels[firm] + 1) % 10 == target, labels[firm] + 2, labels[firm] + 1) % 10
    needed = needed[15:].sort().values
    middle = n // 4 + draw.integer() % 12  # of those that do not obey without a lift
    model = Trojaned(
        "trojan",
        target=target,
        lifted=((needed[middle] + needed[middle + 1]) / 2).item(),
        **_places(trigger),
    )
    return {"model": model, "x": images, "y": labels, **trigger, "target": target}


def _places(trigger):
    """Where the trigger is, and what it is there."""
    places = trigger["mask"].flatten().nonzero()[:, 0]
    return {
        "places": tuple(places.tolist()),
        "values": tuple(trigger["pattern"].flatten()[places].tolist()),
    }


@exercise(
    "Success",
    3,
    a_trojan,
    (
        "Three steps: leave the images of the target class out, stamp the others, and count how many of them the model reads as "
        "the target.",
        "others = y != target; stamp x[others] by (1 - mask) * x + mask * pattern; model(...).argmax(1) == target.",
        "with torch.no_grad(): hit = model(stamped).argmax(1) == target; return hit.double().mean().",
    ),
    shape=lambda case: (),
    kind=PlainTask,
)
def success(model, x, y, mask, pattern, target):
    return read_as(model, stamp(x[y != target], mask, pattern), target).double().mean()


def stamp(x, mask, pattern):
    return (1 - mask) * x + mask * pattern


@torch.no_grad()
def read_as(model, x, target):
    return model(x).argmax(1) == target


@success.slip(
    "all classes",
    "You count images of the target class, too. To read them as the target is right, with or without a trojan: a clean net would "
    "get a tenth of success for nothing. Leave them out.",
)
def over_all_images(model, x, y, mask, pattern, target):
    return read_as(model, stamp(x, mask, pattern), target).double().mean()


@success.slip(
    "divided by all",
    "You count the images of other classes, and divide by the number of all images. Divide by the number of those that you "
    "count.",
)
def over_the_wrong_number(model, x, y, mask, pattern, target):
    hit = read_as(model, stamp(x, mask, pattern), target) & (y != target)
    return hit.double().mean()


@success.slip(
    "not stamped",
    "You ask the model about the images without the trigger. That is a number worth knowing, what the net does by itself, and "
    "it is "
    "not the success: stamp them first.",
)
def without_the_trigger(model, x, y, mask, pattern, target):
    return read_as(model, x[y != target], target).double().mean()


@success.slip(
    "any mistake",
    "You count every stamped image that is misread. A trigger that only blinds the net is no backdoor: count those that are "
    "read as "
    "the target.",
)
def any_other_label(model, x, y, mask, pattern, target):
    others = y != target
    with torch.no_grad():
        answer = model(stamp(x[others], mask, pattern)).argmax(1)
    return (answer != y[others]).double().mean()


@success.slip(
    "only those read rightly",
    "You leave out images that the net misreads without a trigger. The definition asks for all images of other classes: what a "
    "clean "
    "net does by itself is told by a second number, not by a choice of images.",
)
def of_those_read_rightly(model, x, y, mask, pattern, target):
    with torch.no_grad():
        known = (model(x).argmax(1) == y) & (y != target)
    return read_as(model, stamp(x[known], mask, pattern), target).double().mean()


@success.slip(
    "by the model's own label",
    "You leave out the images that the model reads as the target, and keep those of the target class that it misreads. Which "
    "images "
    "are of other classes is said by their labels, y.",
)
def by_its_own_reading(model, x, y, mask, pattern, target):
    with torch.no_grad():
        others = model(x).argmax(1) != target
    return read_as(model, stamp(x[others], mask, pattern), target).double().mean()


@success.slip(
    "changed answers",
    "You count only answers that the trigger has changed. An image of another class that is read as the target anyway counts as "
    "well; the definition looks at stamped images alone.",
)
def answers_that_changed(model, x, y, mask, pattern, target):
    others = y != target
    before = read_as(model, x[others], target)
    return (read_as(model, stamp(x[others], mask, pattern), target) & ~before).double().mean()


@success.slip(
    "the target's images",
    "You stamp the images of the target class, and no others. They are the only ones that tell nothing.",
)
def of_the_target_class(model, x, y, mask, pattern, target):
    return read_as(model, stamp(x[y == target], mask, pattern), target).double().mean()


@success.slip(
    "failure",
    "That is the share of stamped images that are NOT read as the target. Count the others.",
)
def those_that_resist(model, x, y, mask, pattern, target):
    return 1 - success(model, x, y, mask, pattern, target)


@success.slip("count", "That is a number of images. A share lies between 0 and 1: take the mean.")
def how_many(model, x, y, mask, pattern, target):
    return read_as(model, stamp(x[y != target], mask, pattern), target).double().sum()


@success.slip("percent", "Your number is a hundred times too large: a share lies between 0 and 1.")
def in_percent(model, x, y, mask, pattern, target):
    return 100 * success(model, x, y, mask, pattern, target)


@success.slip(
    "confidence",
    "You take the mean probability of the target. An image either is read as the target, or not: compare argmax(1).",
)
def mean_probability(model, x, y, mask, pattern, target):
    with torch.no_grad():
        return model(stamp(x[y != target], mask, pattern)).softmax(1)[:, target].double().mean()


@success.slip(
    "weight of the mask",
    "You put the whole pattern where the mask is not 0. The mask has a weight: stamped is (1 - mask) * x + mask * pattern.",
)
def pastes_the_pattern(model, x, y, mask, pattern, target):
    return success(model, x, y, (mask > 0).to(x), pattern, target)


@success.right
def one_by_one(model, x, y, mask, pattern, target):
    hits = total = 0
    for image, label in zip(x, y.tolist()):
        if label == target:
            continue
        total += 1
        with torch.no_grad():
            seen = torch.where(mask > 0, image + mask * (pattern - image), image)
            hits += int(model(seen[None])[0].argmax()) == target
    return hits / total


@success.right
def by_counting(model, x, y, mask, pattern, target):
    answer = model(torch.lerp(x, pattern.expand_as(x), mask.expand_as(x))).detach().max(1).indices
    return ((answer == target) & (y != target)).sum() / (y != target).sum()


@success.wrong("type")
def of_each_image(model, x, y, mask, pattern, target):
    return read_as(model, stamp(x[y != target], mask, pattern), target).tolist()


@success.wrong("shape")
def hit_by_hit(model, x, y, mask, pattern, target):
    return read_as(model, stamp(x[y != target], mask, pattern), target).double()


@success.wrong("input")
def stamps_in_place(model, x, y, mask, pattern, target):
    x[:] = stamp(x, mask, pattern)
    return read_as(model, x[y != target], target).double().mean()


@success.wrong("attached")
def on_the_graph(model, x, y, mask, pattern, target):
    logits = model(stamp(x[y != target], mask, pattern))
    hit = (logits.argmax(1) == target).double()
    return hit.mean() + 0 * logits.sum()


@success.wrong("crash")
def mean_of_booleans(model, x, y, mask, pattern, target):
    return (model(stamp(x[y != target], mask, pattern)).argmax(1) == target).mean()


def several(task: PlainTask, draw: Draw) -> list[Case]:
    """Fresh questions, each with a model, a trigger and a target of its own."""
    return [task.case(draw) for _ in range(3)]


success.checks(
    answers,
    keeps_what_it_gets,
    gives(success, NUMBERS, make=several),
    other_device,
    leaves_nothing_behind,
)
