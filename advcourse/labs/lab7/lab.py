"""The tasks of lab 7, in their order."""

from advcourse.labs.checks import Lab
from advcourse.labs.lab7 import (
    distillation_loss,
    eat_loss,
    igr_loss,
    mixed_loss,
    pat_loss,
    trades_loss,
    unmask,
    zero_share,
)

LAB = Lab(
    "lab7",
    (
        mixed_loss.mixed_loss,
        pat_loss.pat_loss,
        eat_loss.eat_loss,
        trades_loss.trades_loss,
        igr_loss.igr_loss,
        distillation_loss.distillation_loss,
        zero_share.zero_share,
        unmask.unmask,
    ),
)
