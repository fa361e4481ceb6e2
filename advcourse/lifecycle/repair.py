"""Repair of a backdoored network that is not trained again: cut what clean images do not use, or train the trigger off."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from advcourse.core.inputs import InputError, check_images, check_labels, check_range, check_seed
from advcourse.lifecycle.features import activations, last_linear
from advcourse.lifecycle.poisoned import check_function
from advcourse.training import fit

Stamp = Callable[[Tensor], Tensor]


def fine_prune(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    share: float = 0.4,
    epochs: int = 5,
    lr: float = 1e-3,
    seed: int = 0,
) -> nn.Module:
    """Zero the hidden units that clean images use least, then tune on clean images; return a repaired copy in eval mode.

    Source: Liu, Dolan-Gavitt and Garg 2018, "Fine-Pruning: Defending Against Backdooring Attacks on Deep Neural Networks" (arXiv
    1805.12185): the backdoor may live in units that clean images leave idle.

    It fails on the course's digits. With 40 of 100 units cut and five epochs of tuning, the trigger still works on 98 % of them;
    with 70 cut the accuracy falls to 64 to 77 %, and once that is tuned back the trigger works on 77 to 91 %. Clean images, which
    never show the trigger, do not unlearn it.

    Args:
        model: a network whose last linear layer reads the hidden units.
        x, y: clean images (N, C, H, W) in [0, 1] and their labels (N,).
        share: of the hidden units that are zeroed, in [0, 1] (default 0.4); they stay zero.
        epochs: of the tuning; 0 prunes only (default 5).
        lr: Adam's rate (default 0.001).
        seed: of the order of the images (default 0).

    Raises:
        InputError: an argument is out of range, or the model has no linear layer.
    """
    y = check_labels(y, check_images(x))
    share = check_range(share, "share", 0, 1)
    epochs = check_range(epochs, "epochs", 0, integer=True)
    used = activations(model, x).mean(0)
    idle = used.argsort(stable=True)[: int(share * len(used) + 0.5)]
    pruned = copy.deepcopy(model)
    last = last_linear(pruned)
    kept = torch.ones(len(used), dtype=used.dtype, device=used.device)
    kept[idle] = 0
    # A mask before the layer, not zeroed weights: tuning would bring those back.
    cut = last.register_forward_pre_hook(lambda layer, given: (given[0] * kept,))
    if epochs:
        _tune(pruned, x, y, epochs, lr, seed)
    cut.remove()
    with torch.no_grad():
        last.weight[:, idle] = 0
    return pruned.eval()


def unlearn(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    stamp: Stamp,
    share: float = 0.2,
    epochs: int = 5,
    lr: float = 1e-3,
    seed: int = 0,
) -> nn.Module:
    """Tune on clean images, a share of which bear the hunted trigger under their right labels; return a repaired copy.

    Source: Wang et al. 2019, "Neural Cleanse", section 6.2: what the search found need not be the attacker's trigger; it only has
    to drive the same units. The result is at most as good as the hunt: give it the trigger of the right class.

    Args:
        model: the backdoored network; it is not changed.
        x, y: clean images (N, C, H, W) in [0, 1] and their labels (N,).
        stamp: `x -> x`, such as `lambda x: hunt.stamp(x, hunt.suspect)`.
        share: of the images that are stamped, in [0, 1] (default 0.2, the paper's).
        epochs, lr, seed: as for `fine_prune`; at least one epoch.

    Raises:
        InputError: an argument is out of range, or `stamp` returns something else than images of the same shape.
    """
    y = check_labels(y, check_images(x))
    check_function(stamp, "stamp", "a function of images, such as a Trigger")
    count = int(check_range(share, "share", 0, 1) * len(x) + 0.5)
    epochs = check_range(epochs, "epochs", 1, integer=True)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(check_seed(seed)))[:count]
    images = x.clone()
    if count:
        stamped = check_images(stamp(x[order]), "stamp(x)")
        if stamped.shape != images[order].shape:
            raise InputError(
                "stamp: returned images of another shape; allowed is that of the images it was given"
            )
        images[order] = stamped.detach()
    repaired = copy.deepcopy(model)
    _tune(repaired, images, y, epochs, lr, seed)
    return repaired.eval()


def _tune(model, x, y, epochs, lr, seed):
    fit(model, (x, y), epochs=epochs, batch_size=32, lr=lr, device=x.device, seed=seed, progress=False)
