"""Gradient masking: training that flattens the loss around the images, in the hope that attacks find no gradient to follow."""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd
from torch.utils.data import Dataset

from advcourse.core.errors import called
from advcourse.core.inputs import (
    InputError,
    ask,
    check_answer,
    check_classes,
    check_field,
    check_images,
    check_labels,
    check_range,
    explained,
    predict,
    resolve_device,
)
from advcourse.training import History, Objective, fit
from advcourse.training.checkpoints import named
from advcourse.training.fitting import Pair


@dataclass(frozen=True)
class DeepContractive:
    """Deep contractive network: J(x, y) + sum_j lambda_j ||dh_j / dh_{j-1}||_F^2, which keeps each layer's own Jacobian small.

    Paper: Gu and Rigazio 2015, "Towards Deep Neural Network Architectures Robust to Adversarial Examples"
    (arXiv 1412.5068). The layers stand in for the whole network, whose Jacobian would cost one pass per class. The paper
    writes the norm without a square; the contractive autoencoder that the term comes from (Rifai et al. 2011) has the square,
    and so has this. h_0 is the image; a layer begins at a convolution or a dense layer and includes what follows up to the next
    one: activation, pooling, normalisation. The norms are means over the batch.

    A norm is estimated without bias as ||v^T dh_j / dh_{j-1}||^2, v ~ N(0, I) (Hutchinson's estimator), whatever the layer.
    For a dense layer it has a closed form, sum_k sigma'(a_k)^2 ||W_k||^2, which is the mean of the estimate. The draws come from
    the global random state, which `fit` sets from its seed. Batch normalisation in training mode mixes the images of a batch, and
    so their norms.

    What breaks it: any iterative attack with a slightly larger budget. The paper itself still finds an adversarial example for
    every image, with a distortion larger by about a tenth to a quarter. `PGD` (Madry et al. 2018, arXiv 1706.06083) and `CWL2`
    (Carlini and Wagner 2017, arXiv 1608.04644) need no adaptation. Report the distortion, not the success at one budget.

    Args:
        weight: lambda, one number for all layers, or a tuple with one per layer. Increase it until the accuracy on clean images
            has fallen by a point; the default, 3e-4, is the largest of a few tried that cost "mnist-small" no more than that,
            on 1 000 held-out digits of the training set.
        draws: draws of v per batch (default 1).

    Raises:
        InputError: an argument is out of range, the model is not an `nn.Sequential` of layers, or the number of weights is not
            the number of the model's layers.
    """

    weight: float | tuple[float, ...] = 3e-4
    draws: int = 1

    def __post_init__(self):
        if isinstance(self.weight, tuple):
            weight = tuple(check_range(value, "weight", 0) for value in self.weight)
            object.__setattr__(self, "weight", weight)
        else:
            check_field(self, "weight", 0)
        check_field(self, "draws", 1, integer=True)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss for the images x (N, C, H, W) in [0, 1] with labels y (N,): a scalar."""
        y = check_labels(y, check_images(x))
        logits, norms = contraction(model, x, self.draws)
        check_classes(y, logits.shape[1])
        weights = norms.new_tensor(self._weights(len(norms))).unsqueeze(1)
        return F.cross_entropy(logits, y) + (weights * norms).sum(0).mean()

    def _weights(self, n):
        if not isinstance(self.weight, tuple):
            return (self.weight,) * n
        if len(self.weight) != n:
            raise InputError(
                f"weight: got {len(self.weight)}; allowed is one for each of the model's {n} layers"
            )
        return self.weight


def layers(model: nn.Module) -> list[nn.Sequential]:
    """Split an `nn.Sequential` into its layers h_1, ..., h_L.

    Each begins with a convolution or a dense layer; the first begins at the image.

    Raises:
        InputError: the model is of another kind, or has no such layers.
    """
    parts = list(model) if isinstance(model, nn.Sequential) else []
    starts = [
        i for i, part in enumerate(parts) if any(isinstance(m, nn.Linear | _ConvNd) for m in part.modules())
    ]
    if not starts:
        raise InputError(
            f"model: got {type(model).__name__}; allowed is a torch.nn.Sequential with convolutions or dense layers"
        )
    bounds = [0, *starts[1:], len(parts)]
    return [nn.Sequential(*parts[start:end]) for start, end in zip(bounds, bounds[1:])]


def contraction(model: nn.Module, x: Tensor, draws: int = 1) -> tuple[Tensor, Tensor]:
    """Return the logits (N, K) of the images x (N, C, H, W), and ||dh_j / dh_{j-1}||_F^2 per layer and image (L, N), estimated.

    Both can be differentiated with respect to the weights. See `DeepContractive`.
    """
    h = image = x.detach().requires_grad_()
    norms = []
    with explained(model, x):
        for layer in layers(model):
            before, h = h, layer(h)
            if not isinstance(h, Tensor) or not h.requires_grad:
                break
            norms.append(torch.stack([_projected(before, h) for _ in range(draws)]).mean(0))
    return check_answer(h, image, torch.is_grad_enabled()), torch.stack(norms)


def _projected(before, after):
    """Return ||v^T d after / d before||^2 (N,) for one draw of v ~ N(0, I)."""
    v = torch.randn(after.shape).to(after)
    (product,) = torch.autograd.grad(after, before, v, create_graph=True)
    return product.flatten(1).square().sum(1)


@dataclass(frozen=True)
class InputGradientRegularization:
    """Input gradient regularisation: J(x, y) + weight * ||grad_x J(x, y)||_2^2, averaged over images, by double backpropagation.

    Paper: Ross and Doshi-Velez 2018, "Improving the Adversarial Robustness and Interpretability of Deep Neural Networks by
    Regularizing their Input Gradients" (arXiv 1711.09404). J is each image's own cross-entropy, and so is its gradient.

    DEEPSEC's code squares the norm of the gradient of the batch's mean loss, which is 1 / B^2 times the sum over the B images
    of ||grad_x J||^2. So its constant is B times too large for this class: `deepsec(316, 100)` is a weight of 3.16. Batch
    normalisation in training mode mixes the images of a batch, and so their gradients.

    What breaks it: PGD and C&W at the full budget (Madry et al. 2018, arXiv 1706.06083; Carlini and Wagner 2017,
    arXiv 1608.04644). The term flattens the loss at the image, and says nothing about the loss at distance eps; its gain at
    small budgets is real, and no gradient is hidden. Finlay and Oberman 2019, "Scaleable Input Gradient Regularization for
    Adversarial Robustness" (arXiv 1905.11468), discuss how little was thought of it, and what it takes to do better. Compare it
    at equal accuracy on clean images.

    Args:
        weight: lambda (default 3.16: DEEPSEC's 316 on MNIST, for its batches of 100). "mnist-small" keeps its clean accuracy at
            a weight of 1, and loses one to two points at 3.16.

    Raises:
        InputError: an argument is out of range.
    """

    weight: float = 3.16

    def __post_init__(self):
        check_field(self, "weight", 0)

    @classmethod
    def deepsec(cls, constant: float, batch_size: int) -> "InputGradientRegularization":
        """Return DEEPSEC's loss with its `constant` for batches of `batch_size` images: weight = constant / batch_size."""
        check_range(constant, "constant", 0)
        return cls(constant / check_range(batch_size, "batch_size", 1, integer=True))

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss for the images x (N, C, H, W) in [0, 1] with labels y (N,): a scalar."""
        y, x = check_labels(y, check_images(x)), x.detach().requires_grad_()
        logits = ask(model, x)
        check_classes(y, logits.shape[1])
        losses = F.cross_entropy(logits, y, reduction="none")
        (gradients,) = torch.autograd.grad(losses.sum(), x, create_graph=True)
        return (losses + self.weight * gradients.flatten(1).square().sum(1)).mean()


@dataclass(frozen=True)
class DefensiveDistillation:
    """Defensive distillation: the student learns, at temperature T, the teacher's answers at temperature T.

        L = -sum_k p_k log softmax(Z(x) / T)_k, p = softmax(Z_teacher(x) / T),

    after the teacher has learnt the labels with softmax(Z / T) as well: `teacher_objective(T)`. `distil` does both. The student
    is deployed at T = 1, unchanged: its logits are Z.

    Paper: Papernot et al. 2016, "Distillation as a Defense to Adversarial Perturbations against Deep Neural Networks"
    (arXiv 1511.04508). Teacher and student have the same architecture there. The teacher is evaluated in eval mode on the very
    images of each batch, so augmentation is allowed. The text of this objective includes a checksum of the teacher's weights, so
    that a checkpoint of another teacher is refused.

    Why it seems to work: the logits become about T times as large, so that at T = 1 the softmax of most images is 1 and 0 in
    float32, and the gradient of the cross-entropy exactly 0. What breaks it: removing that saturation. Divide the logits by T, or
    attack the logits: Carlini and Wagner 2016, "Defensive Distillation is Not Robust to Adversarial Examples" (arXiv 1607.04311),
    and 2017, "Towards Evaluating the Robustness of Neural Networks" (arXiv 1608.04644), whose three attacks succeed on every
    image. The gradient attacks of this package climb the log-odds, which do not saturate, so they break it unchanged.

    Args:
        teacher: a network that was trained with `teacher_objective(temperature)`, on the student's device. It is never changed.
        temperature: T (default 20.0, the paper's for MNIST; DEEPSEC uses 50).

    Raises:
        InputError: an argument is out of range, or `teacher` is missing or is the student.
    """

    teacher: nn.Module | None = None
    temperature: float = 20.0

    def __post_init__(self):
        check_field(self, "temperature", 0, exclusive_low=True)
        if not isinstance(self.teacher, nn.Module):
            raise InputError(
                f"teacher: got {self.teacher!r}; allowed is a torch.nn.Module trained with teacher_objective(T). "
                f"`distil` trains the teacher and then the student"
            )

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss for the images x (N, C, H, W) in [0, 1]: a scalar in nats. The labels y (N,) are only checked."""
        if model is self.teacher:
            raise InputError("teacher: got the student; allowed is another network, trained beforehand")
        y, soft, logits = check_labels(y, check_images(x)), self.soft_labels(x), ask(model, x)
        check_classes(y, logits.shape[1])
        if soft.shape != logits.shape:
            raise InputError(
                f"teacher: got {soft.shape[1]} classes; allowed are {logits.shape[1]}, the student's"
            )
        return F.cross_entropy(logits / self.temperature, soft)

    def soft_labels(self, x: Tensor) -> Tensor:
        """Return the teacher's answers to the images x (N, C, H, W) at temperature T: softmax(Z / T), (N, K)."""
        with called("teacher"):
            return (predict(self.teacher, x) / self.temperature).softmax(1)

    def __repr__(self):
        return f"DefensiveDistillation(teacher={named(self.teacher)}, temperature={self.temperature})"


class AtTemperature(nn.Module):
    """A model whose logits are divided by a temperature: Z(x) / T. The labels are the same; the softmax is softer for T > 1.

    It undoes defensive distillation: at the T of training the cross-entropy of a distilled network has its gradient back
    (Carlini and Wagner 2016, arXiv 1607.04311). Craft images on it and transfer them with `attacks.Transfer`.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K).
        temperature: T (default 20.0).

    Raises:
        InputError: the model is not an `nn.Module`, or the temperature is 0 or less.
    """

    def __init__(self, model: nn.Module, temperature: float = 20.0):
        super().__init__()
        if not isinstance(model, nn.Module):
            raise InputError(f"model: got {model!r}; allowed is a torch.nn.Module")
        self.model = model
        self.temperature = check_range(temperature, "temperature", 0, exclusive_low=True)

    def forward(self, x: Tensor) -> Tensor:
        return ask(self.model, x) / self.temperature


def tempered(model: nn.Module, x: Tensor, y: Tensor, temperature: float) -> Tensor:
    """Return the mean cross-entropy of softmax(Z / temperature) with the labels y (N,): a scalar in nats."""
    y, logits = check_labels(y, check_images(x)), ask(model, x)
    check_classes(y, logits.shape[1])
    return F.cross_entropy(logits / temperature, y)


def teacher_objective(temperature: float = 20.0) -> Objective:
    """Return the objective of the first stage of `DefensiveDistillation`: cross-entropy with the labels at `temperature`."""
    return partial(tempered, temperature=check_range(temperature, "temperature", 0, exclusive_low=True))


def distil(
    teacher: nn.Module,
    student: nn.Module,
    data: Dataset | Pair,
    temperature: float = 20.0,
    *,
    checkpoint: str | os.PathLike | None = None,
    **settings: Any,
) -> tuple[History, History]:
    """Run both stages of `DefensiveDistillation`: train `teacher`, then `student` on its answers; return both histories.

    Args:
        teacher, student: two networks, of the same architecture in the paper. Both are trained in place.
        data, settings: as for `training.fit`, the same in both stages. With augmentation the student sees new images.
        temperature: T of both stages (default 20.0).
        checkpoint: as for `fit`; each stage has its own file, NAME-teacher and NAME-student.

    Raises:
        InputError: as for `fit`; or the teacher is the student, or `settings` contains an objective.
    """
    if student is teacher:
        raise InputError("student: got the teacher; allowed is another network")
    if "objective" in settings:
        raise InputError("objective: not accepted here; distillation defines its own two")

    def file(stage):
        path = checkpoint and Path(checkpoint)
        return path and path.with_name(f"{path.stem}-{stage}{path.suffix}")

    first = fit(teacher, data, teacher_objective(temperature), checkpoint=file("teacher"), **settings)
    second = DefensiveDistillation(teacher, temperature)
    home = next(teacher.parameters()).device
    teacher.to(resolve_device(settings.get("device", "auto")))  # where the student learns
    try:
        return first, fit(student, data, second, checkpoint=file("student"), **settings)
    finally:
        teacher.to(home)
