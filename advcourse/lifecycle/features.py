"""What a network's last linear layer reads: the features in which filters look for poison, and in which collisions are made."""

import torch
from torch import Tensor, nn

from advcourse.core.inputs import InputError, are_integers, predict
from advcourse.lifecycle.poisoned import form


class Features(nn.Module):
    """A network without its last linear layer: images (N, C, H, W) to features (N, D), differentiable.

    In the course's networks these are the values after the last ReLU. The weights are shared with `model`.

    Args:
        model: images to logits, with an `nn.Linear` in it.

    Raises:
        InputError: the model has no linear layer.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        last_linear(model)
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        read = []
        hook = last_linear(self.model).register_forward_pre_hook(lambda layer, given: read.append(given[0]))
        try:
            self.model(x)
        finally:
            hook.remove()
        return read[0]


def last_linear(model: nn.Module) -> nn.Linear:
    """Return the last `nn.Linear` of `model`, in the order of its modules; `InputError` if it has none."""
    layers = (
        [part for part in model.modules() if isinstance(part, nn.Linear)]
        if isinstance(model, nn.Module)
        else []
    )
    if not layers:
        raise InputError(
            f"model: got {type(model).__name__} without nn.Linear; allowed is a network that ends in a linear layer"
        )
    return layers[-1]


def activations(model: nn.Module, x: Tensor, batch_size: int = 256) -> Tensor:
    """Return the features of the images `x` (N, C, H, W): (N, D), without a graph, in eval mode, `batch_size` at a time.

    Raises:
        InputError: the model has no linear layer, or breaks its contract.
    """
    return predict(Features(model), x, batch_size)


def check_features(
    h: Tensor, labels: Tensor, name: str = "h", labels_name: str = "labels"
) -> tuple[Tensor, Tensor]:
    """Return features (N, D) as float64 and labels (N,) as int64, both on the CPU; `InputError` if they are no such tensors."""
    if not isinstance(h, Tensor) or h.dim() != 2 or not h.is_floating_point() or not len(h):
        raise InputError(f"{name}: got {form(h)}; allowed is a floating-point tensor (N, D), N >= 1")
    if not torch.isfinite(h).all():
        raise InputError(f"{name}: got NaN or infinite values; allowed are finite activations")
    return h.detach().cpu().double(), check_given(labels, len(h), labels_name)


def check_given(labels: Tensor, n: int, name: str = "labels") -> Tensor:
    """Return the labels that `n` images were given, (n,), as int64 on the CPU; `InputError` if they are no class numbers."""
    if not isinstance(labels, Tensor) or labels.shape != (n,) or not are_integers(labels):
        raise InputError(f"{name}: got {form(labels)}; allowed are class numbers of shape ({n},)")
    labels = labels.detach().cpu().long()
    if n and int(labels.min()) < 0:
        raise InputError(f"{name}: got {int(labels.min())}; allowed are class numbers from 0")
    return labels
