"""The notebooks that hold the cheats, with right answers beside them."""

import json
from functools import cache

from grading_tests import answer, content, exercise, solution

from hostile import (
    CHEATS,
    borrowing,
    breaking,
    disguises,
    faking,
    hiding,
    odd,
    outliving,
    patching,
    reaching,
    reading,
    seeds,
    uncounted,
    waiting,
    walls,
)

FAMILIES = (
    borrowing,
    breaking,
    disguises,
    faking,
    hiding,
    odd,
    outliving,
    patching,
    reaching,
    reading,
    seeds,
    uncounted,
    waiting,
    walls,
)
NAMES = [cheat.name for cheat in CHEATS]
BY_NAME = dict(zip(NAMES, CHEATS))
# The answers that stand beside a cheat: right ones, that are judged quickly, before it and after it.
HONEST = {
    "lab1": ("llc", "project", "project_l2"),
    "lab4": ("rate", "interval", "similarity", "win_rate"),
    "lab7": ("mixed_loss", "distillation_loss"),
    "lab8": ("quantise", "thermometer", "bpda_gradient", "joint_flags"),
}


def honest(lab):
    """The student's copy of a lab with the author's answers to some tasks; the others are left as they are."""
    book = exercise(lab)
    for cell in solution(lab).cells:
        if cell.id in HONEST[lab]:
            answer(book, cell.id, cell.source)
    return book


@cache
def source_of(name):
    cheat = BY_NAME[name]
    return cheat.source() if callable(cheat.source) else cheat.source


def submission(world, cheat):
    """The bytes of the notebook with this cheat in it."""
    book = answer(honest(cheat.lab), cheat.task, world.source(source_of(cheat.name), cheat.lab, cheat.task))
    cells = json.loads(content(book))
    (place,) = [i for i, cell in enumerate(cells["cells"]) if cell["id"] == cheat.task]
    for at, more in ((len(cells["cells"]), cheat.after), (place, cheat.before)):
        made = [
            {
                "cell_type": "code",
                "id": f"more-{at}-{i}",
                "metadata": {},
                "outputs": [],
                "execution_count": None,
            }
            | {"source": world.source(text, cheat.lab, cheat.task)}
            for i, text in enumerate(more)
        ]
        cells["cells"][at:at] = made
    return json.dumps(cells).encode()
