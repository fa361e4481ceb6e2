"""Lab 1, "One step and many steps".

from advcourse.labs.lab1 import check, hint
check(fgsm)      # is the function right? If not, what is wrong, with the picture
hint(fgsm)       # a nudge; hint(fgsm, 3) is nearly the answer

Each task has a file of its own, with its hints, its answers and what is asked of them. `gradients` has what answers are made of,
`questions` what is asked of several tasks, `many_steps` and `many_starts` what is asked of some; `loud` has the models on which
the choice of the loss shows.
"""

from advcourse.labs.checks import Lab
from advcourse.labs.lab1 import bim, fgsm, llc, mifgsm, pgd, project, project_l2, rfgsm

LAB = Lab(
    "lab1",
    (
        fgsm.fgsm,
        llc.llc,
        rfgsm.rfgsm,
        project.project,
        bim.bim,
        mifgsm.mifgsm,
        pgd.pgd,
        project_l2.project_l2,
    ),
)
check, hint, measure, TASKS = LAB.check, LAB.hint, LAB.measure, LAB.tasks

__all__ = ["LAB", "TASKS", "check", "hint", "measure"]
