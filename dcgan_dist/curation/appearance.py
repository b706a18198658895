"""Thumbnails as numbers that brightness, contrast and frames hardly change: edges, lightness and colour of the middle.

Directions of edges tell photographs of the same kind apart (two aircraft before a sky) where lightness alone does not.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dcgan_dist.config import content_hash
from dcgan_dist.curation.alignment import blur

MARGIN = 1
"""Pixels at each edge that are not seen."""
EDGE_SIDE, LIGHTNESS_SIDE, COLOUR_SIDE = 13, 13, 7
NUMBERS = 2 * EDGE_SIDE**2 + LIGHTNESS_SIDE**2 + 2 * COLOUR_SIDE**2
FLAT = 10.0
"""Standard deviation of lightness, in grey levels, below which an image counts as flat and is not amplified further."""
WEAK = 4.0
"""Size of a gradient, in grey levels over two pixels, that is taken for noise of compression."""
EDGE_BLUR, EDGE_BOUND = 0.8, 0.3
VERSION = content_hash([MARGIN, EDGE_SIDE, LIGHTNESS_SIDE, COLOUR_SIDE, FLAT, WEAK, EDGE_BLUR, EDGE_BOUND])[:16]
"""Changes with whatever the numbers depend on, so that codes of different numbers are never compared."""
BLOCK = 4096


def appearance(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Edges, lightness and colour: (n, 3, 32, 32) uint8 -> (n, NUMBERS)."""
    out = np.empty((len(images), NUMBERS), np.float32)
    for first in range(0, len(images), BLOCK):
        block = torch.from_numpy(images[first : first + BLOCK].astype(np.float32))
        out[first : first + BLOCK] = _appearance(block).numpy()
    return out


def bounded_gradients(x: Tensor, bound: float) -> Tensor:
    """Gradients g / (|g| + c): (n, 1, s, s) -> (n, 2, s - 2, s - 2), so that one strong line does not outweigh all others.

    Args:
        x: lightness.
        bound: c as a share of the root mean square of all gradients of an image, to which WEAK is added.
    """
    dy, dx = x[..., 2:, 1:-1] - x[..., :-2, 1:-1], x[..., 1:-1, 2:] - x[..., 1:-1, :-2]
    size = (dy.square() + dx.square()).sqrt()
    return torch.cat([dy, dx], 1) / (size + bound * size.square().mean((2, 3), keepdim=True).sqrt() + WEAK)


def _appearance(x: Tensor) -> Tensor:
    lightness = x.mean(1, keepdim=True)
    edges = bounded_gradients(blur(lightness, EDGE_BLUR), EDGE_BOUND)
    middle = slice(MARGIN, -MARGIN)
    red, green, blue = x[:, :, middle, middle].unbind(1)
    lightness = lightness[:, :, middle, middle]
    colour = torch.stack([(red - blue) / 2, (2 * green - red - blue) / 4], 1)
    deviation = (lightness.var((1, 2, 3), correction=0) + FLAT**2).sqrt()[:, None]
    return torch.cat(
        [
            F.adaptive_avg_pool2d(edges, EDGE_SIDE).flatten(1),
            _centred(F.adaptive_avg_pool2d(lightness, LIGHTNESS_SIDE)) / deviation,
            _centred(F.adaptive_avg_pool2d(colour, COLOUR_SIDE)) / deviation,
        ],
        1,
    )


def _centred(x: Tensor) -> Tensor:
    """(n, c, s, s) less the mean of each channel, as rows."""
    return (x - x.mean((2, 3), keepdim=True)).flatten(1)
