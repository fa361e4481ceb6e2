"""Lab 8, "Transform, vote, detect; and get through".

from advcourse.labs.lab8 import check, hint, show
check(quantise)     # is the function right? If not, what is wrong, in a sentence
hint(quantise)      # a nudge; hint(quantise, 3) is nearly the answer
show(quantise)      # what it does to real digits or attacks, in a picture

Each task has a file of its name: the right answer, wrong ones, and what is asked. `gradients` holds what answers share,
`questions` what several tasks ask, `defended` the models behind a defense, and `views` the pictures.
"""

from advcourse.labs.checks import Lab
from advcourse.labs.lab8 import (
    bpda_gradient,
    eot_gradient,
    get_through,
    joint_flags,
    quantise,
    region_votes,
    squeeze_score,
    thermometer,
)
from advcourse.labs.lab8.views import VIEWS
from advcourse.labs.showing import Show

LAB = Lab(
    "lab8",
    (
        quantise.quantise,
        thermometer.thermometer,
        bpda_gradient.bpda_gradient,
        eot_gradient.eot_gradient,
        region_votes.region_votes,
        squeeze_score.squeeze_score,
        joint_flags.joint_flags,
        get_through.get_through,
    ),
)
check, hint, TASKS = LAB.check, LAB.hint, LAB.tasks
show = Show(LAB, VIEWS)

__all__ = ["LAB", "TASKS", "check", "hint", "show"]
