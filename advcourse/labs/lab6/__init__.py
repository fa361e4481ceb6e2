"""Lab 6, "The app must still run".

from advcourse.labs.lab6 import calls, check, hint, phone
check(extract)      # is the function right? If not, what is wrong, in a sentence
hint(extract)       # a nudge; hint(extract, 3) is nearly the answer
phone(manifest, program)    # what an app does in a day on the pocket phone
show(evade)         # how it fares against a detector that was trained on 3 000 apps

Each task has a file of its name: the right answer, wrong ones, and what is asked. `given` has what the notebook gives, `reading`
what answers share, `apps` and `leftovers` the apps, `nets` the models, `sets`, `evading`, `editing`, `delivering` and
`cleaning` what the judge asks, and `views` what `show` shows.
"""

from advcourse.labs.lab6.given import (
    ADDRESSED,
    ANDROID,
    CANDIDATES,
    HARDWARE_OF,
    KINDS,
    PERMISSION_FOR,
    PERMISSION_OF,
    SUSPICIOUS,
    calls,
    classes,
    phone,
)
from advcourse.labs.lab6.lab import LAB
from advcourse.labs.lab6.views import show

check, hint, TASKS = LAB.check, LAB.hint, LAB.tasks

__all__ = [
    "ADDRESSED",
    "ANDROID",
    "CANDIDATES",
    "HARDWARE_OF",
    "KINDS",
    "LAB",
    "PERMISSION_FOR",
    "PERMISSION_OF",
    "SUSPICIOUS",
    "TASKS",
    "calls",
    "check",
    "classes",
    "hint",
    "phone",
    "show",
]
