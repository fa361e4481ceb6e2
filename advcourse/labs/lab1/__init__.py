"""Lab 1, "One step and many steps".

from advcourse.labs.lab1 import check, hint
check(fgsm)      # is the function right? If not, what is wrong, with the picture
hint(fgsm)       # a nudge; hint(fgsm, 3) is nearly the answer
"""

from advcourse.labs.lab1.tasks import LAB

check, hint, measure, TASKS = LAB.check, LAB.hint, LAB.measure, LAB.tasks

__all__ = ["LAB", "TASKS", "check", "hint", "measure"]
