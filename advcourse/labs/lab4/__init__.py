"""Lab 4, "Measuring honestly".

from advcourse.labs.lab4 import check, hint, show
check(median_size)     # is the function right? If not, what is wrong, in a sentence
hint(median_size)      # a nudge; hint(median_size, 3) is nearly the answer
show(median_size)      # what it says of real attacks, in a picture

Each task has a file: the author's answer, the mistakes that the judge knows, other answers, and what is asked of them all.
"""

from advcourse.labs.checks import Lab
from advcourse.labs.lab4 import (
    destruction,
    interval,
    median_size,
    on_common,
    rate,
    similarity,
    win_rate,
    worst_case,
)
from advcourse.labs.lab4.views import VIEWS
from advcourse.labs.showing import Show

LAB = Lab(
    "lab4",
    (
        rate.rate,
        interval.interval,
        median_size.median_size,
        on_common.on_common,
        similarity.similarity,
        destruction.destruction,
        worst_case.worst_case,
        win_rate.win_rate,
    ),
)
check, hint, TASKS = LAB.check, LAB.hint, LAB.tasks
show = Show(LAB, VIEWS, infinite=("median_size",))

__all__ = ["LAB", "TASKS", "check", "hint", "show"]
