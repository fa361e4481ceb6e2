"""Lab 4's rooms."""

from museum.lab4 import destruction, interval, median_size, on_common, rate, similarity, win_rate, worst_case

ROOMS = [
    module.room
    for module in (rate, interval, median_size, on_common, similarity, destruction, worst_case, win_rate)
]
