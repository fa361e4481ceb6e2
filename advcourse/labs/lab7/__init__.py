"""Lab 7, "Training a defense, and breaking it".

from advcourse.labs.lab7 import check, climb, hint, train
check(pat_loss)     # is the function right? If not, what is wrong, in a sentence
hint(pat_loss)      # a nudge; hint(pat_loss, 3) is nearly the answer
train(pat_loss)     # what a small net learns by it, in a picture
"""

from advcourse.labs.lab7.given import climb
from advcourse.labs.lab7.lab import LAB
from advcourse.labs.lab7.trying import show, train

check, hint, measure, TASKS = LAB.check, LAB.hint, LAB.measure, LAB.tasks

__all__ = ["LAB", "TASKS", "check", "climb", "hint", "measure", "show", "train"]
