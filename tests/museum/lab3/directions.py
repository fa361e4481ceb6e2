"""Answers to directions(x, copies, radius, seed)."""

import torch

from museum import Room

room = Room("directions")


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


@room.right
def with_qr(x, copies, radius, seed):
    return framed(orthonormal(x, copies, seed) * radius * x[0].numel() ** 0.5, x)


@room.right
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


@room.wrong("largest pixel")
def scaled_by_the_largest_pixel(x, copies, radius, seed):
    q = orthonormal(x, copies, seed)
    return framed(q * radius / q.abs().amax(1, keepdim=True), x)


@room.wrong("total length")
def radius_long_in_all(x, copies, radius, seed):
    return framed(orthonormal(x, copies, seed) * radius, x)


@room.wrong("not scaled")
def columns_as_they_are(x, copies, radius, seed):
    return framed(orthonormal(x, copies, seed), x)


@room.wrong("scaled by d")
def without_the_root(x, copies, radius, seed):
    return framed(orthonormal(x, copies, seed) * radius * x[0].numel(), x)


@room.wrong("plain noise")
def no_qr(x, copies, radius, seed):
    return framed(gaussian(x, copies, seed).T * radius, x)


@room.wrong("not orthogonal")
def normalised_noise(x, copies, radius, seed):
    rows = gaussian(x, copies, seed).T
    return framed(rows * radius / rows.square().mean(1, keepdim=True).sqrt(), x)


@room.wrong("same line")
def one_direction_for_all(x, copies, radius, seed):
    row = orthonormal(x, 1, seed).expand(copies, -1)
    return framed(row * radius * x[0].numel() ** 0.5, x)


@room.wrong("size")
def half_the_radius(x, copies, radius, seed):
    return framed(orthonormal(x, copies, seed) * radius / 2 * x[0].numel() ** 0.5, x)


@room.wrong("no centre")
def every_copy_moves(x, copies, radius, seed):
    rows = orthonormal(x, copies, seed) * radius * x[0].numel() ** 0.5
    return rows.reshape(copies, *x.shape[1:])


@room.wrong("centre first")
def first_replaced(x, copies, radius, seed):
    return with_qr(x, copies, radius, seed).flip(0)


@room.wrong("blank directions")
def centre_of_each_half(x, copies, radius, seed):
    noise = with_qr(x, copies, radius, seed)
    noise[copies // 2] = 0
    return noise


@room.wrong("shape")
def centre_added(x, copies, radius, seed):
    rows = orthonormal(x, copies, seed) * radius * x[0].numel() ** 0.5
    return torch.cat([rows.reshape(copies, *x.shape[1:]), torch.zeros_like(x[:1])])


@room.wrong("single pixels")
def axes_of_the_space(x, copies, radius, seed):
    chosen = torch.randperm(x[0].numel(), generator=torch.Generator().manual_seed(seed))[:copies]
    rows = torch.eye(x[0].numel()).to(x)[chosen]
    return framed(rows * radius * x[0].numel() ** 0.5, x)


@room.wrong("no randomness")
def one_seed_for_ever(x, copies, radius, seed):
    return with_qr(x, copies, radius, 0)


@room.wrong("not repeatable")
def seed_unused(x, copies, radius, seed):
    return with_qr(x, copies, radius, int(torch.randint(2**31, (), generator=fresh)))


fresh = torch.Generator().manual_seed(1)


@room.wrong("random state")
def seeds_everything(x, copies, radius, seed):
    torch.manual_seed(seed)
    matrix = torch.randn(x[0].numel(), copies).to(x)
    return framed(torch.linalg.qr(matrix).Q.T * radius * x[0].numel() ** 0.5, x)


@room.wrong("other type")
def always_float32(x, copies, radius, seed):
    return with_qr(x.float(), copies, radius, seed)


@room.wrong("crash")
def matrix_lies_down(x, copies, radius, seed):
    matrix = torch.randn(copies, x[0].numel(), generator=torch.Generator().manual_seed(seed))
    q = torch.linalg.qr(matrix).Q
    return framed(q * radius * x[0].numel() ** 0.5, x).reshape(copies, *x.shape[1:])


@room.wrong("channels forgotten")
def height_times_width(x, copies, radius, seed):
    d = x.shape[2] * x.shape[3]
    return framed(orthonormal(x, copies, seed) * radius * d**0.5, x)


@room.wrong("part of the seed")
def one_of_two(x, copies, radius, seed):
    return with_qr(x, copies, radius, seed % 2)


@room.wrong("part of the seed")
def all_but_the_last_digit(x, copies, radius, seed):
    return with_qr(x, copies, radius, seed // 10)


@room.wrong("part of the seed")
def last_ten_bits(x, copies, radius, seed):
    return with_qr(x, copies, radius, seed & 1023)
