"""Answers to warp(x, flow)."""

import torch
from torch.nn.functional import affine_grid, grid_sample

from museum import Room

room = Room("warp")


def axes(x):
    height, width = x.shape[2:]
    like = {"dtype": x.dtype, "device": x.device}
    return torch.linspace(-1, 1, width, **like), torch.linspace(-1, 1, height, **like)[:, None]


def sampled(x, flow, across, down, **settings):
    """grid_sample where one pixel is `across` of the grid in width, and `down` in height."""
    xs, ys = axes(x)
    grid = torch.stack([xs + across * flow[:, 0], ys + down * flow[:, 1]], -1)
    return grid_sample(x, grid, **{"padding_mode": "border", "align_corners": True, **settings})


@room.right
def with_linspace(x, flow):
    height, width = x.shape[2:]
    return sampled(x, flow, 2 / (width - 1), 2 / (height - 1))


@room.right
def with_affine_grid(x, flow):
    identity = torch.eye(2, 3, dtype=x.dtype, device=x.device).expand(len(x), -1, -1)
    grid = affine_grid(identity, x.shape, align_corners=True)
    size = torch.tensor([x.shape[3] - 1, x.shape[2] - 1], dtype=x.dtype, device=x.device)
    shift = 2 * flow.permute(0, 2, 3, 1) / size
    return grid_sample(x, (grid + shift).clamp(-1, 1), "bilinear", "zeros", align_corners=True)


@room.right
def four_corners_by_hand(x, flow):
    n, c, height, width = x.shape
    rows = torch.arange(height, device=x.device)[:, None]
    columns = torch.arange(width, device=x.device)
    u = (columns + flow[:, 0]).clamp(0, width - 1)
    v = (rows + flow[:, 1]).clamp(0, height - 1)
    flat, total = x.flatten(2), torch.zeros_like(x)
    for i in (v.floor(), v.floor() + 1):
        for j in (u.floor(), u.floor() + 1):
            weight = (1 - (v - i).abs()).clamp_min(0) * (1 - (u - j).abs()).clamp_min(0)
            place = i.clamp_max(height - 1).long() * width + j.clamp_max(width - 1).long()
            read = flat.gather(2, place.view(n, 1, -1).expand(-1, c, -1)).view_as(x)
            total = total + weight[:, None] * read
    return total


@room.wrong("x and y swapped")
def rows_first(x, flow):
    return with_linspace(x, flow.flip(1))


@room.wrong("wrong way")
def flow_subtracted(x, flow):
    return with_linspace(x, -flow)


@room.wrong("pixels unconverted")
def pixels_as_they_are(x, flow):
    return sampled(x, flow, 1, 1)


@room.wrong("half a shift")
def factor_two_forgotten(x, flow):
    height, width = x.shape[2:]
    return sampled(x, flow, 1 / (width - 1), 1 / (height - 1))


@room.wrong("W instead of W - 1")
def divided_by_the_width(x, flow):
    height, width = x.shape[2:]
    return sampled(x, flow, 2 / width, 2 / height)


@room.wrong("sides swapped")
def height_for_width(x, flow):
    height, width = x.shape[2:]
    return sampled(x, flow, 2 / (height - 1), 2 / (width - 1))


@room.wrong("one size for both")
def square_images_alone(x, flow):
    return sampled(x, flow, 2 / (x.shape[2] - 1), 2 / (x.shape[2] - 1))


@room.wrong("align_corners")
def corners_not_aligned(x, flow):
    height, width = x.shape[2:]
    return sampled(x, flow, 2 / (width - 1), 2 / (height - 1), align_corners=False)


@room.wrong("black border")
def padded_with_zeros(x, flow):
    height, width = x.shape[2:]
    return sampled(x, flow, 2 / (width - 1), 2 / (height - 1), padding_mode="zeros")


@room.wrong("nearest")
def nearest_pixel(x, flow):
    height, width = x.shape[2:]
    return sampled(x, flow, 2 / (width - 1), 2 / (height - 1), mode="nearest")


@room.wrong("transposed")
def rows_and_columns_mixed_up(x, flow):
    height, width = x.shape[2:]
    xs, ys = axes(x)
    grid = torch.stack([ys + 2 * flow[:, 1] / (height - 1), xs + 2 * flow[:, 0] / (width - 1)], -1)
    return grid_sample(x, grid, padding_mode="border", align_corners=True)


@room.wrong("zero flow")
def grid_from_zero(x, flow):
    height, width = x.shape[2:]
    xs, ys = ((axis + 1) / 2 for axis in axes(x))
    grid = torch.stack([xs + 2 * flow[:, 0] / (width - 1), ys + 2 * flow[:, 1] / (height - 1)], -1)
    return grid_sample(x, grid, padding_mode="border", align_corners=True)


@room.wrong("flow unused")
def flow_unused(x, flow):
    return with_linspace(x, torch.zeros_like(flow))


@room.wrong("other type")
def grid_of_float32(x, flow):
    height, width = x.shape[2:]
    xs, ys = torch.linspace(-1, 1, width), torch.linspace(-1, 1, height)[:, None]
    u, v = flow.float()[:, 0], flow.float()[:, 1]
    grid = torch.stack([xs + 2 * u / (width - 1), ys + 2 * v / (height - 1)], -1)
    return grid_sample(x, grid, padding_mode="border", align_corners=True)


@room.wrong("detached")
def flow_detached(x, flow):
    return with_linspace(x, flow.detach())


@room.wrong("detached")
def without_gradients(x, flow):
    with torch.no_grad():
        return with_linspace(x, flow)


@room.wrong("gradient")
def one_part_detached(x, flow):
    return with_linspace(x, torch.stack([flow[:, 0], flow[:, 1].detach()], 1))


@room.wrong("formula")
def mirrored_at_the_border(x, flow):
    height, width = x.shape[2:]
    return sampled(x, flow, 2 / (width - 1), 2 / (height - 1), padding_mode="reflection")
