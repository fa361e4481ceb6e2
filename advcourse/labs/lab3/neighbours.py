"""OptMargin's directions and C&W L0's freezing of pixels, and the slips known by their results."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from advcourse.core.rounding import number
from advcourse.labs.checks import Case, Draw, Student
from advcourse.labs.properties import follows_its_seed
from advcourse.labs.verdicts import Finding

PARALLEL = 1e-3  # cosines below this are rounding


# OptMargin's directions


def _asked(student, draw):
    case = student.task.case(draw)
    return case, student(case)


def ends_with_the_centre(student: Student, draw: Draw) -> None:
    """The last copy is the image itself: its noise is 0; all others have some."""
    _, noise = _asked(student, draw)
    blank = (noise.flatten(1).abs().amax(1) < 1e-7).tolist()
    if blank[-1] and not any(blank[:-1]):
        return
    if blank[0] and not any(blank[1:]):
        told = "The first copy is the centre. It is the last one whose noise is 0."
        raise Finding("centre first", told)
    if not any(blank):
        told = "No copy is the image itself. Without it an image may fool all around and not at its own place: set the last to 0."
        raise Finding("no centre", told)
    told = f"{sum(blank)} of {len(blank)} copies have no noise at all. Only the last is 0."
    raise Finding("blank directions", told)


def has_the_radius(student: Student, draw: Draw) -> None:
    """Root mean square over the pixels = radius, exactly, for each copy but the last."""
    case, noise = _asked(student, draw)
    flat, radius = noise[:-1].flatten(1), case["radius"]
    size, pixels = flat.square().mean(1).sqrt(), flat.shape[1]
    if ((size - radius).abs() < 1e-3 * radius).all():
        return
    known = (
        (
            flat.abs().amax(1),
            "largest pixel",
            f"The largest pixel of each direction is radius, so its root mean square is only {number(size[0].item())}. "
            "The radius is the root mean square.",
        ),
        (
            flat.norm(dim=1),
            "total length",
            f"Each direction is radius long in all: {number(size[0].item())} per pixel. The radius is the root mean square, so "
            f"the length is radius times the root of the {pixels} values of an image.",
        ),
        (
            flat.norm(dim=1) * radius,
            "not scaled",
            "The columns of Q are 1 long, and stay so. Scale them to a root mean square of radius: times radius sqrt(d).",
        ),
        (
            size * pixels**-0.5,
            "scaled by d",
            f"The directions are scaled by d = {pixels} where its root belongs: the length is radius sqrt(d).",
        ),
    )
    for sizes, key, told in known:
        if ((sizes - radius).abs() < 1e-3 * radius).all():
            raise Finding(key, told)
    if (size / radius - 1).abs().max() < 0.2:
        told = (
            f"Each direction has a size of its own, from {number(size.min().item(), 4)} to {number(size.max().item(), 4)}. "
            "This is plain noise: take the orthonormal columns of torch.linalg.qr of it."
        )
        raise Finding("plain noise", told)
    told = f"The root mean square of a direction is {number(size[0].item())}; the radius is {radius}."
    raise Finding("size", told)


def counts_all_channels(student: Student, draw: Draw) -> None:
    """The same in colour: the length follows from all values of an image, those of all channels."""
    case = student.task.case(draw, shape=(3, 20, 24))
    size = student(case)[:-1].flatten(1).square().mean(1).sqrt() / case["radius"]
    if ((size * 3**0.5 - 1).abs() < 1e-3).all():
        told = (
            "In colour images the directions are too short: their length is radius times the root of H * W. The root mean square "
            "is over all values of an image, d = C * H * W."
        )
        raise Finding("channels forgotten", told)
    if ((size - 1).abs() > 1e-3).any():
        told = (
            f"In colour images the root mean square of a direction is {number(size[0].item())} times radius."
        )
        raise Finding("size in colour", told)


def is_orthogonal(student: Student, draw: Draw) -> None:
    """No direction has a part along another."""
    _, noise = _asked(student, draw)
    flat = torch.nn.functional.normalize(noise[:-1].flatten(1), dim=1)
    cosines = (flat @ flat.T).fill_diagonal_(0).abs()
    if (worst := cosines.max().item()) < PARALLEL:
        return
    if worst > 0.99:
        told = "Two directions are the same line. Draw one Gaussian matrix for all of them, and take its orthonormal columns."
        raise Finding("same line", told)
    told = (
        f"Two directions have a cosine of {number(worst)}: scaled noise is only nearly orthogonal. torch.linalg.qr of a matrix "
        "with a column for each copy makes it exactly so."
    )
    raise Finding("not orthogonal", told)


def is_no_grid(student: Student, draw: Draw) -> None:
    """Each direction is spread over the whole image."""
    case, noise = _asked(student, draw)
    flat = noise[:-1].flatten(1)
    if (flat.abs().amax(1) / flat.square().mean(1).sqrt()).max() < 8:
        return
    told = "A direction is a few pixels only. Take the columns of Q from a Gaussian matrix with a row for each value of an image."
    raise Finding("single pixels", told)


def follows_the_seed(student: Student, draw: Draw) -> None:
    """One seed, one noise; another seed, another."""
    case = student.task.case(draw)
    told = "All seeds give the same directions. Draw from torch.Generator().manual_seed(seed)."
    if found := follows_its_seed(student, case, told, student(case), student(case)):
        raise found


# C&W L0's pixels


def freeze(
    case: Case, score: Callable[[Case, Tensor], Tensor] | None = None, skip: bool = True, **changed: Any
) -> Tensor:
    """One more pixel of each image frozen, (N, 1, H, W). `score`, `skip` and what is `changed` serve the slips."""
    allowed, product = case["allowed"].double(), case["gradient"].double() * case["delta"].double()
    values = product.abs().sum(1, keepdim=True) if score is None else score(case, product)
    values = values.masked_fill(values == 0, torch.inf) if changed.get("idle skipped") else values
    values = values.masked_fill(allowed == 0, changed.get("apart", torch.inf)) if skip else values
    flat = values.flatten(1)
    chosen = flat.argmax(1) if changed.get("largest") else flat.argmin(1)
    frozen = torch.zeros_like(flat).scatter(1, chosen[:, None], 1)
    if changed.get("one for all"):
        frozen = torch.zeros_like(flat)
        frozen.view(-1)[flat.argmin()] = 1
    if changed.get("one place"):
        frozen = torch.zeros_like(flat)
        frozen[:, flat.sum(0).argmin()] = 1
    result = allowed * (1 - frozen.view_as(allowed))
    return 1 - result if changed.get("inverted") else result


def _frozen(**changed):
    return lambda case: freeze(case, **changed)


FREEZE_SLIPS = (
    (
        "signed sum",
        "The channels are added before the absolute value, so that opposite changes cancel and a busy pixel looks idle. "
        "Add up |gradient * delta|.",
        _frozen(score=lambda case, product: product.sum(1, keepdim=True).abs()),
    ),
    (
        "signed",
        "There is no absolute value: a pixel whose products are large and negative goes first. Add up |gradient * delta|.",
        _frozen(score=lambda case, product: product.sum(1, keepdim=True)),
    ),
    (
        "largest",
        "The pixel with the largest score is frozen: the one that the attack needs most. Freeze the smallest.",
        _frozen(largest=True, apart=-torch.inf),
    ),
    (
        "frozen already",
        "No image has one pixel less than before. Pixels that are frozen already compete too: their change is 0, so they win. "
        "Give them a score of infinity.",
        _frozen(skip=False),
    ),
    (
        "one for all",
        "One pixel is frozen in the whole batch. Freeze one of each image: argmin over dimension 1 of flatten(1).",
        _frozen(**{"one for all": True}),
    ),
    (
        "one place",
        "The same pixel is frozen in every image. Each image has scores of its own.",
        _frozen(**{"one place": True}),
    ),
    (
        "change alone",
        "The score is the change alone. A small change may matter much: multiply it by the gradient.",
        _frozen(score=lambda case, product: case["delta"].double().abs().sum(1, keepdim=True)),
    ),
    (
        "gradient alone",
        "The score is the gradient alone. A pixel that has not moved gains nothing: multiply it by the change.",
        _frozen(score=lambda case, product: case["gradient"].double().abs().sum(1, keepdim=True)),
    ),
    (
        "one channel",
        "A pixel goes by its idlest channel. It has one score, the sum over its channels.",
        _frozen(score=lambda case, product: product.abs().amin(1, keepdim=True)),
    ),
    (
        "squares",
        "A pixel's score is the sum of the squares. Add up the absolute values, |gradient * delta|.",
        _frozen(score=lambda case, product: product.square().sum(1, keepdim=True)),
    ),
    (
        "busiest channel",
        "A pixel goes by its busiest channel. Its score is the sum over its channels.",
        _frozen(score=lambda case, product: product.abs().amax(1, keepdim=True)),
    ),
    (
        "idle pixels skipped",
        "Pixels with a score of 0 are left out, as if they were frozen. One that may change and does nothing goes first: what "
        "is frozen already stands in allowed.",
        _frozen(**{"idle skipped": True}),
    ),
    (
        "inverted",
        "1 and 0 are the wrong way round: 1 is for pixels that may change.",
        _frozen(inverted=True),
    ),
)


def smallest_live(case: Case) -> Tensor:
    """The smallest score of a pixel that may change, (N,)."""
    score = (case["gradient"].double() * case["delta"].double()).abs().sum(1, keepdim=True)
    return score.masked_fill(case["allowed"] == 0, torch.inf).flatten(1).amin(1)


def passes_over_the_frozen(**how: Any) -> Callable[[Student, Draw], None]:
    """However large the scores are, a pixel that is frozen already is not chosen. `how`: the case, as for `Task.case`."""

    def ask(student, draw):
        case = student.task.case(draw, **how)
        gradient = case["gradient"].clone()
        gradient[::4] *= 10 ** (29 * draw.uniform((len(gradient[::4]), 1, 1, 1)))
        case = case.but(gradient=gradient)
        found, least = student(case), smallest_live(case)
        stuck = (found == case["allowed"]).flatten(1).all(1)
        some = stuck.any() and (least[~stuck] > 0).any()  # a score of 0 is none larger than that
        if some and least[~stuck].max() < least[stuck].min():
            told = (
                f"{int(stuck.sum())} of {len(stuck)} images, those with the largest scores, have no pixel less than before: "
                f"where every score is above {least[~stuck].max():.2g}, the frozen pixels win. No number is large "
                "enough for them: give them a score of torch.inf."
            )
            raise Finding("number for infinity", told)

    return ask


def half_frozen(draw: Draw, x: Tensor) -> dict[str, Tensor]:
    """Gradients and changes of a search half-way: some pixels are frozen, and their change is 0.

    The scores of some images are all far above 1, and those of others all far below. In every second image a pixel that may
    change has not done so yet.
    """
    n, _, height, width = x.shape
    allowed = (draw.uniform((n, 1, height, width)) < 0.7).to(x)
    idle = torch.zeros_like(allowed).flatten(1)
    place = (draw.uniform((n, height * width)) * allowed.flatten(1)).argmax(1, keepdim=True)
    idle = idle.scatter(1, place, (torch.arange(n)[:, None] % 2).to(x)).view_as(allowed)
    steep = 10 ** (8 * draw.uniform((n, 1, 1, 1)) - 3)
    delta = draw.normal(x.shape) * allowed * (1 - idle)
    return {"gradient": steep * draw.normal(x.shape), "delta": delta, "allowed": allowed}
