"""Lab 11, "From the first sample to the last query".

from advcourse.labs.lab11 import check, hint, packed, show, two_means
check(poison)       # is the function right? If not, what is wrong, in a sentence
hint(poison)        # a nudge; hint(poison, 3) is nearly the answer
show(poison)        # what it does to digits and nets, in a picture

Each task has a file of its name: the right answer, wrong ones, and what is asked. `given` has what the notebook gives; `sets`
what the judge draws, and the small net that learns from it; `nets` the models; `poisoning`, `clustering`, `confidences`,
`noising` and `thief` what the judge asks; and `views` the pictures.
"""

from advcourse.labs.lab11.given import packed, two_means
from advcourse.labs.lab11.lab import LAB
from advcourse.labs.lab11.views import show

check, hint, TASKS = LAB.check, LAB.hint, LAB.tasks

__all__ = ["LAB", "TASKS", "check", "hint", "packed", "show", "two_means"]
