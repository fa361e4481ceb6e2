"""Image quilting: an image is rebuilt from patches of clean images."""

from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from advcourse.core.inputs import InputError, check_images, check_range
from advcourse.defenses.draws import check_seed, generator
from advcourse.defenses.input_transformation import InputTransformation


class Quilting(InputTransformation):
    """Replace each patch of an image by one of the most similar clean patches, and join them along the cheapest seams.

    Papers: Guo et al. 2018, "Countering Adversarial Images using Input Transformations" (arXiv 1711.00117), after
    Efros and Freeman 2001, "Image Quilting for Texture Synthesis and Transfer". Patch by patch, from left to right and top to
    bottom, one of the `nearest` clean patches to that part of the image (Euclidean distance over all channels) is drawn. It is
    joined to the patches already placed along the path through the overlap on which the two differ least.

    What breaks it: BPDA with the identity, with EOT if `nearest` is more than 1 (Athalye, Carlini and Wagner 2018, section
    5, arXiv 1802.00420). Clean patches undo more than rounding does, and the identity does not tell an attack which of them
    are near. `blend` does, and gets further at 0.3 in L-infinity: of 20 digits, PGD through the identity leaves 12 correct, and
    through `blend` 6, in 60 large steps. About 4 withstood all of some ten runs: other temperatures, `blend` in the forward pass
    too, momentum. Most pixels of digits are black or white, and at 0.3 still distinguishable; at 0.4, 3 of 30 or fewer are left
    through the identity.

    Args:
        images: (M, C, H, W) clean images in [0, 1], from which the patches are cut.
        patches: number of patches, drawn from all positions in all images (default 5000; the paper uses a million).
        size: side of a patch in pixels (default 5).
        overlap: overlap of neighbouring patches in pixels, less than `size` (default 2); larger at the far edges if patches do
            not fit evenly.
        nearest: K, the number of nearest patches of which one is drawn (default 10, as in the break; the authors' tool takes
            the nearest one).
        seed: None (default) for new draws in each call; a number for the same ones in every call.
        database_seed: seed of the choice of patches (default 0).

    Example:
        >>> defense = EnsembleInputTransformation(model, [quilting])
        >>> broken = EnsembleInputTransformation(model, [BPDA(quilting, quilting.blend)])
        >>> x_adv = PGD(0.3, 0.2, 60)(broken, x, y)   # on EOT(broken, 10) if `nearest` is more than 1

    Raises:
        InputError: an argument is out of range, or images are smaller than a patch or have other channels than the patches.
    """

    def __init__(
        self,
        images: Tensor,
        patches: int = 5000,
        size: int = 5,
        overlap: int = 2,
        nearest: int = 10,
        seed: int | None = None,
        database_seed: int = 0,
    ):
        size = check_range(size, "size", 1, integer=True)
        self.overlap = check_range(overlap, "overlap", 0, size - 1, integer=True)
        self._check_size(check_images(images, "images"), size, "images")
        if not len(images):
            raise InputError("images: got none; allowed is at least one")
        places = len(images) * (images.shape[2] - size + 1) * (images.shape[3] - size + 1)
        patches = check_range(patches, "patches", 1, places, integer=True)
        self.nearest = check_range(nearest, "nearest", 1, patches, integer=True)
        self.size, self.seed = size, check_seed(seed)
        g = generator(check_seed(database_seed, "database_seed"))
        self.patches = _cut(images.detach(), size, torch.randperm(places, generator=g)[:patches])

    def blend(self, x: Tensor, temperature: float = 2.0, candidates: int = 50) -> Tensor:
        """Return a smooth stand-in for the quilted images `x` (N, C, H, W), for the backward pass of an attack.

        Each part becomes the mean of the `candidates` most similar clean patches, weighted by
        softmax(-distance^2 / temperature), and overlapping patches are averaged. As the temperature goes to 0, this approaches
        the nearest patch, which has no gradient.

        Args:
            x: the images.
            temperature: > 0, a squared distance over all pixels of a patch (default 2).
            candidates: number of patches averaged (default 50), or all if there are fewer.
        """
        check_range(temperature, "temperature", 0, exclusive_low=True)
        check_range(candidates, "candidates", 1, integer=True)
        self._check(x)
        rows, columns = (self._starts(side) for side in x.shape[2:])
        mean = self._means(self._parts(x, rows, columns), temperature, candidates)
        total, times = torch.zeros_like(x), torch.zeros_like(x)
        for place, (top, left) in enumerate(product(rows, columns)):
            far = left, x.shape[3] - self.size - left, top, x.shape[2] - self.size - top
            total = total + F.pad(mean[:, place], far)
            times[:, :, top : top + self.size, left : left + self.size] += 1
        return total / times

    def _means(self, wanted, temperature, candidates):
        """Return weighted means of clean patches (N, places, C, size, size) for image parts (N, places, C * size * size)."""
        clean = self.patches.to(wanted).flatten(1)
        with torch.no_grad():
            distances = torch.cdist(wanted.flatten(0, 1), clean)
            nearest = distances.topk(min(candidates, len(clean)), largest=False).indices
        near = clean[nearest].view(*wanted.shape[:2], nearest.shape[1], -1)
        weights = (-(wanted[:, :, None] - near).square().sum(3) / temperature).softmax(2)
        return (weights[..., None] * near).sum(2).view(*wanted.shape[:2], *self.patches.shape[1:])

    def _change(self, x):
        self._check(x)
        rows, columns = (self._starts(side) for side in x.shape[2:])
        chosen = self._choose(x, rows, columns)
        canvas, done = torch.zeros_like(x), [0, 0]
        for i, top in enumerate(rows):
            done[1] = 0
            for j, left in enumerate(columns):
                window = canvas[:, :, top : top + self.size, left : left + self.size]
                window.copy_(join(window, chosen[:, i, j], max(0, done[0] - top), max(0, done[1] - left)))
                done[1] = left + self.size
            done[0] = top + self.size
        return canvas

    def _starts(self, side):
        """Return the first pixels of the patches along a side: `size - overlap` apart, the last flush with the far edge."""
        starts = list(range(0, side - self.size + 1, self.size - self.overlap))
        return starts if starts[-1] == side - self.size else [*starts, side - self.size]

    def _choose(self, x, rows, columns):
        """Choose a clean patch for each place: (N, rows, columns, C, size, size)."""
        wanted, clean = self._parts(x, rows, columns), self.patches.to(x)
        distances = torch.cdist(wanted.flatten(0, 1), clean.flatten(1))
        candidates = distances.topk(self.nearest, largest=False).indices
        pick = torch.randint(self.nearest, (len(candidates), 1), generator=generator(self.seed))
        chosen = candidates.gather(1, pick.to(x.device))[:, 0]
        return clean[chosen].view(len(x), len(rows), len(columns), *clean.shape[1:])

    def _parts(self, x, rows, columns):
        """Return the images' own patches at each place: (N, rows * columns, C * size * size)."""
        places = product(rows, columns)
        return torch.stack(
            [x[:, :, top : top + self.size, left : left + self.size].flatten(1) for top, left in places], 1
        )

    def _check(self, x):
        self._check_size(x, self.size, "x")
        if x.shape[1] != self.patches.shape[1]:
            given, allowed = x.shape[1], self.patches.shape[1]
            raise InputError(
                f"x: got images of {given} channels; allowed are {allowed}, those of the patches"
            )

    @staticmethod
    def _check_size(x, size, name):
        if min(x.shape[2:]) < size:
            given = f"{x.shape[2]} x {x.shape[3]}"
            raise InputError(
                f"{name}: got images of {given} pixels; allowed are those that hold a patch of {size}"
            )


