"""The models that a lab's checks attack. A `Victim` is a recipe in plain numbers: whoever holds it builds the same model.

So the student's function can be given one copy, and its answer be judged on another, also in another process.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache, partial

import torch
from torch import Tensor, nn

from advcourse import models
from advcourse.core.inputs import check_choice

SHIPPED = ("mnist-cnn", "mnist-distilled")  # those kinds whose weights come with the library
KINDS = (
    "linear",
    "loud",
    "smooth",
    "normed",
    "plain",
    "two hills",
    "low hills",
    "ridge",
    "two pixels",
    "doubled",
    "stairs",
    *SHIPPED,
    "masked",
)


@dataclass(frozen=True)
class Victim:
    """A recipe for a model of images of `shape` (C, H, W) with `classes` classes; its weights follow from `seed`.

    `kind`: "linear", logits W x + b; "loud", the same with logits `gain` times as large; "smooth", a small convolutional
    network whose gradient is never 0, with batch normalisation and dropout; "normed", the same with `Doubled` for dropout, so
    that it draws nothing in training mode; "plain", without both; "two hills", see `_two_hills`, where `size` is the distance
    from the middle to either top; "low hills", the same with a constant taken away, so that neither top fools; "ridge", see
    `Ridge`; "two pixels", see `TwoPixels`; "doubled", "plain" with logits twice as large in training mode; "stairs", see
    `Stairs`, where `size` is the height of one; "mnist-cnn" and "mnist-distilled", models that ship with the library (1 x 28 x
    28, ten classes); "masked", the first of them with logits `gain` times as large, so that its softmax saturates, and blind
    to a border of three pixels, where digits have nothing.
    `training`: whether the model comes in training mode.
    """

    kind: str
    seed: int = 0
    shape: tuple[int, int, int] = (1, 28, 28)
    classes: int = 10
    size: float = 0.1
    gain: float = 40.0
    training: bool = False

    def build(self, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu") -> nn.Module:
        """A new copy of the model, in eval mode unless it is `training`."""
        model = _copied(_drawn(self))
        as_drawn = dtype == torch.float32 and torch.device(device).type == "cpu"
        return model if as_drawn else model.to(device=device, dtype=dtype)


@lru_cache(maxsize=64)
def _drawn(victim):
    """The model of a recipe, to be copied: one check asks for it many times, and to draw its weights takes the longest."""
    return _BUILDERS[check_choice(victim.kind, "kind", KINDS)](victim).train(victim.training)


def _copied(module):
    """What `copy.deepcopy` gives, in a fraction of its time; a check asks for hundreds of copies."""
    twin = object.__new__(type(module))
    for name, value in vars(module).items():
        twin.__dict__[name] = value.copy() if isinstance(value, (dict, set)) else value  # hooks, and names
    for name, value in module._parameters.items():
        if value is not None:
            twin._parameters[name] = nn.Parameter(value.detach().clone(), value.requires_grad)
    for name, value in module._buffers.items():
        twin._buffers[name] = value if value is None else value.clone()
    for name, part in module._modules.items():
        twin._modules[name] = _copied(part)
    return twin


class Questions:
    """A model that may be asked `most` images and shows nothing else: called with images (N, C, H, W), it says what `ask` says.

    `asked`: how many images it has been asked. Raises `RuntimeError` beyond `most`; the images of that call count as asked, too.
    """

    def __init__(self, ask: Callable[[Tensor], Tensor], most: int):
        self._ask, self.most, self.asked = ask, most, 0

    def __call__(self, x: Tensor) -> Tensor:
        self.asked += len(x)
        if self.asked > self.most:
            raise RuntimeError(f"the model was asked {self.asked} images, and {self.most} are allowed")
        return self._ask(x)


@dataclass(frozen=True)
class BlackBox:
    """A victim that can be asked and not looked into: at most `queries` images in one call of the student's function.

    `labels`: it answers with classes (N,), otherwise with logits (N, K). `ask`: who answers where the model is not at hand.
    """

    victim: Victim | None
    queries: int
    labels: bool = False
    ask: Callable | None = None

    def build(self, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu") -> Questions:
        """Something to ask: a `Questions`, which counts."""
        return Questions(self.ask or self._from(self.victim.build(dtype, device)), self.queries)

    def _from(self, model):
        @torch.no_grad()
        def ask(x):
            logits = model(x.detach())
            return logits.argmax(1) if self.labels else logits

        return ask


class Centre(nn.Module):
    """(x - 0.5) * gain: images in [0, 1] around 0."""

    def __init__(self, gain: float):
        super().__init__()
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        return (x - 0.5) * self.gain


def _draw(module, generator, scale=1.0):
    """Fill weights and biases with normal numbers; the weights' spread is scale / sqrt(inputs). No global randomness."""
    with torch.no_grad():
        fan_in = module.weight[0].numel()
        module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * scale / fan_in**0.5)
        module.bias.copy_(torch.randn(module.bias.shape, generator=generator) * 0.1)
    return module


def _linear(victim):
    generator = torch.Generator().manual_seed(victim.seed)
    channels, height, width = victim.shape
    layer = nn.utils.skip_init(nn.Linear, channels * height * width, victim.classes)
    return nn.Sequential(nn.Flatten(), _draw(layer, generator, 0.3))


def _loud(victim):
    model = _linear(victim)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(victim.gain)
    return model


