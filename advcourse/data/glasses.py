"""Eyeglass frames cut out of a printed sheet, worn by the people of `faces`: they turn with the head.

The sheet has 16 x 88 cells of colour. It is folded at the hinges: the front is a plate parallel to the face plane, the temples
lead straight back from it. So a pixel of a photograph shows a cell that follows from the pose in closed form, and everything but
the colours can be computed beforehand (`fit_glasses`); wearing them is then one `grid_sample` (`wear`). After Sharif et al. 2016,
"Accessorize to a crime", whose frames cover 6.5 % of the picture, as these do.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from advcourse.core.inputs import InputError, check_choice, check_images
from advcourse.data import face_scenes, faces
from advcourse.data.base import ImageSet
from advcourse.data.face_paint import edge
from advcourse.data.face_shapes import Traits

ROWS, COLUMNS = 16, 88
CELL = 0.030  # side of a cell in face units: about a pixel of a photograph
HINGE = 0.725  # half-width of the front
TEMPLE = 0.55  # length of a temple
HEIGHT = 0.72  # of the front above the face plane
BELOW = 0.025  # how far the middle of the lenses lies below the eyes


@dataclass(frozen=True)
class Fitting:
    """How N photographs show a pair of glasses, all but its colours.

    grid: where on the sheet each pixel lies, (N, H, W, 2), as `grid_sample` takes it. cover: how much of each pixel the frame
    covers, (N, 1, H, W) in [0, 1]. light: brightness of a white sheet, (N, 3, 1, 1). tone: power of the tone curve, (N, 1, 1, 1).
    """

    grid: Tensor
    cover: Tensor
    light: Tensor
    tone: Tensor

    def __len__(self) -> int:
        return len(self.grid)

    def part(self, chosen: Tensor | slice) -> "Fitting":
        """Return the fitting of some of the photographs."""
        return Fitting(self.grid[chosen], self.cover[chosen], self.light[chosen], self.tone[chosen])

    def to(self, like: Tensor) -> "Fitting":
        """Return the fitting on the device and in the type of a tensor."""
        return Fitting(*(values.to(like) for values in (self.grid, self.cover, self.light, self.tone)))


def shape(s: Tensor, t: Tensor) -> Tensor:
    """Return the signed distance, positive inside, to the frame's edge at (s, t) on the sheet, in face units from its middle."""
    lens_s, lens_t = s.abs() - 0.300, t
    outer, inner = _rounded(lens_s, lens_t, 0.262, 0.212, 0.10), _rounded(lens_s, lens_t, 0.203, 0.153, 0.07)
    rim = torch.minimum(outer, -inner)
    bridge = torch.minimum(0.06 - s.abs(), 0.032 - (t + 0.055).abs())
    arm = torch.minimum(torch.minimum(s.abs() - 0.54, HINGE + TEMPLE - s.abs()), 0.036 - (t + 0.085).abs())
    return torch.maximum(torch.maximum(rim, bridge), arm)


def _rounded(x: Tensor, y: Tensor, half_x: float, half_y: float, corner: float) -> Tensor:
    over_x, over_y = x.abs() - (half_x - corner), y.abs() - (half_y - corner)
    outside = (over_x.clamp(min=0) ** 2 + over_y.clamp(min=0) ** 2 + 1e-12).sqrt()
    return corner - outside - torch.maximum(over_x, over_y).clamp(max=0)


def cells() -> Tensor:
    """Return which cells of the sheet belong to the frame: (ROWS, COLUMNS), True where a part of the cell does."""
    t = (torch.arange(ROWS) + 0.5 - ROWS / 2)[:, None] * CELL
    s = (torch.arange(COLUMNS) + 0.5 - COLUMNS / 2)[None] * CELL
    return shape(s.expand(ROWS, COLUMNS), t.expand(ROWS, COLUMNS)) > -0.7 * CELL


def on_sheet(x: Tensor, y: Tensor, person: Traits, view: Traits) -> tuple[Tensor, Tensor]:
    """Return the place (s, t) on the sheet that is seen at (x, y), (N, H, W), in face units from the sheet's middle.

    A point of the front is seen at x = s cos(yaw) + (HEIGHT - PIVOT) sin(yaw). One of a temple, at depth d behind its hinge, is
    seen further out by d |sin(yaw)|, on the side from which the head turns away; the other temple is hidden.
    """
    sin, cos, ahead = view["yaw"].sin(), view["yaw"].cos(), HEIGHT - face_scenes.PIVOT
    s = (x - ahead * sin) / cos
    side = torch.where(s < 0, -1.0, 1.0)
    depth = (s.abs() - HINGE).clamp(min=0) * cos / sin.abs().clamp(min=1e-3)
    visible = side * sin < 0
    s = torch.where(s.abs() <= HINGE, s, side * torch.where(visible, HINGE + depth, 9.0))
    t = (y - (ahead - depth) * view["pitch"].sin()) / view["pitch"].cos()
    return s, t - person["eye_height"] - BELOW


