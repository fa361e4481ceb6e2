"""In the place of a defense's missing or noisy gradient: BPDA and EOT, as modules that every attack takes."""

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
    """Backward pass differentiable approximation: forward g(x), backward the gradient of another function at the same x.

    Paper: Athalye, Carlini and Wagner 2018, "Obfuscated Gradients Give a False Sense of Security: Circumventing Defenses to
    Adversarial Examples", section 4.1 (arXiv 1802.00420). Where a defense f(g(x)) has a g without a useful gradient, and a smooth
    g^ is near g, the gradient of f(g(x)) is approximated by that of f at g(x), times that of g^ at x. The special case of the
    identity, for a g that leaves an image much as it was, is the straight-through estimator.

    Args:
        forward: g, a function or module of tensors, without a useful gradient of its own, which is never asked for.
        backward: g^, of which g's input is differentiated; its values are not used (default: the identity, without a pass).

    `backward` is called once for each call with gradients, and not at all without them. A random g^ draws after g.

    Example:
        >>> x_adv = PGD()(nn.Sequential(BPDA(quantise), model), x, y)

    Raises:
        InputError: an argument that can't be called; g(x) and g^(x) of different shapes.
    """

    def __init__(self, forward: Callable[[Tensor], Tensor], backward: Callable[[Tensor], Tensor] = _identity):
        super().__init__()
        for function, name in ((forward, "forward"), (backward, "backward")):
            if not callable(function):
                raise InputError(f"{name}: got {function!r}; allowed is a function or module of images")
        self.hard, self.soft = forward, backward

    def forward(self, x: Tensor) -> Tensor:
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
    """Expectation over transformation: the mean over `draws` of a random model's logits, and so of their gradients.

    Z(x) = 1/n sum_i f(t_i(x)), whose gradient is the mean of f(t_i(x))'s: Athalye, Carlini and Wagner 2018, "Obfuscated Gradients
    Give a False Sense of Security", section 4.2 (arXiv 1802.00420), after Athalye et al. 2018, "Synthesizing Robust Adversarial
    Examples" (arXiv 1707.07397), whose equation 2 averages log P(y | t(x)). Of log-probabilities the mean would have the same
    differences between classes: each draw's are its logits less one number for all classes. All attacks here go by those
    differences, save `JSMA`, which reads each logit's own slope; so logits it is, and of a model that draws nothing the mean is
    the model. Averaged votes have no gradient, and averaged probabilities one that vanishes where all draws are sure.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K), with fresh draws in each forward pass.
        draws: n (default 30, that of the 2018 papers' break of randomised resizing).

    A call makes exactly `draws` calls of the model; an attack's record counts them as one pass. All graphs are kept at once,
    so memory grows with `draws`. Whether an image fools the defense is asked of the defense, not of this average.

    Example:
        >>> x_adv = PGD()(EOT(defense, draws=30), x, y)
        >>> accuracy(defense, x_adv, y)

    Raises:
        InputError: a model that is no module; fewer than one draw.
    """

    def __init__(self, model: nn.Module, draws: int = 30):
        super().__init__()
        if not isinstance(model, nn.Module):
            raise InputError(f"model: got {model!r}; allowed is a torch.nn.Module")
        self.model, self.draws = model, check_range(draws, "draws", 1, integer=True)

    def forward(self, x: Tensor) -> Tensor:
        # Call after call, and not one long batch: some defenses draw once for a whole batch.
        total = ask(self.model, x)
        for _ in range(self.draws - 1):
            total = total + ask(self.model, x)
        return total / self.draws
