"""Lab 8's rooms."""

from museum.lab8 import (
    bpda_gradient,
    eot_gradient,
    get_through,
    joint_flags,
    quantise,
    region_votes,
    squeeze_score,
    thermometer,
)

ROOMS = [
    module.room
    for module in (
        quantise,
        thermometer,
        bpda_gradient,
        eot_gradient,
        region_votes,
        squeeze_score,
        joint_flags,
        get_through,
    )
]
