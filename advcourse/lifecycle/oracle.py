"""An oracle: a model behind a counter, which answers as much as its owner lets it, and so many times."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcourse.core.inputs import InputError, check_choice, check_images, check_range, predict

AnswerKind = Literal["label", "top1", "probabilities"]


class QueryBudgetError(InputError):
    """More was asked than the budget allows. Nothing of that call was answered, and nothing was counted."""


class Oracle:
    """What a thief sees of a model: answers, each of which is counted, until the budget is used up.

    Each image costs one query, whatever it is: the thief's first images too, and an image that was asked before. To measure how
    good a theft was is the evaluator's work, who uses the model itself.

    An answer is a distribution over the classes (N, K), float64, so that one loss serves for all kinds:

    - "label": 1 for the label, 0 elsewhere;
    - "top1": the probability of the label; the rest is shared out equally, since the thief knows nothing of it;
    - "probabilities": all of them.

    The largest entry of an answer is always the label's. Rounding may level it with another class, or push what "top1" tells of
    it to the share of the others or below; then the label's probability is rounded up, by one unit of the last decimal. So a
    rounded answer gives the label away, as it does where a service tells the label and rounded probabilities. With `digits`, the
    entries of "probabilities" need not add up to 1.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K). It is asked in eval mode and without gradients.
        budget: the number of images that may be asked, at least 1.
        answers: see above (default "label").
        digits: round the probabilities to so many decimals, as a defense (default None: they are not rounded). With "label"
            there is nothing to round.

    Raises:
        InputError: an argument is out of range; or, when it is asked, the images are no images.
    """

    def __init__(
        self, model: nn.Module, budget: int, answers: AnswerKind = "label", digits: int | None = None
    ):
        if not isinstance(model, nn.Module):
            raise InputError(f"model: got {type(model).__name__}; allowed is a torch.nn.Module")
        self._model = model
        self.budget = check_range(budget, "budget", 1, integer=True)
        self.answers = check_choice(answers, "answers", get_args(AnswerKind))
        self.digits = None if digits is None else check_range(digits, "digits", 0, 15, integer=True)
        self.used = 0

    @property
    def left(self) -> int:
        """How many images can still be asked."""
        return self.budget - self.used

    def check_left(self, count: int) -> None:
        """Raise `QueryBudgetError` unless `count` more images can be asked."""
        count = check_range(count, "queries", 0, integer=True)
        if count > self.left:
            raise QueryBudgetError(
                f"queries: got {count}; allowed are {self.left} more, since {self.used} of {self.budget} are used"
            )

    def __call__(self, x: Tensor) -> Tensor:
        """Return the answers (N, K), float64, for images (N, C, H, W) in [0, 1].

        Raises:
            QueryBudgetError: N is more than what is left.
        """
        self.check_left(len(check_images(x)))
        told = predict(self._model, x).double().softmax(1)
        self.used += len(x)
        top, label = told.max(1, keepdim=True)
        if self.answers == "label":
            return F.one_hot(label.squeeze(1), told.shape[1]).double()
        others = told.shape[1] - 1
        if self.answers == "probabilities":
            return told if self.digits is None else self._rounded(told, label)
        if self.digits is not None:
            top = self._rounded(torch.cat([top, (1 - top) / others], 1), torch.zeros_like(label))[:, :1]
        return ((1 - top) / others).expand_as(told).scatter(1, label, top)

    def _rounded(self, told, label):
        """Round probabilities (N, K), and keep that of the label, at `label` (N, 1), above all others."""
        told = told.round(decimals=self.digits)
        top, others = told.gather(1, label), told.scatter(1, label, -1).amax(1, keepdim=True)
        raised = (top + 10.0**-self.digits).round(decimals=self.digits)
        return told.scatter(1, label, torch.where(top > others, top, raised))

    def classes(self, x: Tensor) -> int:
        """Return how many classes the answers to images like `x` have. Whoever offers a model says so: it costs no query."""
        return predict(self._model, check_images(x)[:0]).shape[1]

    def like(self, x: Tensor) -> Tensor:
        """Return the images in the type and on the device of the model's weights."""
        return x.to(next(self._model.parameters(), x))

    def __repr__(self) -> str:
        return f"Oracle({self.answers!r}, {self.used} of {self.budget} queries used)"


def check_shape(shape: tuple[int, int, int], name: str = "shape") -> tuple[int, int, int]:
    """Return `shape` as a tuple of integers; `InputError` unless it is that of an image, (C, H, W)."""
    if not isinstance(shape, tuple | list) or len(shape) != 3:
        raise InputError(f"{name}: got {shape!r}; allowed is (C, H, W), such as (1, 28, 28)")
    return tuple(check_range(side, name, 1, integer=True) for side in shape)


def solve_softmax_regression(oracle: Oracle, shape: tuple[int, int, int]) -> nn.Module:
    """Return a copy of a softmax regression, to rounding, from d + 1 answers with all probabilities.

    Each answer gives K - 1 linear equations, log p_k - log p_0 = (w_k - w_0) x + (b_k - b_0). The black image tells the biases,
    and an image with a single white pixel the weights of that pixel. Weights of class 0 are 0: softmax sees differences only.

    Args:
        oracle: answers "probabilities", over a net that is linear in its input; any other net is answered by a wrong copy.
        shape: of an image, (C, H, W), d = C * H * W.

    Returns:
        a module from images to logits, float64.

    Raises:
        InputError: the oracle does not tell probabilities, or tells a probability of 0, whose logarithm says nothing.
        QueryBudgetError: fewer than d + 1 queries are left.

    Source: Tramèr, Zhang, Juels, Reiter and Ristenpart 2016, "Stealing Machine Learning Models via Prediction APIs", section 4.1
    (arXiv 1609.02943), which asks random points.
    """
    shape = check_shape(shape)
    if not isinstance(oracle, Oracle) or oracle.answers != "probabilities":
        given = f"one that tells {oracle.answers!r}" if isinstance(oracle, Oracle) else repr(oracle)
        raise InputError(f"oracle: got {given}; allowed is an Oracle that tells 'probabilities'")
    d = math.prod(shape)
    oracle.check_left(d + 1)
    told = oracle(oracle.like(torch.cat([torch.zeros(1, d), torch.eye(d)]).view(-1, *shape)))
    if not (told > 0).all():
        raise InputError(
            "oracle: told a probability of 0; allowed are probabilities above 0, so it must not round to few digits"
        )
    logs = told.log() - told[:, :1].log()
    copy = nn.Sequential(nn.Flatten(), nn.Linear(d, told.shape[1])).to(told).requires_grad_(False)
    copy[1].bias.copy_(logs[0])
    copy[1].weight.copy_((logs[1:] - logs[0]).T)
    return copy.eval()
