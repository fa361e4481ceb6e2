"""Lab 2's rooms."""

from museum.lab2 import best_pair, deepfool, distances, flow_loss, jsma, shortest_step, uap, warp

ROOMS = [
    module.room for module in (distances, shortest_step, deepfool, uap, best_pair, jsma, warp, flow_loss)
]
