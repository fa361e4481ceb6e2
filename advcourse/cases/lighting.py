"""The light on a scene before the lens, and the stripes where a printed grid meets the sensor's."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from advcourse.data.sign_scenes import Draws


def draw_light(
    draws: Draws, height: int, width: int, strength: float, moire: float = 0.0, block: int = 1
) -> Callable[[slice], Tensor]:
    """Draw the light on a scene: brighter on one side by up to 25 %, exposure +-25 %, colour cast +-12 %, and moire.

    Curved functions are taken of a row or of a column alone, of the moire's stripes too, by
    sin(a + b) = sin a cos b + cos a sin b. So a large scene costs a few products for each point.

    Args:
        draws: random numbers, one row for each of the N scenes.
        height, width: points of the scene.
        strength: of all of it; 0 leaves the scene as it is.
        moire: amplitude of the stripes at strength 1 (default 0: none).
        block: points along each side of a printed pixel (default 1). A period of the stripes has 1.25 to 4 of them.

    Returns:
        a function that takes a slice of the scene's rows and gives the light on them, (N, 3, rows, width), in the type and on
        the device of the draws: 1 leaves the scene as it is.
    """
    angle = draws.between(0, 2 * math.pi)
    y, x = ((torch.arange(k).to(angle) + 0.5) / k * 2 - 1 for k in (height, width))
    slope, exposure = draws.between(0.0, 0.25), draws.between(-0.25, 0.25)
    cast = torch.cat([draws.between(-0.12, 0.12) for _ in range(3)], 1)
    colour = (1 + strength * exposure) * (1 + strength * cast)
    tilt = strength * slope / math.sqrt(2)
    down, across = 1 + tilt * torch.sin(angle) * y[:, None], tilt * torch.cos(angle) * x
    if not moire:
        return lambda rows: (down[:, :, rows] + across) * colour
    direction, period, phase = (draws.between(*span) for span in ((0, math.pi), (2.5, 8), (0, 2 * math.pi)))
    wave = math.pi / (block * period)  # x and y go from -1 to 1, so a period is so many half points
    a = wave * torch.cos(direction) * width * x + phase
    b = wave * torch.sin(direction) * height * y[:, None]
    amplitude = strength * moire * draws.between(0, 1)
    sine, cosine = amplitude * torch.sin(a), amplitude * torch.cos(a)
    along_sine, along_cosine = torch.sin(b), torch.cos(b)

    def lit(rows):
        stripes = sine * along_cosine[:, :, rows] + cosine * along_sine[:, :, rows]
        return (down[:, :, rows] + across) * (1 + stripes) * colour

    return lit
