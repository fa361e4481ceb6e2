"""Lab 1, "One step and many steps".

from advcourse.labs.lab1 import check, hint
check(fgsm)      # is the function right? If not, what is wrong, with the picture
hint(fgsm)       # a nudge; hint(fgsm, 3) is nearly the answer

`tasks` has the tasks with their hints. `one_step`, `many_steps`, `many_starts` and `projections` have the judge's formulas and
the slips that it knows by their results, `loud` the models on which the choice of the loss shows.
"""

from advcourse.labs.lab1.tasks import LAB

check, hint, measure, TASKS = LAB.check, LAB.hint, LAB.measure, LAB.tasks

__all__ = ["LAB", "TASKS", "check", "hint", "measure"]
