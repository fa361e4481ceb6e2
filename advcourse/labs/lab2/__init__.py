"""Lab 2, "The nearest boundary, and other ways to be near".

from advcourse.labs.lab2 import check, hint, measure
check(distances)      # is the function right? If not, what is wrong
hint(distances)       # a nudge; hint(distances, 3) is nearly the answer

Each task has a file of its name. `gradients` and `walks` have what answers are made of, `questions` what several tasks are asked.
"""

from advcourse.labs.checks import Lab
from advcourse.labs.lab2 import best_pair, deepfool, distances, flow_loss, jsma, shortest_step, uap, warp
from advcourse.labs.measuring import measure_universal

LAB = Lab(
    "lab2",
    (
        distances.distances,
        shortest_step.shortest_step,
        deepfool.deepfool,
        uap.uap,
        best_pair.best_pair,
        jsma.jsma,
        warp.warp,
        flow_loss.flow_loss,
    ),
)
check, hint, measure, TASKS = LAB.check, LAB.hint, LAB.measure, LAB.tasks

__all__ = ["LAB", "TASKS", "check", "hint", "measure", "measure_universal"]
