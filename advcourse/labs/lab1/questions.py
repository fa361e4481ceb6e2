"""What lab 1 asks of most of its tasks, and the settings that they are asked with."""

from collections.abc import Callable

from torch import Tensor, nn

from advcourse.labs.checks import picture
from advcourse.labs.exercises import Case, Draw, Task
from advcourse.labs.lab1 import loud
from advcourse.labs.properties import (
    answers,
    asks_the_model,
    changes_the_images,
    keeps_what_it_gets,
    leaves_nothing_behind,
    other_device,
    other_shape,
    other_type,
    stays_in_the_box,
)
from advcourse.labs.verdicts import Finding

FIRST = (answers, keeps_what_it_gets, loud.skips_none, changes_the_images, asks_the_model, stays_in_the_box)
LAST = (other_type, other_shape, other_device, leaves_nothing_behind)
COLOUR = {"shape": (3, 20, 24)}
TWO_CLASSES = {"kind": "linear", "classes": 2, "grey": True}


def a_budget(draw: Draw, x: Tensor) -> dict[str, float]:
    """eps alone."""
    return {"eps": draw.number(0.1, 0.2)}


def library(attack: type, **fixed: object) -> Callable[[nn.Module, Case], Tensor]:
    """The library's attack with the settings of the case, and those that are `fixed`: what a right answer fools."""

    def images(model, case):
        names = [name for name in attack.__dataclass_fields__ if name in case.arguments]
        settings = {name: case[name] for name in names} | fixed
        return attack(**settings)(model, case["x"], case.labels)

    return images


def keys_but(task: Task, *others: str) -> list[str]:
    """The keys of a task's slips, each once and in their order, but for the `others`."""
    return [key for key in dict.fromkeys(slip.key for slip in task.slips) if key not in others]


def each_pixel_has_its_own(case: Case, noise: Tensor, images: Tensor) -> None:
    """Raise a `Finding` where `noise` (N, C, H, W) is the same in all channels, rows or columns of an image."""
    for dim, parts in ((1, "channels"), (2, "rows"), (3, "columns")):
        first, second = noise.unbind(dim)[:2]
        if ((first - second).abs() < 0.02).double().mean() > 0.9:
            told = (
                f"All {parts} of an image start with the same noise. Each value has its own: draw numbers for the whole shape "
                "of x, (N, C, H, W)."
            )
            raise Finding(f"one noise for all {parts}", told, picture(case, images, 0))