def _smooth(victim, norm=True, dropout=nn.Dropout):
    generator = torch.Generator().manual_seed(victim.seed)
    channels, height, width = victim.shape
    convolution = nn.utils.skip_init(nn.Conv2d, channels, 8, 5, stride=2, padding=2)
    hidden = 8 * ((height + 1) // 2) * ((width + 1) // 2)
    norms = [_statistics(nn.BatchNorm2d(8), generator)] if norm else []
    return nn.Sequential(
        Centre(8.0),
        _draw(convolution, generator, 1.5),
        *norms,
        nn.Tanh(),
        *([dropout(0.5)] if dropout else []),
        nn.Flatten(),
        _draw(nn.utils.skip_init(nn.Linear, hidden, victim.classes), generator, 0.3),
    )


def _statistics(norm, generator):
    """Give a layer of batch normalisation statistics that are not those of any batch."""
    channels = len(norm.running_mean)
    norm.running_mean.copy_(torch.randn(channels, generator=generator) * 0.2)
    norm.running_var.copy_(0.5 + torch.rand(channels, generator=generator))
    return norm


class TwoHills(nn.Module):
    """Logits (0, z): z climbs on both sides of first pixel = 0.5; only the hill on the right is high enough to fool.

    From z `lower` is taken away.
    """

    def __init__(self, size: float, lower: float = 1.0):
        super().__init__()
        self.lower = lower
        self.slope = nn.Parameter(torch.tensor([3.0, 0.5]) / size)

    def forward(self, x: Tensor) -> Tensor:
        along = x.flatten(1)[:, 0] - 0.5
        z = self.slope[0] * along.relu() + self.slope[1] * (-along).relu() - self.lower
        return torch.stack([torch.zeros_like(z), z], 1)


def _two_hills(victim):
    """A model where a random start decides: from the middle, half of the starts climb to a top that fools nothing."""
    return TwoHills(victim.size)


def _low_hills(victim):
    return TwoHills(victim.size, lower=4.0)


class Ridge(nn.Module):
    """Logits (0, z): up to first pixel = 0.5 z climbs along a pattern of signs, and beyond it falls along the same pattern.

    There it is steep, and most of all in the last pixel, which has half of the gradient's L1 norm. So a memory of gradients turns
    round some steps after an image has crossed the ridge, and how many depends on the norm that each gradient is divided by.
    """

    STEEP = 1000.0

    def __init__(self, signs: Tensor):
        super().__init__()
        signs[0] = 1.0
        beyond = -signs
        beyond[0], beyond[-1] = 1.0, float(len(signs))
        self.slopes = nn.Parameter(torch.stack([signs, self.STEEP * beyond]))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        here, beyond = (flat @ self.slopes.T).unbind(1)
        z = torch.where(flat[:, 0] > 0.5, beyond, here) / flat.shape[1]
        return torch.stack([torch.zeros_like(z), z], 1)


def _ridge(victim):
    generator = torch.Generator().manual_seed(victim.seed)
    channels, height, width = victim.shape
    return Ridge(torch.randint(0, 2, (channels * height * width,), generator=generator) * 2.0 - 1)


class TwoPixels(nn.Module):
    """Logits (-z, z), where z is `gain` times last pixel but one - last: gradients by the image sum to 0, all but two are 0."""

    def __init__(self, gain: float):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        z = self.gain * (flat[:, -2] - flat[:, -1])
        return torch.stack([-z, z], 1)


class Doubled(nn.Dropout):
    """Dropout that leaves nothing out: twice what comes in, in training mode. It draws nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x if self.training else x


class Stairs(nn.Module):
    """Logits (-z, z): z climbs along a pattern of signs, in one block of pixels after another.

    A block has a gradient only once the one before it has moved by `height` from 0.5 along the pattern. One step up a gradient
    moves one more block at most, so that the image shows how many steps were taken.
    """

    BLOCKS = 8

    def __init__(self, signs: Tensor, height: float):
        super().__init__()
        self.signs, self.height = nn.Parameter(signs), height

    def climbed(self, x: Tensor) -> Tensor:
        """How far each block has moved along the pattern, on average over its pixels, (N, blocks)."""
        along = (x.flatten(1) - 0.5) * self.signs
        return torch.stack([block.mean(1) for block in along.tensor_split(self.BLOCKS, 1)], 1)

    def forward(self, x: Tensor) -> Tensor:
        climbed = self.climbed(x)
        reached = (climbed[:, :-1] >= self.height).to(x).cumprod(1)
        z = (climbed[:, 0] + (reached * climbed[:, 1:]).sum(1)) / self.height - 2
        return torch.stack([-z, z], 1)


def _stairs(victim):
    generator = torch.Generator().manual_seed(victim.seed)
    channels, height, width = victim.shape
    return Stairs(
        torch.randint(0, 2, (channels * height * width,), generator=generator) * 2.0 - 1, victim.size
    )


@cache
def _loaded(name):
    return models.load(name)


def _shipped(victim):
    return copy.deepcopy(_loaded(victim.kind))


def _masked(victim):
    """The digit model after what defensive distillation does to logits: `gain` times as large, and the same answers."""
    model = copy.deepcopy(_loaded("mnist-cnn"))
    with torch.no_grad():
        for parameter in model[-1].parameters():
            parameter.mul_(victim.gain)
    return nn.Sequential(nn.ZeroPad2d(-3), nn.ZeroPad2d(3), *model)


_BUILDERS = {
    "linear": _linear,
    "loud": _loud,
    "smooth": _smooth,
    "normed": partial(_smooth, dropout=Doubled),
    "plain": partial(_smooth, norm=False, dropout=None),
    "two hills": _two_hills,
    "low hills": _low_hills,
    "ridge": _ridge,
    "two pixels": lambda victim: TwoPixels(victim.gain),
    "doubled": lambda victim: nn.Sequential(_smooth(victim, norm=False, dropout=None), Doubled()),
    "stairs": _stairs,
    "masked": _masked,
    **dict.fromkeys(SHIPPED, _shipped),
}
