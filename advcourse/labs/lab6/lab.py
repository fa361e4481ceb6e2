"""The tasks of lab 6, in their order."""

from advcourse.labs.checks import Lab
from advcourse.labs.lab6 import clean, edit, evade, evade_app, extract, monotone, step

LAB = Lab(
    "lab6",
    (
        extract.extract,
        step.step,
        evade.evade,
        edit.edit,
        evade_app.evade_app,
        clean.clean,
        monotone.monotone,
    ),
)
