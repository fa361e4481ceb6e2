"""Lab 7's rooms."""

from museum.lab7 import (
    distillation_loss,
    eat_loss,
    igr_loss,
    mixed_loss,
    pat_loss,
    trades_loss,
    unmask,
    zero_share,
)

ROOMS = [
    module.room
    for module in (
        mixed_loss,
        pat_loss,
        eat_loss,
        trades_loss,
        igr_loss,
        distillation_loss,
        zero_share,
        unmask,
    )
]
