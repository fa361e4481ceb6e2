"""The right and wrong answers to a lab's tasks, as the files of the tasks hold them."""

import importlib
from dataclasses import dataclass


@dataclass
class Room:
    """The answers to one task: `rights`, and `wrongs` with the key of the finding that each must meet."""

    task: str
    rights: list
    wrongs: list


def rooms(lab):
    """The `Room` of each task of a lab, in their order."""
    tasks = importlib.import_module(f"advcourse.labs.{lab}").LAB.tasks.values()
    return [Room(task.name, task.rights, task.wrongs) for task in tasks]
