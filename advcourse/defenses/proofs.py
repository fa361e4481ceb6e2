"""Proofs about networks without noise: bounds on their margins over a whole L-infinity ball."""

from copy import deepcopy
from typing import Literal

import torch
from torch import Tensor, nn

from advcourse.core.inputs import (
    ask,
    check_choice,
    check_classes,
    check_images,
    check_labels,
    check_model,
    check_range,
)
from advcourse.defenses.bounds import ball, interval_margins, layers
from advcourse.defenses.crown import linear_margins

Method = Literal["ibp", "crown-ibp", "crown"]


def margin_bounds(model: nn.Module, x: Tensor, y: Tensor, eps: float, method: Method = "crown") -> Tensor:
    """Return lower bounds on Z_y - Z_j over all images within `eps` of `x` in L-infinity, and in [0, 1].

    Where all of them are positive (that of y itself is 0), no image in the ball is read otherwise. That is a proof about the
    network as float64 computes it, up to that rounding; one that answers in float32 can differ where the bound is smaller than
    its own rounding. A negative bound says nothing.

    "ibp" passes intervals on from layer to layer. "crown" writes the margin as a linear function of the layer below, and so down
    to the image; a ReLU whose input lies between l < 0 < u is bounded by the line u (z - l) / (u - l) from above and by z or 0
    from below. "crown-ibp" takes l and u from intervals, "crown" finds them in the same way, layer by layer, and intersects both.

    Papers: Gowal et al. 2018 (arXiv 1810.12715) for "ibp"; Zhang, Weng, Chen, Hsieh and Daniel 2018, "Efficient Neural Network
    Robustness Certification with General Activation Functions" (arXiv 1811.00866) for "crown"; Zhang et al. 2020 (arXiv
    1906.06316) for "crown-ibp".

    Args:
        model: a chain of layers, see `layers`, from images (N, C, H, W) in [0, 1] to logits (N, K). "crown" knows no max-pooling.
        x, y: images and true labels (N,).
        eps: the radius, at least 0, in units of the pixel range.
        method: "ibp", "crown-ibp" or "crown" (default).

    Returns:
        (N, K) float64, in logits.

    Raises:
        InputError: an argument breaks its contract, or the model has a layer that the method does not know.

    Example:
        >>> proven = certified(margin_bounds(models.load("mnist-ibp"), x, y, 0.1), y)
    """
    check_model(model, check_images(x))
    y = check_labels(y, x)
    eps, method = check_range(eps, "eps", 0), check_choice(method, "method", ("ibp", "crown-ibp", "crown"))
    chain = [deepcopy(layer).double() for layer in layers(model)]
    exact = nn.Sequential(*chain).eval()
    with torch.no_grad():
        classes = ask(exact, x.new_zeros(1, *x.shape[1:]).double()).shape[1]
        check_classes(y, classes)
        if not len(x):
            return x.new_zeros(0, classes).double()
        ends = ball(x.detach().double(), eps)
        bounds = interval_margins(exact, *ends, y)
        if method != "ibp":
            bounds = torch.maximum(bounds, linear_margins(chain, ends, y, tighten=method == "crown"))
    return bounds


def certified(bounds: Tensor, y: Tensor) -> Tensor:
    """Return which images are proven to be read as `y` (N,) in the whole ball, from `margin_bounds`' (N, K): (N,) bool."""
    y = check_labels(y, bounds)
    check_classes(y, bounds.shape[1])
    return bounds.scatter(1, y.unsqueeze(1), torch.inf).amin(1) > 0
