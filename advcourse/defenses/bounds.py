"""Interval bounds on what a network answers to every image of an L-infinity ball."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcourse.core.inputs import InputError
from advcourse.models.nets import Normalise

Ends = tuple[Tensor, Tensor]  # the lowest and the highest values
_KNOWN = (
    *(
        nn.Sequential,
        nn.Identity,
        nn.Dropout,
        nn.Dropout2d,
        nn.MaxPool2d,
        nn.Conv2d,
        nn.BatchNorm1d,
        nn.BatchNorm2d,
    ),
    *(Normalise, nn.Linear, nn.ReLU, nn.Flatten),
)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def layers(model: nn.Module) -> list[nn.Module]:
    """Return the layers of a feed-forward network in order, without those that do nothing in eval mode.

    Raises:
        InputError: the network is no chain of layers that the bounds know; the message names the layer.
    """
    if not _does_what_its_class_says(model):
        kind = type(model).__name__
        raise InputError(
            f"model: has a layer {kind} with a forward of its own or a hook, which the bounds can't see; allowed are torch's own "
            "layers as they are, chained by nn.Sequential"
        )
    if isinstance(model, nn.Sequential):
        return [layer for part in model for layer in layers(part)]
    if isinstance(model, nn.Identity | nn.Dropout | nn.Dropout2d):
        return []
    if isinstance(model, nn.ReLU):
        return [nn.ReLU()]  # in place, it would change the bounds on its input
    if isinstance(model, nn.MaxPool2d) and model.padding == 0 and model.dilation == 1 and not model.ceil_mode:
        return [model]
    if isinstance(model, nn.Conv2d) and model.padding_mode == "zeros" and not isinstance(model.padding, str):
        return [model]
    if isinstance(model, nn.BatchNorm1d | nn.BatchNorm2d) and model.running_mean is not None:
        return [model]
    if isinstance(model, Normalise | nn.Linear | nn.Flatten):
        return [model]
    raise InputError(
        f"model: has a layer {model}; the bounds know chains (nn.Sequential) of Linear, Conv2d padded with zeros, ReLU, "
        "MaxPool2d, Flatten, Normalise, BatchNorm, Dropout and Identity"
    )


def _does_what_its_class_says(layer):
    """Whether a layer of a known class computes what that class does: a subclass may do otherwise, and a hook may change it."""
    known = next((kind for kind in _KNOWN if isinstance(layer, kind)), None)
    if known is None:
        return True  # told by name below
    plain = type(layer).forward is known.forward and type(layer).__call__ is nn.Module.__call__
    return plain and "forward" not in vars(layer) and not any(getattr(layer, hooks) for hooks in _HOOKS)


def ball(x: Tensor, eps: float) -> Ends:
    """Return the lowest and the highest image of the L-infinity ball around `x` (N, C, H, W), cut to [0, 1]."""
    return (x - eps).clamp_min(0), (x + eps).clamp_max(1)


def interval(layer: nn.Module, low: Tensor, high: Tensor) -> Ends:
    """Return bounds on a layer's output from bounds on its input.

    Of an affine layer they are W mu + b -+ |W| r, where mu and r are the centre and the radius of the input's interval.
    Source: Gowal et al. 2018, "On the Effectiveness of Interval Bound Propagation for Training Verifiably Robust Models",
    equations 6 and 7 (arXiv 1810.12715). Layers that grow with each input are applied to both ends.
    """
    if isinstance(layer, nn.Linear | nn.Conv2d):
        centre, radius = (high + low) / 2, (high - low) / 2
        middle, spread = layer(centre), _affine(layer, radius, layer.weight.abs())
        return middle - spread, middle + spread
    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        scale, shift = scale_and_shift(layer, low)
        ends = low * scale + shift, high * scale + shift
        return torch.minimum(*ends), torch.maximum(*ends)
    return layer(low), layer(
        high
    )  # ReLU, max-pooling, flattening; normalisation divides by a positive number


def scale_and_shift(layer: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor) -> Ends:
    """Return what batch normalisation multiplies with and adds in eval mode, each shaped to fit its input `x` (N, C, ...)."""
    scale = (layer.running_var + layer.eps).rsqrt()
    scale = scale if layer.weight is None else scale * layer.weight
    shift = -layer.running_mean * scale
    shift = shift if layer.bias is None else shift + layer.bias
    shape = (1, -1, *[1] * (x.dim() - 2))
    return scale.view(shape), shift.view(shape)


def _affine(layer, x, weight, bias=None):
    if isinstance(layer, nn.Linear):
        return F.linear(x, weight, bias)
    return F.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)


def interval_margins(model: nn.Module, low: Tensor, high: Tensor, y: Tensor) -> Tensor:
    """Return lower bounds (N, K) on Z_y - Z_j over the images between `low` and `high`, by intervals, differentiable.

    The last layer is merged with the difference: its bound is that of (w_y - w_j) h + b_y - b_j. The entry of y itself is 0.
    """
    *body, last = layers(model)
    for layer in body:
        low, high = interval(layer, low, high)
    if not isinstance(last, nn.Linear):
        ahead = low.gather(1, y.unsqueeze(1)) - high
        return ahead.scatter(1, y.unsqueeze(1), 0.0)
    rows = last.weight[y].unsqueeze(1) - last.weight  # (N, K, features)
    bias = 0.0 if last.bias is None else last.bias[y].unsqueeze(1) - last.bias
    centre, radius = (high + low) / 2, (high - low) / 2
    at_centre = torch.einsum("nkf,nf->nk", rows, centre)
    return at_centre - torch.einsum("nkf,nf->nk", rows.abs(), radius) + bias
