"""Cells inside the chapters that the reader fills in. They carry no points.

from advcourse import practice
practice.check(fgsm_step)     # right? If not, what is wrong, with the case worked out
practice.hint(fgsm_step)      # a nudge; practice.hint(fgsm_step, 2) says nearly all

`ch01`, `ch02`, ... are folders with the tasks of one chapter each, and each task has a file there: the author's answer, the
mistakes that are known by their results, and other right answers. A new file is found by its name. `tasks` says what a task is,
`asking` compares, `checking` has what the reader calls, and `pages` the parts of a chapter's cells that the tasks decide.
"""

from advcourse.practice.checking import check, hint
from advcourse.practice.pages import fold, heading, stub

__all__ = ["check", "fold", "heading", "hint", "stub"]
