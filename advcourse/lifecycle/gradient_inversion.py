"""Gradient inversion: what an image's gradient gives away to whoever sees it, such as the server of a federated training."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcourse.core.inputs import (
    InputError,
    ask,
    check_classes,
    check_images,
    check_labels,
    check_model,
    check_range,
    check_seed,
    evaluating,
)
from advcourse.lifecycle.inversion import summed_variation
from advcourse.lifecycle.oracle import check_shape
from advcourse.lifecycle.poisoned import form

Gradients = Sequence[Tensor]  # one for each trained parameter of a model, in its order


def shared_gradient(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Return the gradient of the mean cross-entropy by each trained parameter: what a client sends to the server.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K).
        x: the client's images.
        y: their labels, (N,).

    Raises:
        InputError: model, images or labels break their contract.
    """
    y = check_labels(y, check_images(x))
    _check_trainable(check_model(model, x))
    with evaluating(model), torch.enable_grad():
        return tuple(gradient.detach() for gradient in _gradients(model, x, y))


def linear_input(weight: Tensor, bias: Tensor) -> Tensor:
    """Return the input of a linear layer, exactly, from the gradients of its weights and biases for a single image.

    For z = W x + b, the gradients are dJ/dW_i = dJ/dz_i * x and dJ/db_i = dJ/dz_i, hence x = (dJ/dW_i) / (dJ/db_i) for every
    unit i that had any effect. The one with the largest gradient is taken.

    Args:
        weight: dJ/dW, (units, inputs).
        bias: dJ/db, (units,).

    Returns:
        x, (inputs,).

    Raises:
        InputError: the shapes do not fit, or no unit had any effect.

    Source: Phong et al. 2018, "Privacy-Preserving Deep Learning via Additively Homomorphic Encryption", section 3.
    """
    real = all(isinstance(part, Tensor) and part.is_floating_point() for part in (weight, bias))
    if not real or weight.dim() != 2 or bias.shape != weight.shape[:1] or not len(bias):
        raise InputError(
            f"weight and bias: got {form(weight)} and {form(bias)}; allowed are (units, inputs) and (units,), the gradients of "
            f"one linear layer"
        )
    if not (weight.isfinite().all() and bias.isfinite().all()):
        raise InputError("weight and bias: got NaN or infinite values; allowed are finite gradients")
    unit = bias.abs().argmax()
    if bias[unit] == 0:
        raise InputError("bias: got only zeros; allowed is a gradient in which some unit had an effect")
    return weight[unit] / bias[unit]


def label_of(bias: Tensor) -> int:
    """Return the label of a single image, from the gradient of the last layer's biases, (K,): the only negative entry.

    The gradient of the cross-entropy by the logits is p - onehot(y), which is negative for the label alone.

    Raises:
        InputError: not exactly one entry is negative, so that this is no gradient of a single image.

    Source: Zhao, Mopuri and Bilen 2020, "iDLG: Improved Deep Leakage from Gradients", section 2.2 (arXiv 2001.02610).
    """
    if not isinstance(bias, Tensor) or not bias.is_floating_point() or bias.dim() != 1:
        raise InputError(f"bias: got {form(bias)}; allowed is the gradient of the last layer's biases, (K,)")
    negative = (bias < 0).nonzero().flatten()
    if len(negative) != 1:
        raise InputError(
            f"bias: got {len(negative)} negative entries; allowed is one, as in the gradient of a single image"
        )
    return int(negative)


