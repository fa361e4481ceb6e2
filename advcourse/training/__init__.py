"""Training networks: the loop that every training defense shares, augmentation, and checkpoints."""

from advcourse.training.fitting import (
    SCHEDULES,
    DivergenceError,
    History,
    Objective,
    constant,
    cross_entropy,
    fit,
    one_cycle,
)

__all__ = [
    "SCHEDULES",
    "DivergenceError",
    "History",
    "Objective",
    "constant",
    "cross_entropy",
    "fit",
    "one_cycle",
]
