"""A printer and a camera, differentiable: printed images in a phone's photograph, signs at the side of a road.

The order is that of the light: surface, printer, pose, illumination, resampling by lens and sensor, noise, tone curve, rounding
to 8 bit, JPEG. The tone curve comes after the sampling, as in a camera. `Phone` and `Road` are transformations, as those of
`advcourse.data.transformations`; `photograph` is the same with gradients, for attacks that expect it (expectation over
transformation, `advcourse.attacks.adaptive.EOT`); `augment` is the same for training.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advcourse.cases.geometry import askew
from advcourse.cases.lighting import draw_light
from advcourse.cases.optics import (
    blur_matrices,
    blurred,
    developed,
    in_channels_of,
    resize_matrix,
    sampled,
    sensor_matrix,
    stored,
    toned,
)
from advcourse.cases.printer import CORNERS, palette, printed
from advcourse.core.inputs import (
    InputError,
    ask,
    check_field,
    check_flag,
    check_images,
    check_range,
    check_seed,
)
from advcourse.data.sign_scenes import COLUMNS, Draws, image_to_plate, surroundings, with_plate
from advcourse.data.transformations import Transformation

__all__ = ["CORNERS", "Camera", "Phone", "Photographed", "Road", "palette", "printed"]

BLOCK = 4  # points of the scene along each side of a printed pixel
BAND = (
    2**18
)  # points of the scenes that are drawn at once: so many that the processor's cache holds what is made of them
VIEW = (
    32  # random numbers of a photograph, besides its surroundings and its noise: at least as many as it uses
)
FOCAL_LENGTH = 1000.0  # of the camera at the road, in pixels
PLATE = 0.75  # side of a road sign, in metres
CROP = 1.15  # side of what is cut out around a sign, in sides of the sign


@dataclass(frozen=True)
class Camera(Transformation):
    """Base class of `Phone` and `Road`: `camera(x)` photographs a batch without gradients, `camera.photograph(x)` with them.

    Everything random about a photograph follows from the seed and from its place, a whole number: by default its position in
    the batch. So a photograph does not depend on the others in its batch, nor on device or type, up to rounding.
    """

    def photograph(self, x: Tensor, places: Sequence[int] | None = None, seed: int | None = None) -> Tensor:
        """Photograph images, differentiably; rounding and JPEG count as the identity in the backward pass.

        Args:
            x: what is photographed, shape (N, C, H, W), in [0, 1].
            places: whole numbers from 0, one for each photograph (default 0 to N - 1). If `x` is a single image, each place
                gives a photograph of it.
            seed: replaces the camera's own seed (default: does not).

        Returns:
            photographs in [0, 1], one for each place, of the type and on the device of `x`.

        Raises:
            InputError: an argument has another form.
        """
        self._check(check_images(x))
        chosen = _check_places(x, places)
        seed = check_seed(self.seed if seed is None else seed)
        if not chosen:
            return self._none(x)
        if x.dtype.itemsize < 4:  # too coarse for coordinates
            return self.photograph(x.float(), chosen, seed).to(x)
        return self._photograph(x, [np.random.default_rng((seed, place)) for place in chosen])

    def augment(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Photograph training images with new draws: for the argument `augment` of `training.fit`."""
        with torch.no_grad():
            return self.photograph(x, seed=int(torch.randint(2**62, (), generator=generator)))

    def _change(self, x, first):
        return self.photograph(x, range(first, first + len(x)))

    def _check(self, x):
        """Raise `InputError` unless the camera can photograph images of this shape."""
        raise NotImplementedError

    def _photograph(self, x, generators):
        """Return one photograph for each generator, of as many images `x` or of one."""
        raise NotImplementedError


