"""Model inversion: what does a net think that a class looks like? And judges that say how much of it is true."""

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
    predict,
)
from advcourse.core.intervals import Interval, counted
from advcourse.data import ImageSet
from advcourse.lifecycle.poisoned import check_data
from advcourse.metrics.imperceptibility import ssim


@dataclass(frozen=True)
class Inversion:
    """Look for the image that a net is surest of, for each class: gradient descent on the pixels, from a black image.

        min_{x in [0, 1]}  J(x, k) + tv * TV(x) + l2 * ||x||^2

    J is the cross-entropy, TV the sum of the absolute differences between neighbouring pixels. Before each step, each image is
    moved by a few random pixels, around the edge, so that a stroke must count wherever it stands; it is moved back afterwards.

    What comes back is a prototype of the class, not an image that the net was trained on. The first paper showed faces because
    there each class was one person, whose photographs were all alike. And the net's own confidence proves nothing: it is 1.0 for
    images in which nobody can see a digit. Therefore see `judge_prototypes`.

    Args:
        tv: lambda_TV, weight of the total variation (default 0.002). It must suit the net: where 0.002 smooths the strokes, 0.02
            may leave an empty image.
        l2: lambda_2, weight of the squared length (default 0).
        roll: how far the images are moved at each step, in pixels along each axis (default 2).
        steps: number of steps (default 150).
        lr: Adam's learning rate (default 0.05).
        seed: of the moves (default 0).

    Source: Fredrikson, Jha and Ristenpart 2015, "Model Inversion Attacks that Exploit Confidence Information and Basic
    Countermeasures", algorithm 1 (CCS 2015); the prior and the moves as in Mahendran and Vedaldi 2015 (arXiv 1412.0035) and
    Yin et al. 2020 (arXiv 1912.08795).
    """

    tv: float = 0.002
    l2: float = 0.0
    roll: int = 2
    steps: int = 150
    lr: float = 0.05
    seed: int = 0

    def __post_init__(self):
        for name, low, whole in (("tv", 0, False), ("l2", 0, False), ("roll", 0, True), ("steps", 1, True)):
            object.__setattr__(self, name, check_range(getattr(self, name), name, low, integer=whole))
        object.__setattr__(self, "lr", check_range(self.lr, "lr", 0, exclusive_low=True))
        object.__setattr__(self, "seed", check_seed(self.seed))

    def __call__(self, model: nn.Module, start: Tensor, y: Tensor) -> Tensor:
        """Return an image for each wanted class.

        Args:
            model: images (N, C, H, W) in [0, 1] to logits (N, K). Its gradient is used: the attacker has the weights.
            start: the images to begin with, such as `torch.zeros(10, 1, 28, 28)`, (N, C, H, W) in [0, 1].
            y: the wanted classes, (N,).

        Returns:
            images (N, C, H, W) in [0, 1].

        Raises:
            InputError: model, images or classes break their contract.
        """
        y = check_labels(y, check_images(start, "start"))
        check_model(model, start)
        generator = torch.Generator().manual_seed(self.seed)
        x = start.detach().clone().requires_grad_()
        stepper = torch.optim.Adam([x], lr=self.lr)
        with evaluating(model), torch.enable_grad():
            for _ in range(self.steps):
                down, right = torch.randint(-self.roll, self.roll + 1, (2,), generator=generator).tolist()
                logits = ask(model, x.roll((down, right), (2, 3)), "start")
                check_classes(y, logits.shape[1])
                prior = self.tv * summed_variation(x) + self.l2 * x.square().flatten(1).sum(1)
                loss = F.cross_entropy(logits, y, reduction="sum") + prior.sum()
                (x.grad,) = torch.autograd.grad(loss, x)
                stepper.step()
                with torch.no_grad():
                    x.clamp_(0, 1)
        return x.detach()


def summed_variation(x: Tensor) -> Tensor:
    """Return the sum of the absolute differences between vertical and horizontal neighbours, (N,), of images (N, C, H, W).

    Source: Rudin, Osher and Fatemi 1992, in its anisotropic form.
    """
    return x.diff(dim=2).abs().flatten(1).sum(1) + x.diff(dim=3).abs().flatten(1).sum(1)


@dataclass(frozen=True)
class InversionVerdict:
    """What `judge_prototypes` says of N images that are to show N classes.

    Attributes:
        labels: what another net reads, (N,).
        readable: the share that it reads as the wanted class.
        own: SSIM to the mean image of the wanted class, (N,), float64.
        best_other: the highest SSIM to the mean of another class, (N,), float64.
        similar: the share that resembles its own class more than every other one.
    """

    labels: Tensor
    readable: Interval
    own: Tensor
    best_other: Tensor
    similar: Interval


def judge_prototypes(images: Tensor, y: Tensor, other: nn.Module, data: ImageSet) -> InversionVerdict:
    """Judge images by what the attacked net knows nothing of: another net's label, and the classes' mean images.

    Show `class_means(data)` beside the images, and judge them too: an image that says less than the mean of some digits, which
    everybody has, says nothing about this net.

    Args:
        images: (N, C, H, W) in [0, 1], H and W at least 7.
        y: the class that each is to show, (N,).
        other: a net of another architecture than the attacked one, which must not be the attacked one.
        data: real images of all classes, which `class_means` averages.

    Returns:
        the `InversionVerdict`.

    Raises:
        InputError: an argument breaks its contract, or there are no images.
    """
    y = check_labels(y, check_images(images, "images"))
    if not len(images):
        raise InputError("images: got none; allowed is one or more")
    means = class_means(data).to(images)
    if means.shape[1:] != images.shape[1:]:
        raise InputError(
            f"data: got images of shape {tuple(means.shape[1:])}; allowed is that of the judged ones, {tuple(images.shape[1:])}"
        )
    check_classes(y, len(means))
    labels = predict(other, images).argmax(1)
    scores = torch.stack([ssim(images, mean.expand_as(images)) for mean in means], 1)
    own = scores.gather(1, y[:, None]).squeeze(1)
    best_other = scores.scatter(1, y[:, None], -torch.inf).amax(1)
    n = len(images)
    readable, similar = int((labels == y).sum()), int((own > best_other).sum())
    return InversionVerdict(labels, counted(readable, n), own, best_other, counted(similar, n))


def class_means(data: ImageSet) -> Tensor:
    """Return the mean image of each class, (K, C, H, W).

    Raises:
        InputError: a class has no image.
    """
    counts = check_data(data).labels.bincount(minlength=len(data.classes))
    if int(counts.min()) == 0:
        raise InputError(
            f"data: got no image of class {data.classes[int(counts.argmin())]!r}; allowed is one or more of each"
        )
    return torch.stack([data.images[data.labels == k].mean(0) for k in range(len(counts))])
