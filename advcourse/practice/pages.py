"""The parts of a chapter's cells that the tasks decide: how a question begins, the code that is to be filled in, the answer."""

import inspect

from advcourse.core.inputs import check_choice
from advcourse.practice.checking import tasks

UNWRITTEN = "raise NotImplementedError()"


def _task(name):
    return tasks()[check_choice(name, "task", tuple(tasks()))]


def heading(name: str) -> str:
    """How the question begins: "**Your turn** · 3 minutes · easy"."""
    task = _task(name)
    return f"**Your turn** · {task.minutes} minute{'s' * (task.minutes > 1)} · {task.level}"


def stub(name: str) -> str:
    """The code cell: the function without its lines, and its check."""
    task = _task(name)
    head = f"def {name}({', '.join(task.parameters)}):"
    comment = f"    # Your answer in place of the next line. Stuck? practice.hint({name})"
    return "\n".join([head, comment, f"    {UNWRITTEN}", "", "", f"practice.check({name})"])


def answer(name: str) -> str:
    """The author's answer, as it is written in the chapter's file, without its decorator."""
    lines = inspect.getsource(_task(name).solution).splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("def "))
    return "\n".join(lines[first:])


def fold(name: str) -> str:
    """The Markdown that hides the author's answer until the reader unfolds it."""
    return f"<details><summary>One answer</summary>\n\n```python\n{answer(name)}\n```\n\n</details>"
