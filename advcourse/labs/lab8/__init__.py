"""Lab 8, "Transform, vote, detect; and get through".

from advcourse.labs.lab8 import check, hint, show
check(quantise)     # is the function right? If not, what is wrong, in a sentence
hint(quantise)      # a nudge; hint(quantise, 3) is nearly the answer
show(quantise)      # what it does to real digits or attacks, in a picture
"""

from advcourse.labs.lab8.tasks import LAB
from advcourse.labs.lab8.views import VIEWS
from advcourse.labs.showing import Show

check, hint, TASKS = LAB.check, LAB.hint, LAB.tasks
show = Show(LAB, VIEWS)

__all__ = ["LAB", "TASKS", "check", "hint", "show"]
