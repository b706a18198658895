"""Random near copies of thumbnails, many at once, from which a code learns what it must not see."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dcgan_dist.models.latents import seeded
from dcgan_dist.similarity.thumbnails import SIDE

SHIFT, ZOOM, ASPECT = 1.0, 0.05, 0.015
"""Greatest shift in pixels, and greatest logarithm of a change of size and of the ratio of sides."""
FRAMED = 0.125
"""Share of images that shrink into a frame of 1 to 3.5 pixels."""
CONTRAST, SATURATION, BALANCE, BRIGHTNESS = 0.125, 0.25, 0.05, 12.5
"""Greatest relative changes, and the greatest change of all values in grey levels."""
NOISE = 4.0
"""Greatest standard deviation of noise, in grey levels; stands for compression too."""
BLOCK = 256


class Changes(NamedTuple):
    """What makes near copies of n images."""

    frame: Tensor
    """(n,) pixels."""
    size: Tensor
    """(n,) factor."""
    aspect: Tensor
    """(n,) ratio of the sides."""
    shift: Tensor
    """(n, 2) pixels, across and down."""
    contrast: Tensor
    """(n, 1, 1, 1) relative change, as the next two."""
    saturation: Tensor
    """(n, 1, 1, 1)"""
    balance: Tensor
    """(n, 3, 1, 1)"""
    brightness: Tensor
    """(n, 1, 1, 1) grey levels."""
    deviation: Tensor
    """(n, 1, 1, 1) of the noise, in grey levels."""
    noise: Tensor
    """(n, 3, 32, 32) of unit variance."""
    colour: Tensor
    """(n, 3, 1, 1) of the frame, 0 to 255."""


def draw_changes(n: int, seed: int) -> Changes:
    """Random changes of n images."""
    draw = seeded(seed, "variations")

    def between(limit: float, *shape: int) -> Tensor:
        return (2 * torch.rand(n, *shape, generator=draw) - 1) * limit

    return Changes(
        frame=torch.where(torch.rand(n, generator=draw) < FRAMED, 1 + 2.5 * torch.rand(n, generator=draw), 0.0),
        size=torch.exp(between(ZOOM)),
        aspect=torch.exp(between(ASPECT)),
        shift=between(SHIFT, 2),
        contrast=between(CONTRAST, 1, 1, 1),
        saturation=between(SATURATION, 1, 1, 1),
        balance=between(BALANCE, 3, 1, 1),
        brightness=between(BRIGHTNESS, 1, 1, 1),
        deviation=NOISE * torch.rand(n, 1, 1, 1, generator=draw),
        noise=torch.randn(n, 3, SIDE, SIDE, generator=draw),
        colour=torch.randint(0, 256, (n, 3, 1, 1), generator=draw).float(),
    )


def vary(images: NDArray[np.uint8], changes: Changes) -> NDArray[np.uint8]:
    """Near copies of thumbnails: (n, 3, 32, 32) uint8 -> the same."""
    out = np.empty_like(images)
    for first in range(0, len(images), BLOCK):  # small enough for a processor's cache
        rows = slice(first, first + BLOCK)
        out[rows] = _vary(torch.tensor(images[rows]).float(), rows_of(changes, rows)).numpy()
    return out


def rows_of(changes: Changes, rows: slice) -> Changes:
    """The changes of some of the images."""
    return Changes(*(column[rows] for column in changes))


def _vary(x: Tensor, change: Changes) -> Tensor:
    """Changed images: (n, 3, 32, 32) float, 0 to 255 -> uint8."""
    size = change.size * (SIDE / (SIDE - 2 * change.frame))
    maps = torch.zeros(len(x), 2, 3)
    maps[:, 0, 0], maps[:, 1, 1] = size * change.aspect, size / change.aspect
    maps[:, :, 2] = change.shift * 2 / SIDE
    grid = F.affine_grid(maps, list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)

    x = 128 + (x - 128) * (1 + change.contrast)
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * (1 + change.saturation)
    x = x * (1 + change.balance) + change.brightness + change.deviation * change.noise

    from_edge = torch.minimum(torch.arange(SIDE), SIDE - 1 - torch.arange(SIDE)) + 0.5
    in_frame = torch.minimum(from_edge[:, None], from_edge)[None] < change.frame[:, None, None]
    return torch.where(in_frame[:, None], change.colour, x).round().clamp(0, 255).to(torch.uint8)