@dataclass(frozen=True)
class GradientInversion:
    """Look for the images whose gradient points where the observed one does: Adam on the pixels, from random ones.

        min_{x in [0, 1]}  1 - cos(g(x), g*) + tv * TV(x) / pixels

    Zhu et al. compare gradients by their squared distance; the angle is what remains when the net has been trained for a while
    and gradients have become small. It works on fresh nets with smooth activations. Through ReLU the gradient has steps, and on
    a trained net most images have the same answer, and hardly any gradient.

    What stops it: much noise on the gradient. As long as the gradient itself, it still leaves a digit that one can read; ten
    times as long, as in DP-SGD with few images (`private`), it leaves nothing. Sums over many images hide each of them, too.

    Args:
        tv: weight of the total variation, a mean over the pixels (default 0.01).
        steps: number of steps (default 300).
        lr: Adam's learning rate (default 0.1), which falls to a tenth.
        seed: of the first images (default 0).

    Source: Zhu, Liu and Han 2019, "Deep Leakage from Gradients" (arXiv 1906.08935); the cosine and TV: Geiping, Bauermeister,
    Dröge and Moeller 2020, "Inverting Gradients", equation 4 (arXiv 2003.14053).
    """

    tv: float = 0.01
    steps: int = 300
    lr: float = 0.1
    seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "tv", check_range(self.tv, "tv", 0))
        object.__setattr__(self, "steps", check_range(self.steps, "steps", 1, integer=True))
        object.__setattr__(self, "lr", check_range(self.lr, "lr", 0, exclusive_low=True))
        object.__setattr__(self, "seed", check_seed(self.seed))

    def __call__(
        self, model: nn.Module, gradient: Gradients, shape: tuple[int, int, int], y: Tensor
    ) -> Tensor:
        """Return the images that were found.

        Args:
            model: the net as it was when the gradient was computed, images (N, C, H, W) in [0, 1] to logits (N, K).
            gradient: what was seen, one tensor for each trained parameter, as of `shared_gradient`.
            shape: of an image, (C, H, W).
            y: the labels, (N,); for a single image `label_of` tells it.

        Returns:
            images (N, C, H, W) in [0, 1].

        Raises:
            InputError: the gradient does not fit the model, or the labels do not.
        """
        shape, parameters = check_shape(shape), _check_trainable(model)
        whole = isinstance(gradient, Sequence) and all(isinstance(part, Tensor) for part in gradient)
        if not whole:
            raise InputError(
                f"gradient: got {form(gradient)}; allowed is a sequence of tensors, as of shared_gradient"
            )
        if not isinstance(y, Tensor) or y.dim() != 1 or not len(y):
            raise InputError(f"y: got {form(y)}; allowed are labels (N,), one or more")
        if [g.shape for g in gradient] != [p.shape for p in parameters]:
            raise InputError(
                f"gradient: got {len(gradient)} tensors; allowed is one for each of the model's {len(parameters)} "
                f"trained parameters, of the same shapes and in the same order"
            )
        generator = torch.Generator().manual_seed(self.seed)
        x = torch.rand(len(y), *shape, generator=generator).to(parameters[0]).requires_grad_()
        y = check_labels(y, x)
        seen = _flat(gradient)
        stepper = torch.optim.Adam([x], lr=self.lr)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(stepper, self.steps, self.lr / 10)
        with evaluating(model), torch.enable_grad():
            for _ in range(self.steps):
                own = _flat(_gradients(model, x, y, create_graph=True))
                smooth = summed_variation(x).mean() / x[0].numel()
                loss = 1 - F.cosine_similarity(own, seen, 0) + self.tv * smooth
                (x.grad,) = torch.autograd.grad(loss, x)
                stepper.step()
                falling.step()
                with torch.no_grad():
                    x.clamp_(0, 1)
        return x.detach()


def smooth_net(shape: tuple[int, int, int], classes: int, seed: int = 0) -> nn.Module:
    """Return a small fresh net with sigmoids and without pooling, of the kind whose gradients can be inverted.

    Two convolutions, the first with stride 2, and one linear layer; the weights are uniform in [-0.5, 0.5].

    Args:
        shape: of an image, (C, H, W).
        classes: K, at least 2.
        seed: of the weights (default 0).

    Source: the LeNet of Zhu et al. 2019 (arXiv 1906.08935), with one convolution less.
    """
    channels, height, width = check_shape(shape)
    classes = check_range(classes, "classes", 2, integer=True)
    flat = 12 * -(-height // 2) * -(-width // 2)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(check_seed(seed))
        net = nn.Sequential(
            nn.Conv2d(channels, 12, 5, stride=2, padding=2),
            nn.Sigmoid(),
            nn.Conv2d(12, 12, 5, padding=2),
            nn.Sigmoid(),
            nn.Flatten(),
            nn.Linear(flat, classes),
        )
        for parameter in net.parameters():
            nn.init.uniform_(parameter, -0.5, 0.5)
    return net.eval()


def _check_trainable(model):
    """Return the parameters that are trained; `InputError` if there are none, and so no gradient."""
    if not isinstance(model, nn.Module):
        raise InputError(f"model: got {type(model).__name__}; allowed is a torch.nn.Module")
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise InputError("model: got no trained parameters; allowed is a net that has a gradient")
    return parameters


def _gradients(model, x, y, create_graph=False):
    logits = ask(model, x)
    check_classes(y, logits.shape[1])
    parameters = [p for p in model.parameters() if p.requires_grad]
    return torch.autograd.grad(F.cross_entropy(logits, y), parameters, create_graph=create_graph)


def _flat(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors])