@dataclass(frozen=True)
class Phone(Camera):
    """Print images and photograph them carelessly with a phone; the photograph is cut out along the images' edges.

    After Kurakin, Goodfellow and Bengio 2017, "Adversarial Examples in the Physical World", section 3 (arXiv 1607.02533), who
    did it with paper. Each pixel is printed as a square, on white paper. At strength 1: the printer's colours (`printed`);
    corners that are found up to 0.8 pixels off; light that varies by up to 25 % over the image, exposure +-25 %, colour cast
    +-12 %, moire 3 %; Gaussian blur of 0.35 to 0.9 pixels; noise of standard deviation 0.02; a tone curve with exponent 0.8 to
    1.2; 8 bit, JPEG of quality 80 to 95. All of this is drawn per image, and grows in proportion to the strength.

    Args:
        strength: 0 (the images themselves) to 2 (default 1).
        jpeg: whether the photograph is stored as JPEG (default True).
        seed: seed of the draws (default 0).

    Images have 1 or 3 channels and any size; the photographs have the same. Grey images are printed and photographed in colour,
    and then turned to grey.

    Example:
        >>> after = predict(model, Phone()(x_adv))
    """

    strength: float = 1.0
    jpeg: bool = True
    seed: int = 0
    _words = "phone photograph {0.strength:g}"

    def __post_init__(self):
        check_field(self, "strength", 0, 2)
        object.__setattr__(self, "jpeg", check_flag(self.jpeg, "jpeg"))
        check_field(self, "seed", 0, 2**63 - 1, integer=True)

    def _check(self, x):
        if x.shape[1] not in (1, 3):
            raise InputError(f"x: got images of {x.shape[1]} channels; allowed are 1 or 3")

    def stages(self, x: Tensor, place: int = 0) -> dict[str, Tensor]:
        """Return what becomes of one image on its way, in order; the last is what `photograph` returns for that place.

        Args:
            x: the image, shape (1, C, H, W).
            place: a whole number from 0, as for `photograph` (default 0).

        Returns:
            name -> image: "ink" and "light" have `BLOCK` x `BLOCK` points for each pixel and three channels, "lens", "noise",
            "tone curve" and "file" (1, C, H, W). Light may be brighter than 1, and noise darker than 0.

        Raises:
            InputError: there are several images, or an argument has another form.
        """
        self._check(check_images(x))
        if len(x) != 1:
            raise InputError(f"x: got {len(x)} images; allowed is one, (1, C, H, W)")
        [place] = _check_places(x, [place])
        generators = [np.random.default_rng((self.seed, place))]
        draws = _draws(generators, x)
        ink, lit = self._scene(x, draws)(slice(None))
        seen = F.avg_pool2d(lit, BLOCK)
        return {"ink": ink, "light": lit} | dict(self._taken(seen, x, draws, generators))

    def _photograph(self, x, generators):
        if self.strength == 0:
            return x.expand(len(generators), -1, -1, -1).clone()
        draws, (height, width) = _draws(generators, x), x.shape[2:]
        scene = self._scene(x, draws)
        step = max(1, BAND // (BLOCK * BLOCK * width * len(generators)))
        bands = [slice(BLOCK * first, BLOCK * (first + step)) for first in range(0, height, step)]
        seen = torch.cat([F.avg_pool2d(scene(rows)[1], BLOCK) for rows in bands], 2)
        for _, last in self._taken(seen, x, draws, generators):
            photograph = last
        return photograph

    def _scene(self, x, draws) -> Callable[[slice], tuple[Tensor, Tensor]]:
        """Draw the scene; return a function from a slice of its rows to what is printed there, askew, and the same in its light.

        Both have `BLOCK` x `BLOCK` points for each pixel, and three channels.
        """
        height, width = x.shape[2:]
        colours = x.expand(-1, 3, -1, -1)
        ink = torch.lerp(colours, printed(colours), min(self.strength, 1.0))
        paper = 1 + min(self.strength, 1.0) * (CORNERS[7].to(x)[:, None, None] - 1)
        off = 0.8 * self.strength * torch.cat([draws.between(-1, 1) for _ in range(8)], 1).reshape(-1, 4, 2)
        grid = askew(off, height, width, BLOCK)
        light = draw_light(draws, BLOCK * height, BLOCK * width, self.strength, 0.03, BLOCK)
        here = (ink - paper).expand(len(off), -1, -1, -1)

        def part(rows):
            shown = paper + F.grid_sample(here, grid(rows), mode="nearest", align_corners=False)
            return shown, shown * light(rows)

        return part

    def _taken(self, seen, x, draws, generators) -> Iterator[tuple[str, Tensor]]:
        """Yield name and images after each station, from the light `seen` on the sensor's pixels (N, 3, H, W) to the file."""
        (height, width), s = x.shape[2:], self.strength
        seen = blurred(seen, s * draws.between(0.35, 0.9).flatten())
        yield "lens", in_channels_of(seen, x)
        noise = np.stack([generator.standard_normal((3, height, width)) for generator in generators])
        seen = in_channels_of(seen + 0.02 * s * torch.from_numpy(noise).to(x), x)
        yield "noise", seen
        seen = toned(seen, 1 + s * draws.between(-0.2, 0.2))
        yield "tone curve", seen
        yield "file", stored(seen, _qualities(draws, s) if self.jpeg else None)


@dataclass(frozen=True)
class Road(Camera):
    """Photograph plates as road signs: on a pole, at some distance and angle, before the surroundings of the sign scenes.

    A sign of 0.75 m, seen through a lens of focal length 1000 pixels, is cut out with a margin of 15 % and resized to `size`:
    at 20 m it has 37 pixels, at 40 m 19, and the rest is blur. Also drawn: pitch +-8 and roll +-5 degrees, the crop's offset and
    size, exposure +-25 %, light that varies by up to 25 %, colour cast +-12 %, blur of the lens, noise, tone curve, and JPEG of
    quality 80 to 95. The plates are painted, not printed: `printed` makes of a poster or a sticker what the printer does.

    Args:
        distance: metres, 1 to 200; a number, or a pair (low, high) from which each photograph draws its own (default 4 to 40).
        angle: yaw in degrees, -80 to 80, 0 if the plate faces the camera; a number or a pair (default -60 to 60).
        size: pixels per side of the photographs, 8 to 256 (default 32).
        jpeg: whether they are stored as JPEG (default True).
        seed: seed of the draws (default 0).

    Images are plates, shape (N, 3, S, S), S at least 8, or (N, 4, S, S) with alpha, 1 on the plate and 0 beside it, such as
    those of `data.signs.template`; S = 2 x `size` is best. Photographs have the shape (N, 3, size, size).

    Example:
        >>> rgb, alpha = signs.template(0, 64)
        >>> views = Road(distance=10, angle=(0, 30)).photograph(torch.cat([rgb, alpha[None]])[None], places=range(16))
    """

    distance: float | tuple[float, float] = (4.0, 40.0)
    angle: float | tuple[float, float] = (-60.0, 60.0)
    size: int = 32
    jpeg: bool = True
    seed: int = 0
    _words = "photograph at the road"

    def __post_init__(self):
        object.__setattr__(self, "distance", _check_span(self.distance, "distance", 1, 200))
        object.__setattr__(self, "angle", _check_span(self.angle, "angle", -80, 80))
        check_field(self, "size", 8, 256, integer=True)
        object.__setattr__(self, "jpeg", check_flag(self.jpeg, "jpeg"))
        check_field(self, "seed", 0, 2**63 - 1, integer=True)

    def _check(self, x):
        if x.shape[1] not in (3, 4) or x.shape[2] != x.shape[3] or x.shape[2] < 8:
            raise InputError(
                f"x: got shape {tuple(x.shape)}; allowed are plates (N, 3, S, S), or (N, 4, S, S) with alpha, S >= 8"
            )

    def _none(self, x):
        return x.new_empty(0, 3, self.size, self.size)

    def _photograph(self, x, generators):
        numbers = np.stack([generator.random(COLUMNS + VIEW) for generator in generators])
        scene = surroundings(Draws(numbers[:, :COLUMNS]), 2 * self.size).to(x)
        draws = Draws(numbers[:, COLUMNS:], x)
        pixels = self._pixels(draws)
        scene = self._with_plate(scene, x, draws) * draw_light(draws, 2 * self.size, 2 * self.size, 1.0)(
            slice(None)
        )
        resampling = torch.stack([sensor_matrix(2 * self.size, n, self.size) for n in pixels]).to(x)
        matrices = blur_matrices(draws.between(0.3, 0.7).flatten(), self.size) @ resampling
        noise = np.stack([self._noise(generator, n) for generator, n in zip(generators, pixels, strict=True)])
        seen = sampled(scene, matrices, matrices) + draws.between(0.0, 0.02) * torch.from_numpy(noise).to(x)
        return developed(seen, draws.between(0.8, 1.2), _qualities(draws, 1.0) if self.jpeg else None)

    def _pixels(self, draws):
        """Draw the distances; return the pixels per side that each photograph has before it is resized, at least 2."""
        distance = draws.between(*_span(self.distance)).flatten()
        return [max(2, round(CROP * FOCAL_LENGTH * PLATE / metres)) for metres in distance.tolist()]

    def _with_plate(self, scene, x, draws):
        degrees = [draws.between(*span).flatten() for span in (_span(self.angle), (-8, 8), (-5, 5))]
        radius = draws.between(0.92, 1.04).flatten() / CROP
        shift = torch.cat([draws.between(-0.06, 0.06) for _ in range(2)], 1)[:, :, 0, 0]
        to_plate = image_to_plate(*(angle * math.pi / 180 for angle in degrees), radius, shift)
        alpha = x[:, 3:] if x.shape[1] == 4 else torch.ones_like(x[:, :1])
        plates = torch.cat([x[:, :3] * alpha, alpha], 1).expand(len(scene), -1, -1, -1)
        return with_plate(scene, plates, to_plate, draws.between(0.05, 0.09), draws.between(0.35, 0.75))

    def _noise(self, generator, n):
        """Draw the sensor's noise on its n x n pixels, resized as the photograph is, (3, size, size).

        More than two pixels for each of the photograph's are drawn as two, with the smaller noise that averaging leaves.
        """
        drawn = min(n, 2 * self.size)
        resize = resize_matrix(drawn, self.size).numpy()
        return drawn / n * (resize @ generator.standard_normal((3, drawn, drawn)) @ resize.T)


class Photographed(nn.Module):
    """A model that sees photographs: each forward pass photographs its images anew.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K).
        camera: a `Phone` or `Road`.
        alpha: where a `Road`'s plates are, shape (S, S), if the images that are attacked do not have it as a channel.
        seed: None (default) for new draws in each pass, from the global random state, which attacks seed; a number for the same
            draws in every pass.

    Raises:
        InputError: an argument has another form.

    Example:
        >>> x_adv = PGD(eps=8 / 255, steps=20)(EOT(Photographed(model, Phone(jpeg=False)), draws=4), x, y)
    """

    def __init__(
        self, model: nn.Module, camera: Camera, alpha: Tensor | None = None, seed: int | None = None
    ):
        super().__init__()
        if not isinstance(model, nn.Module):
            raise InputError(f"model: got {model!r}; allowed is a torch.nn.Module")
        if not isinstance(camera, Camera):
            raise InputError(f"camera: got {camera!r}; allowed is a Phone or a Road")
        if alpha is not None:
            _check_alpha(alpha, camera)
        self.model, self.camera = model, camera
        self.seed = seed if seed is None else check_seed(seed)
        self.register_buffer("alpha", alpha, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, K) of one photograph of each image `x` (N, C, H, W)."""
        if self.alpha is not None:
            if x.shape[-2:] != self.alpha.shape:
                raise InputError(
                    f"x: got shape {tuple(x.shape)}; allowed are images of the size of alpha, {tuple(self.alpha.shape)}"
                )
            x = torch.cat([x, self.alpha.to(x).expand(len(x), 1, -1, -1)], 1)
        fresh = int(torch.randint(2**62, ())) if self.seed is None else self.seed
        return ask(self.model, self.camera.photograph(x, seed=fresh))


def _check_alpha(alpha, camera):
    """Raise `InputError` unless `alpha` says where a `Road`'s plates are, shape (S, S)."""
    if not isinstance(camera, Road):
        raise InputError("alpha: got one for another camera than a Road; allowed is None")
    if not isinstance(alpha, Tensor) or alpha.dim() != 2:
        given = f"shape {tuple(alpha.shape)}" if isinstance(alpha, Tensor) else type(alpha).__name__
        raise InputError(f"alpha: got {given}; allowed is a tensor of shape (S, S)")


def _check_places(x, places):
    """Return the places as a list of whole numbers: one for each image, or any number of them for a single image."""
    if places is None:
        return list(range(len(x)))
    try:
        chosen = [check_range(place, "places", 0, integer=True) for place in torch.as_tensor(places).tolist()]
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"places: got {places!r}; allowed is a sequence of whole numbers from 0") from None
    if len(x) != 1 and len(chosen) != len(x):
        raise InputError(
            f"places: got {len(chosen)} for {len(x)} images; allowed is one for each, or any number for a single image"
        )
    return chosen


def _check_span(value, name, low, high):
    """Return a number, or a pair of numbers (low, high), as Python's own."""
    if not isinstance(value, tuple | list):
        return check_range(value, name, low, high)
    if len(value) != 2 or not check_range(value[0], name, low, high) <= check_range(
        value[1], name, low, high
    ):
        raise InputError(f"{name}: got {value!r}; allowed is a number or a pair (low, high)")
    return tuple(check_range(end, name, low, high) for end in value)


def _span(value):
    return value if isinstance(value, tuple) else (value, value)


def _draws(generators, x):
    """Return the random numbers of a phone's photographs, besides their noise."""
    return Draws(np.stack([generator.random(VIEW) for generator in generators]), x)


def _qualities(draws, strength):
    """Draw the qualities of JPEG, 80 to 95 at strength 1."""
    return [round(100 - strength * loss) for loss in draws.between(5, 20).flatten().tolist()]
