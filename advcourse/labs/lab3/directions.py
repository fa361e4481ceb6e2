"""Lab 3: OptMargin's directions, orthogonal and of one length."""

import torch

from advcourse.core.rounding import number
from advcourse.labs.checks import Student
from advcourse.labs.exercises import Draw, exercise
from advcourse.labs.lab3.questions import FIRST, LAST
from advcourse.labs.properties import follows_its_seed
from advcourse.labs.verdicts import Finding

PARALLEL = 1e-3  # cosines below this are rounding


def gaussian(x, columns, seed):
    return torch.randn(x[0].numel(), columns, generator=torch.Generator().manual_seed(seed)).to(x)


def orthonormal(x, columns, seed):
    """(columns, d), each row 1 long."""
    return torch.linalg.qr(gaussian(x, columns, seed)).Q.T


def framed(rows, x):
    """The rows as noise, the last replaced by 0."""
    noise = rows.reshape(-1, *x.shape[1:]).clone()
    noise[-1] = 0
    return noise


@exercise(
    "Look around: OptMargin's copies",
    3,
    lambda draw, x: {"copies": 8, "radius": draw.number(0.1, 0.4), "seed": draw.integer()},
    (
        "torch.linalg.qr(matrix).Q has orthonormal columns. How many rows and columns must the matrix have, for "
        "`copies` directions in the space of images?",
        "matrix = torch.randn(d, copies, generator=...) with d = C * H * W. The columns of Q are 1 long. An image whose root "
        "mean square is radius is radius * d ** 0.5 long.",
        "noise = (q.T * radius * d**0.5).reshape(copies, *x.shape[1:]).to(x); then noise[-1] = 0.",
    ),
    shape=lambda case: (case["copies"], *case["x"].shape[1:]),
)
def directions(x, copies, radius, seed):
    return framed(orthonormal(x, copies, seed) * radius * x[0].numel() ** 0.5, x)


@directions.right
def with_gram_schmidt(x, copies, radius, seed):
    generator, found = torch.Generator().manual_seed(seed), []
    for _ in range(copies - 1):
        v = torch.randn(x.shape[1:], generator=generator, dtype=torch.float64).flatten()
        for _ in range(2):
            for u in found:
                v = v - (u @ v) * u
        found.append(v / v.norm())
    rows = torch.stack(found + [torch.zeros_like(found[0])])
    rows[:-1] *= radius / rows[:-1].square().mean(1, keepdim=True).sqrt()
    return rows.reshape(copies, *x.shape[1:]).to(x)


@directions.wrong("largest pixel")
def scaled_by_the_largest_pixel(x, copies, radius, seed):
    q = orthonormal(x, copies, seed)
    return framed(q * radius / q.abs().amax(1, keepdim=True), x)


@directions.wrong("total length")
def radius_long_in_all(x, copies, radius, seed):
    return framed(orthonormal(x, copies, seed) * radius, x)


@directions.wrong("not scaled")
def columns_as_they_are(x, copies, radius, seed):
    return framed(orthonormal(x, copies, seed), x)


@directions.wrong("scaled by d")
def without_the_root(x, copies, radius, seed):
    return framed(orthonormal(x, copies, seed) * radius * x[0].numel(), x)


@directions.wrong("plain noise")
def no_qr(x, copies, radius, seed):
    return framed(gaussian(x, copies, seed).T * radius, x)


@directions.wrong("not orthogonal")
def normalised_noise(x, copies, radius, seed):
    rows = gaussian(x, copies, seed).T
    return framed(rows * radius / rows.square().mean(1, keepdim=True).sqrt(), x)


@directions.wrong("same line")
def one_direction_for_all(x, copies, radius, seed):
    row = orthonormal(x, 1, seed).expand(copies, -1)
    return framed(row * radius * x[0].numel() ** 0.5, x)


@directions.wrong("size")
def half_the_radius(x, copies, radius, seed):
    return directions(x, copies, radius / 2, seed)


@directions.wrong("no centre")
def every_copy_moves(x, copies, radius, seed):
    rows = orthonormal(x, copies, seed) * radius * x[0].numel() ** 0.5
    return rows.reshape(copies, *x.shape[1:])


@directions.wrong("centre first")
def first_replaced(x, copies, radius, seed):
    return directions(x, copies, radius, seed).flip(0)


@directions.wrong("blank directions")
def centre_of_each_half(x, copies, radius, seed):
    noise = directions(x, copies, radius, seed)
    noise[copies // 2] = 0
    return noise


@directions.wrong("shape")
def centre_added(x, copies, radius, seed):
    return torch.cat([every_copy_moves(x, copies, radius, seed), torch.zeros_like(x[:1])])


@directions.wrong("single pixels")
def axes_of_the_space(x, copies, radius, seed):
    chosen = torch.randperm(x[0].numel(), generator=torch.Generator().manual_seed(seed))[:copies]
    rows = torch.eye(x[0].numel()).to(x)[chosen]
    return framed(rows * radius * x[0].numel() ** 0.5, x)


@directions.wrong("no randomness")
def one_seed_for_ever(x, copies, radius, seed):
    return directions(x, copies, radius, 0)


@directions.wrong("not repeatable")
def seed_unused(x, copies, radius, seed):
    return directions(x, copies, radius, int(torch.randint(2**31, (), generator=fresh)))


fresh = torch.Generator().manual_seed(1)


@directions.wrong("random state")
def seeds_everything(x, copies, radius, seed):
    torch.manual_seed(seed)
    matrix = torch.randn(x[0].numel(), copies).to(x)
    return framed(torch.linalg.qr(matrix).Q.T * radius * x[0].numel() ** 0.5, x)


@directions.wrong("other type")
def always_float32(x, copies, radius, seed):
    return directions(x.float(), copies, radius, seed)


@directions.wrong("crash")
def matrix_lies_down(x, copies, radius, seed):
    matrix = torch.randn(copies, x[0].numel(), generator=torch.Generator().manual_seed(seed))
    q = torch.linalg.qr(matrix).Q
    return framed(q * radius * x[0].numel() ** 0.5, x).reshape(copies, *x.shape[1:])


@directions.wrong("channels forgotten")
def height_times_width(x, copies, radius, seed):
    return framed(orthonormal(x, copies, seed) * radius * x[0, 0].numel() ** 0.5, x)


@directions.wrong("part of the seed")
def one_of_two(x, copies, radius, seed):
    return directions(x, copies, radius, seed % 2)


@directions.wrong("part of the seed")
def all_but_the_last_digit(x, copies, radius, seed):
    return directions(x, copies, radius, seed // 10)


@directions.wrong("part of the seed")
def last_ten_bits(x, copies, radius, seed):
    return directions(x, copies, radius, seed & 1023)


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


directions.checks(
    *FIRST,
    ends_with_the_centre,
    has_the_radius,
    counts_all_channels,
    is_orthogonal,
    is_no_grid,
    follows_the_seed,
    *LAST,
)
