"""Lab 12, "Words and games".

from advcourse.labs.lab12 import check, hint, show
check(rank)      # is the function right? If not, what is wrong, in a sentence
hint(rank)       # a nudge; hint(rank, 3) is nearly the answer
show(swap)       # how it fares on real sentences and on the net of the chapter

Each task has a file of its name: the right answer, wrong ones, and what is asked. `reading`, `seeing` and `timing` have what
answers share, `nets` the models, `sentences` and `games` what the questions are made of, `swapping` what is asked of an attack on
words, and `views` what `show` shows.
"""

from advcourse.labs.lab12.lab import LAB
from advcourse.labs.lab12.views import show

check, hint, TASKS = LAB.check, LAB.hint, LAB.tasks

__all__ = ["LAB", "TASKS", "check", "hint", "show"]
