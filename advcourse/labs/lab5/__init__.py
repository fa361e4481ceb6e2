"""Lab 5, "Out of the screen".

from advcourse.labs.lab5 import check, hint, show
check(homography)     # is the function right? If not, what is wrong, in a sentence
hint(homography)      # a nudge; hint(homography, 3) is nearly the answer
show(homography)      # what it does to signs, printers and photographs, in a picture

Each task has a file of its name: the right answer, wrong ones, and what is asked. `cameras` has the cameras and nets that the
answers get, `photographs` what tasks about a phone share, `gains` what an attack must gain there, `road` what is asked of a
sticker, and `views` the pictures.
"""

from advcourse.labs.checks import Lab
from advcourse.labs.lab5 import destruction, eot_gradient, eot_pgd, homography, nps, printed, sticker
from advcourse.labs.lab5.views import VIEWS
from advcourse.labs.showing import Show

LAB = Lab(
    "lab5",
    (
        destruction.destruction,
        homography.homography,
        printed.printed,
        nps.nps,
        eot_gradient.eot_gradient,
        eot_pgd.eot_pgd,
        sticker.sticker,
    ),
)
check, hint, TASKS = LAB.check, LAB.hint, LAB.tasks
show = Show(LAB, VIEWS)

__all__ = ["LAB", "TASKS", "check", "hint", "show"]
