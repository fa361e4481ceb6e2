"""All that is shipped and was trained, by name: models, and the life cycle's results."""

import math
import os

from advcourse import models
from advcourse.core.inputs import check_choice
from advcourse.zoo import life, recipes


def names() -> tuple[str, ...]:
    """Return the names of the shipped models, and of the results that took many nets."""
    return (*recipes.RECIPES, *life.ARTEFACTS)


def again(name: str, out: str | os.PathLike) -> tuple[str, float, float]:
    """Make one of them anew, and compare it with the shipped one.

    Args:
        name: one of `names()`.
        out: the folder where the new one is written.

    Returns:
        what is compared, in words; the shipped number, NaN if there is none; and the new one.

    Raises:
        InputError: the name is unknown.
    """
    check_choice(name, "name", names())
    if name in life.ARTEFACTS:
        artefact = life.ARTEFACTS[name]
        return artefact.figure, *artefact.again(out)
    figure = recipes.RECIPES[name].figure
    before = models.card(name)[figure] if name in models.names(parts=True) else math.nan
    return figure, before, recipes.train_shipped(name, out)[figure]
