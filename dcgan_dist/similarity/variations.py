"""Random near copies of thumbnails, many at once, from which a code learns what it must not see."""

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


def vary(images: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """One random near copy of every thumbnail: (n, 3, 32, 32) uint8 -> the same."""
    draw, n = seeded(seed, "variations"), len(images)

    def between(limit: float, *shape: int) -> Tensor:
        return (2 * torch.rand(n, *shape, generator=draw) - 1) * limit

    frame = torch.where(torch.rand(n, generator=draw) < FRAMED, 1 + 2.5 * torch.rand(n, generator=draw), 0.0)
    shrink = SIDE / (SIDE - 2 * frame)
    size, aspect = torch.exp(between(ZOOM)) * shrink, torch.exp(between(ASPECT))
    maps = torch.zeros(n, 2, 3)
    maps[:, 0, 0], maps[:, 1, 1] = size * aspect, size / aspect
    maps[:, :, 2] = between(SHIFT, 2) * 2 / SIDE
    grid = F.affine_grid(maps, [n, 3, SIDE, SIDE], align_corners=False)
    x = F.grid_sample(torch.tensor(images).float(), grid, padding_mode="border", align_corners=False)

    x = 128 + (x - 128) * (1 + between(CONTRAST, 1, 1, 1))
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * (1 + between(SATURATION, 1, 1, 1))
    x = x * (1 + between(BALANCE, 3, 1, 1)) + between(BRIGHTNESS, 1, 1, 1)
    x = x + NOISE * torch.rand(n, 1, 1, 1, generator=draw) * torch.randn(x.shape, generator=draw)

    from_edge = torch.minimum(torch.arange(SIDE), SIDE - 1 - torch.arange(SIDE)) + 0.5
    in_frame = torch.minimum(from_edge[:, None], from_edge)[None] < frame[:, None, None]
    colours = torch.randint(0, 256, (n, 3, 1, 1), generator=draw).float()
    x = torch.where(in_frame[:, None], colours, x)
    return x.round().clamp(0, 255).to(torch.uint8).numpy()
