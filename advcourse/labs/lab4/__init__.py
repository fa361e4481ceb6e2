"""Lab 4, "Measuring honestly".

from advcourse.labs.lab4 import check, hint, show
check(median_size)     # is the function right? If not, what is wrong, in a sentence
hint(median_size)      # a nudge; hint(median_size, 3) is nearly the answer
show(median_size)      # what it says of real attacks, in a picture
"""

from advcourse.labs.lab4.tasks import LAB
from advcourse.labs.lab4.views import VIEWS
from advcourse.labs.showing import Show

check, hint, TASKS = LAB.check, LAB.hint, LAB.tasks
show = Show(LAB, VIEWS, infinite=("median_size",))

__all__ = ["LAB", "TASKS", "check", "hint", "show"]
