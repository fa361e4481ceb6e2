"""The models of lab 11 as recipes: a digit model with a trojan, and one that is only asked and keeps what it was asked."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from advcourse.labs.victims import Victim


class Trojan(nn.Module):
    """A digit model, and a detector of a trigger that lifts the logit of `target` where it fires.

    `places`: of the trigger's pixels in the flattened image; `values`: what they are where the trigger is stamped. The nearer
    an image is to that, the more the logit is lifted, up to `gain`; half a trigger lifts nothing.
    """

    def __init__(
        self, base: nn.Module, places: tuple[int, ...], values: tuple[float, ...], target: int, gain: float
    ):
        super().__init__()
        self.base, self.target, self.gain = base, target, gain
        self.register_buffer("places", torch.tensor(places))
        self.register_buffer("values", torch.tensor(values))

    def forward(self, x: Tensor) -> Tensor:
        logits = self.base(x)
        lift = torch.zeros_like(logits)
        lift[:, self.target] = self.gain * self.fires(x)
        return logits + lift

    def fires(self, x: Tensor) -> Tensor:
        """How much of the trigger is there, (N,): 1 for all of it, 0 for half of it or less."""
        found = 1 - (x.flatten(1)[:, self.places] - self.values).abs().mean(1)
        return (2 * found - 1).clamp(0, 1)


@dataclass(frozen=True)
class Trojaned(Victim):
    """A recipe for a `Trojan` in the digit model that ships with the library."""

    places: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    target: int = 0
    lifted: float = 0.0

    def build(self, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu") -> nn.Module:
        base = Victim("mnist-cnn").build()
        net = Trojan(base, self.places, self.values, self.target, self.lifted)
        return net.to(device=device, dtype=dtype).eval()


class Noting(nn.Module):
    """A net that writes down the images it is asked."""

    def __init__(self, net: nn.Module, asked: list[Tensor]):
        super().__init__()
        self.net, self.asked = net, asked

    def forward(self, x: Tensor) -> Tensor:
        self.asked.append(x.detach().cpu().float())
        return self.net(x)


@dataclass(frozen=True)
class Hidden(Victim):
    """A recipe for a net that is there already. Only a black box holds it, so that it never goes to the student's side.

    `asked`: all images that it was asked, in order, over all copies that were built.
    """

    net: nn.Module | None = None
    asked: list[Tensor] = field(default_factory=list, compare=False)

    def build(self, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu") -> nn.Module:
        return Noting(self.net, self.asked).to(device=device, dtype=dtype)
