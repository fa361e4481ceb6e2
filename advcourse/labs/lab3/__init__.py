"""Lab 3, "The nearest image that fools".

from advcourse.labs.lab3 import check, hint
check(cw_l2)     # is the function right? If not, what is wrong, with the picture
hint(cw_l2)      # a nudge; hint(cw_l2, 3) is nearly the answer

Each task has a file of its own name: the author's answer, right and wrong ones, and what is asked of them. `nearest` has what is
asked of cw_l2, `pieces` what answers to several tasks are made of, `questions` what is asked of most tasks.
"""

from advcourse.labs.checks import Lab
from advcourse.labs.lab3 import cw_l2, cw_loss, directions, ead, freeze, search, shrink, to_w
from advcourse.labs.lab3.around import around

LAB = Lab(
    "lab3",
    (
        to_w.to_w,
        cw_loss.cw_loss,
        search.search,
        cw_l2.cw_l2,
        shrink.shrink,
        ead.ead,
        directions.directions,
        freeze.freeze,
    ),
)

check, hint, measure, TASKS = LAB.check, LAB.hint, LAB.measure, LAB.tasks

__all__ = ["LAB", "TASKS", "around", "check", "hint", "measure"]
