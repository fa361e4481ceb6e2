"""Lab 8, "Transform, vote, detect; and get through".

from advcourse.labs.lab8 import check, hint, show
check(quantise)     # is the function right? If not, what is wrong, in a sentence
hint(quantise)      # a nudge; hint(quantise, 3) is nearly the answer
show(quantise)      # what it does to real digits or attacks, in a picture
"""

from advcourse.labs.lab8.showing import show
from advcourse.labs.lab8.tasks import LAB

check, hint, TASKS = LAB.check, LAB.hint, LAB.tasks

__all__ = ["LAB", "TASKS", "check", "hint", "show"]
