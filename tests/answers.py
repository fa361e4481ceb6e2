"""The right and wrong answers to a lab's tasks, as the files of the tasks hold them."""

import importlib
from dataclasses import dataclass, field


@dataclass
class Room:
    """The answers to one task: `rights`, and `wrongs` with the key of the finding that each must meet."""

    task: str
    rights: list = field(default_factory=list)
    wrongs: list = field(default_factory=list)


def rooms(lab):
    """The `Room` of each task of a lab, in their order."""
    found = []
    for task in importlib.import_module(f"advcourse.labs.{lab}").LAB.tasks.values():
        if task.solution:
            found.append(Room(task.name, task.rights, task.wrongs))
        else:
            found.append(importlib.import_module(f"museum.{lab}.{task.name}").room)
    return found
