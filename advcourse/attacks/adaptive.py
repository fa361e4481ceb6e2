"""BPDA and EOT: modules that replace a defense's missing or noisy gradient, so that any attack can be run against it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from advcourse.core.inputs import InputError, ask, check_range


class _HardForward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hard, soft):
        return hard.clone()

    @staticmethod
    def backward(ctx, gradient):
        return None, gradient


def _identity(x):
    return x


class BPDA(nn.Module):
    """Backward pass differentiable approximation: g(x) in the forward pass, another function's gradient in the backward pass.

    Paper: Athalye, Carlini and Wagner 2018, "Obfuscated Gradients Give a False Sense of Security: Circumventing Defenses to
    Adversarial Examples", section 4.1 (arXiv 1802.00420). If a defense f(g(x)) contains a function g without a useful
    gradient, and the smooth function g^ is close to g, then the gradient of f(g(x)) is approximated by the gradient of f at
    g(x) times the gradient of g^ at x. If g changes an image only little, the identity can serve as g^; this special case is
    the straight-through estimator.

    `backward` is called once for each call with gradients, and never without them. If g^ is random, it draws its numbers after
    g.

    Args:
        forward: g, a function or module that maps tensors to tensors. It is called without gradients.
        backward: g^, a function or module with the same output shape as g. Only its gradient is used, not its values (default:
            the identity, which costs no pass).

    Raises:
        InputError: an argument can't be called, or g(x) and g^(x) have different shapes.

    Example:
        >>> x_adv = PGD()(nn.Sequential(BPDA(quantise), model), x, y)
    """

    def __init__(self, forward: Callable[[Tensor], Tensor], backward: Callable[[Tensor], Tensor] = _identity):
        super().__init__()
        for function, name in ((forward, "forward"), (backward, "backward")):
            if not callable(function):
                raise InputError(f"{name}: got {function!r}; allowed is a function or module of images")
        self.hard, self.soft = forward, backward

    def forward(self, x: Tensor) -> Tensor:
        """Return g(x), with the gradient of g^ at x behind it if `x` requires gradients."""
        with torch.no_grad():
            hard = self.hard(x)
        if not (torch.is_grad_enabled() and x.requires_grad):
            return hard
        soft = self.soft(x)
        if soft.shape != hard.shape:
            given, allowed = tuple(soft.shape), tuple(hard.shape)
            raise InputError(f"backward: returned shape {given}; allowed is forward's, {allowed}")
        return _HardForward.apply(hard, soft)


class EOT(nn.Module):
    """Expectation over transformation: a random model's logits, averaged over `draws` calls, and so their gradients, too.

        Z(x) = 1/n sum_i f(t_i(x)).

    Papers: Athalye, Carlini and Wagner 2018, "Obfuscated Gradients Give a False Sense of Security", section 4.2 (arXiv
    1802.00420), after Athalye et al. 2018, "Synthesizing Robust Adversarial Examples" (arXiv 1707.07397), whose equation 2
    averages log P(y | t(x)).

    Why logits are averaged: log-probabilities would give the same differences between classes, because in each draw they are
    the logits minus one number that is the same for all classes. All attacks here depend only on those differences, except
    `JSMA`, which uses the slope of each logit; and for a model without randomness the mean of the logits is the model itself.
    Averaged votes have no gradient, and the gradient of averaged probabilities vanishes if every draw is certain.

    A call makes exactly `draws` calls of the model; the record of an attack counts them as one pass. All graphs are kept at
    once, so memory grows with `draws`. To measure whether an image fools the defense, call the defense, not this average.

    Args:
        model: a module from images (N, C, H, W) in [0, 1] to logits (N, K), which draws anew in each forward pass.
        draws: n, at least 1 (default 30, as when the first paper broke randomised resizing).

    Raises:
        InputError: `model` is not a module, or `draws` is below 1.

    Example:
        >>> x_adv = PGD()(EOT(defense, draws=30), x, y)
        >>> accuracy(defense, x_adv, y)
    """

    def __init__(self, model: nn.Module, draws: int = 30):
        super().__init__()
        if not isinstance(model, nn.Module):
            raise InputError(f"model: got {model!r}; allowed is a torch.nn.Module")
        self.model, self.draws = model, check_range(draws, "draws", 1, integer=True)

    def forward(self, x: Tensor) -> Tensor:
        # Separate calls instead of one long batch, because some defenses draw once for a whole batch.
        """Return the mean logits (N, K) of the images `x` (N, C, H, W)."""
        total = ask(self.model, x)
        for _ in range(self.draws - 1):
            total = total + ask(self.model, x)
        return total / self.draws
