"""CROWN: linear functions that bound a network's margins over an L-infinity ball, found from the last layer to the first."""

import torch
from torch import Tensor, nn

from advcourse.core.inputs import InputError
from advcourse.defenses.bounds import Ends, interval, scale_and_shift
from advcourse.models.nets import Normalise

_ROWS = 128  # bounded together: more of them do not stay in the cache


def linear_margins(chain: list[nn.Module], ends: Ends, y: Tensor, tighten: bool) -> Tensor:
    """Return lower bounds (N, K) on Z_y - Z_j over the images between the two `ends`, each (N, C, H, W).

    Source: Zhang et al. 2018 (arXiv 1811.00866), theorem 3.2 with the adaptive lower line of section 4.

    Args:
        chain: the layers, in the type of the images.
        ends: the lowest and the highest images.
        y: (N,).
        tighten: whether the inputs of the ReLUs are bounded in the same way, instead of by intervals alone.

    Raises:
        InputError: a layer has no linear bounds.
    """
    parts = [_of_one(chain, (low[None], high[None]), label, tighten) for low, high, label in zip(*ends, y)]
    return torch.stack(parts)


def _of_one(chain, ends, label, tighten):
    """Return the bounds (K,) of one image, whose `ends` are (1, C, H, W)."""
    inputs = [ends]  # the bounds on each layer's input, and on the answer
    for k, layer in enumerate(chain):
        if tighten and isinstance(layer, nn.ReLU):
            inputs[k] = _tightened(chain[:k], inputs)
        inputs.append(interval(layer, *inputs[k]))
    classes = inputs[-1][0].shape[1]
    eye = torch.eye(classes, dtype=ends[0].dtype, device=ends[0].device)
    return _lowest(chain, inputs, eye[label] - eye)


def _tightened(chain, inputs):
    """Return the bounds on what the `chain` answers, made smaller where they do not tell the sign: only there does it matter."""
    low, high = inputs[len(chain)]
    places = ((low < 0) & (high > 0)).flatten().nonzero().squeeze(1)
    low, high = low.clone(), high.clone()
    for part in places.split(_ROWS):
        rows = low.new_zeros(len(part), low.numel()).scatter(1, part.unsqueeze(1), 1.0)
        least, most = _extremes(chain, inputs, rows.view(-1, *low.shape[1:]))
        low.view(-1)[part] = low.view(-1)[part].maximum(least)
        high.view(-1)[part] = high.view(-1)[part].minimum(most)
    return low, high


def _extremes(chain, inputs, rows):
    """Return a lower and an upper bound of each linear function in `rows` (S, ...) of the chain's answer: (S,) each."""
    constant, top = 0.0, len(chain)
    while top and not isinstance(chain[top - 1], nn.ReLU):  # on the affine layers both are the same
        top -= 1
        rows, more = _through(chain[top], rows, inputs[top])
        constant = constant + more
    below = chain[:top]
    return constant + _lowest(below, inputs, rows), constant - _lowest(below, inputs, -rows)


def _lowest(chain, inputs, rows):
    """Return a lower bound of each linear function in `rows` (S, ...) of the chain's answer: (S,)."""
    constant = rows.new_zeros(len(rows))
    for layer, ends in zip(reversed(chain), reversed(inputs[: len(chain)])):
        rows, more = _through(layer, rows, ends)
        constant = constant + more
    low, high = inputs[0]
    centre, radius = (high + low) / 2, (high - low) / 2
    return constant + ((rows * centre) - rows.abs() * radius).flatten(1).sum(1)


def _through(layer, rows, ends):
    """Write linear functions of a layer's output as lower bounds that are linear in its input: rows (S, ...), constants (S,)."""
    low, high = ends
    if isinstance(layer, nn.ReLU):
        # Where l < 0 < u, relu(z) <= u (z - l) / (u - l), and relu(z) >= z if u > -l, else 0: the smaller of the two areas.
        mixed = (low < 0) & (high > 0)
        width = torch.where(mixed, high - low, 1.0)
        above = torch.where(mixed, high / width, (high > 0).to(low))
        below = torch.where(mixed, (high > -low).to(low), (high > 0).to(low))
        shift = torch.where(mixed, -low * high / width, 0.0)
        negative = rows.clamp_max(0)
        return (rows * below).addcmul_(negative, above - below), negative.flatten(1) @ shift.flatten()
    if isinstance(layer, nn.Linear):
        constant = 0.0 if layer.bias is None else _sum(rows * layer.bias)
        return rows @ layer.weight, constant
    if isinstance(layer, nn.Conv2d):
        constant = 0.0 if layer.bias is None else rows.sum((2, 3)) @ layer.bias
        settings = layer.stride, layer.padding, layer.dilation, layer.groups
        size = (len(rows), *low.shape[1:])
        return nn.grad.conv2d_input(size, layer.weight, rows, *settings), constant
    if isinstance(layer, Normalise):
        return rows / layer.std, _sum(-rows * layer.mean / layer.std)
    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        scale, shift = scale_and_shift(layer, low)
        return rows * scale, _sum(rows * shift)
    if isinstance(layer, nn.Flatten):
        return rows.view(len(rows), *low.shape[1:]), 0.0
    raise InputError(f'model: has a layer {layer}, which only the method "ibp" knows')


def _sum(values):
    return values.flatten(1).sum(1)