def fit_glasses(person: Traits, view: Traits, size: int = 64, moved: Tensor | None = None) -> Fitting:
    """Put glasses on the people of N photographs; see `Fitting`.

    Args:
        person: traits of the people, (N, 1, 1) each.
        view: circumstances of the photographs.
        size: pixels per side (default 64).
        moved: how far each pair sits to the right and below its place, in face units, and its tilt in radians, (N, 3); default 0.
    """
    (s, t), (fine_s, fine_t) = (
        _moved(*on_sheet(*face_scenes.coordinates(pixels, view), person, view), moved)
        for pixels in (size, 2 * size)
    )
    pixel = face_scenes.HALF / size / view["zoom"]
    cover = F.avg_pool2d(edge(shape(fine_s, fine_t), pixel)[:, None], 2)
    grid = torch.stack([s / (COLUMNS / 2 * CELL), t / (ROWS / 2 * CELL)], -1)
    light = face_scenes.flat_light(view)
    return Fitting(grid, face_scenes.blurred(cover, view["blur"]), light, view["tone"][:, None])


def _moved(s: Tensor, t: Tensor, moved: Tensor | None) -> tuple[Tensor, Tensor]:
    if moved is None:
        return s, t
    across, down, tilt = moved[:, :, None, None].unbind(1)
    s, t = s - across, t - down
    return tilt.cos() * s + tilt.sin() * t, tilt.cos() * t - tilt.sin() * s


def wear(x: Tensor, fitting: Fitting, colours: Tensor) -> Tensor:
    """Return photographs (N, 3, H, W) of people who wear frames of these colours; differentiable with respect to the colours.

    Args:
        x: the photographs without glasses, in [0, 1].
        fitting: of the same photographs, from `fit_glasses`.
        colours: the sheet, (3, ROWS, COLUMNS) for all, or (N, 3, ROWS, COLUMNS), in [0, 1].

    Raises:
        InputError: the shapes do not fit together.
    """
    check_images(x)
    sheets = colours[None] if colours.dim() == 3 else colours
    if x.shape[1:] != (3, *fitting.cover.shape[2:]) or len(x) != len(fitting):
        raise InputError(
            f"x: got shape {tuple(x.shape)}; allowed is ({len(fitting)}, 3, {fitting.cover.shape[2]}, {fitting.cover.shape[3]}), "
            "that of the fitting"
        )
    if sheets.shape[1:] != (3, ROWS, COLUMNS) or len(sheets) not in (1, len(x)):
        raise InputError(
            f"colours: got shape {tuple(colours.shape)}; allowed is (3, {ROWS}, {COLUMNS}), or that for each of {len(x)} images"
        )
    seen = F.grid_sample(
        sheets.expand(len(x), -1, -1, -1), fitting.grid, padding_mode="border", align_corners=False
    )
    seen = (seen * fitting.light).clamp(1e-4, 1) ** fitting.tone
    return x + fitting.cover * (seen - x)


def fit_split(split: str, rows: Tensor | None = None, moved: Tensor | None = None) -> Fitting:
    """Put glasses on the people of the shipped photographs of a split, or of those at `rows`; see `fit_glasses`."""
    n, seed = faces.SPLITS[check_choice(split, "split", tuple(faces.SPLITS))]
    rows = torch.arange(n) if rows is None else rows
    labels = faces.labels(split)[rows]
    return fit_glasses(
        faces.chosen(faces.people(), labels), faces.chosen(faces.circumstances(n, seed), rows), moved=moved
    )


def with_glasses(photographs: ImageSet, split: str, copies: int = 3, seed: int = 0) -> ImageSet:
    """Return `copies` of each shipped photograph of a split, one of which wears glasses of random colours, a little moved."""
    generator, n = torch.Generator().manual_seed(seed), len(photographs)
    turn = torch.randperm(n, generator=generator) % copies  # the copy that wears glasses
    worn = wear(photographs.images, fit_split(split, moved=slips(n, generator)), random_sheets(n, generator))
    images = torch.cat(
        [torch.where((turn == copy)[:, None, None, None], worn, photographs.images) for copy in range(copies)]
    )
    return ImageSet(
        images,
        photographs.labels.repeat(copies),
        photographs.classes,
        name=photographs.name,
        split=split,
        licence=photographs.licence,
    )


def slips(n: int, generator: torch.Generator) -> Tensor:
    """Draw how n pairs of glasses sit: up to 0.05 face units off in each direction, tilted by up to 4 degrees, (n, 3).

    0.05 units are 1.7 pixels of a photograph, the share of the picture that the 4 pixels of Sharif et al. are of theirs (1.8 %).
    """
    return (2 * torch.rand(n, 3, generator=generator) - 1) * torch.tensor([0.05, 0.05, 4 * math.pi / 180])


def random_sheets(n: int, generator: torch.Generator) -> Tensor:
    """Draw n coloured sheets (n, 3, ROWS, COLUMNS): half of them plain, others random cells, black or white."""
    kind = torch.randint(0, 4, (n, 1, 1, 1), generator=generator)
    plain, cells = (torch.rand(n, 3, *size, generator=generator) for size in ((1, 1), (ROWS, COLUMNS)))
    extreme = torch.where(torch.rand(n, 1, 1, 1, generator=generator) < 0.7, 0.03, 0.97)
    return torch.where(kind == 0, cells, torch.where(kind == 1, extreme, plain)).expand(n, 3, ROWS, COLUMNS)
