"""The tasks of lab 11, in their order."""

from advcourse.labs.checks import Lab
from advcourse.labs.lab11 import lira, noisy_gradient, poison, steal, success, suspects

LAB = Lab(
    "lab11",
    (
        poison.poison,
        success.success,
        suspects.suspects,
        lira.lira,
        noisy_gradient.noisy_gradient,
        steal.steal,
    ),
)