def _cut(images, size, places):
    """Return the patches (P, C, size, size) at `places`, which are numbered image by image, row by row."""
    rows, columns = images.shape[2] - size + 1, images.shape[3] - size + 1
    image, row, column = places // (rows * columns), places // columns % rows, places % columns
    windows = images.unfold(2, size, 1).unfold(3, size, 1)
    return windows[image, :, row, column].contiguous()


def join(old: Tensor, new: Tensor, top: int, left: int) -> Tensor:
    """Place the patches `new` (N, C, S, S) over `old`, up to the seams in the first `top` rows and `left` columns.

    A pixel is taken from the new patch if it lies on or beyond the seam in both directions.
    """
    differences = (old - new).square().sum(1)
    mine = torch.ones_like(differences, dtype=torch.bool)
    places = torch.arange(new.shape[3], device=new.device)
    if left:
        seam = cheapest_path(differences[:, :, :left])
        mine = mine & (places >= seam[:, :, None])
    if top:
        seam = cheapest_path(differences[:, :top].transpose(1, 2))
        mine = mine & (places[:, None] >= seam[:, None, :])
    return torch.where(mine[:, None], new, old)


def cheapest_path(costs: Tensor) -> Tensor:
    """Return the columns (N, S) of the cheapest path from the first to the last of S rows, over costs (N, S, W).

    From row to row a path stays in its column or moves to a neighbouring one. Dynamic programming, for the whole batch at once.
    """
    total = [costs[:, -1]]
    for row in range(costs.shape[1] - 2, -1, -1):
        below = F.pad(total[0], (1, 1), value=torch.inf).unfold(1, 3, 1)
        total.insert(0, costs[:, row] + below.amin(2))
    path = [total[0].argmin(1)]
    for below in total[1:]:
        around = F.pad(below, (1, 1), value=torch.inf).unfold(1, 3, 1)
        step = around[torch.arange(len(costs), device=costs.device), path[-1]].argmin(1)
        path.append(path[-1] + step - 1)
    return torch.stack(path, 1)
