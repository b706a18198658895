"""Thumbnails as numbers that brightness, contrast and frames hardly change: edges, lightness and colour of the middle.

Directions of edges tell photographs of the same kind apart (two aircraft before a sky) where lightness alone does not. Means
of signed gradients cancel when an edge moves by a pixel; strengths, axes and histograms of directions over small cells do
not, so that both together know an image and its shifted copy.

Source: histograms of directions, Dalal and Triggs 2005; angles doubled so that both sides of a line agree, Granlund 1978.
"""

from math import cos, pi, sin

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dcgan_dist.files import content_hash
from dcgan_dist.similarity.alignment import blur

MARGIN = 1
"""Pixels at each edge that are not seen."""
EDGE_SIDE, COARSE_EDGE_SIDE, AXIS_SIDE, HISTOGRAM_SIDE = 13, 9, 10, 7
LIGHTNESS_SIDE, COLOUR_SIDE = 13, 7
"""Cells along a side, of the means that are taken."""
DIRECTIONS = 8
"""Bins of a histogram."""
NUMBERS = (
    2 * (EDGE_SIDE**2 + COARSE_EDGE_SIDE**2)
    + 3 * AXIS_SIDE**2
    + DIRECTIONS * HISTOGRAM_SIDE**2
    + LIGHTNESS_SIDE**2
    + 2 * COLOUR_SIDE**2
)
FLAT = 10.0
"""Standard deviation of lightness, in grey levels, below which an image counts as flat and is not amplified further."""
WEAK = 4.0
"""Size of a gradient, in grey levels over two pixels, that is taken for noise of compression."""
EDGE_BLUR, COARSE_EDGE_BLUR, EDGE_BOUND = 0.8, 1.8, 0.3
TINY = 1e-3
"""Strength below which an edge has no direction."""
FORMULAS = 2
"""To be raised when the numbers are computed in another way."""
SIDES = (EDGE_SIDE, COARSE_EDGE_SIDE, AXIS_SIDE, HISTOGRAM_SIDE, LIGHTNESS_SIDE, COLOUR_SIDE)
VERSION = content_hash(
    [FORMULAS, MARGIN, *SIDES, DIRECTIONS, FLAT, WEAK, EDGE_BLUR, COARSE_EDGE_BLUR, EDGE_BOUND, TINY]
)[:16]
"""Changes with whatever the numbers depend on, so that codes of different numbers are never compared."""
BLOCK = 1024


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
    edges, coarse = (bounded_gradients(blur(lightness, width), EDGE_BOUND) for width in (EDGE_BLUR, COARSE_EDGE_BLUR))
    middle = slice(MARGIN, -MARGIN)
    red, green, blue = x[:, :, middle, middle].unbind(1)
    lightness = lightness[:, :, middle, middle]
    colour = torch.stack([(red - blue) / 2, (2 * green - red - blue) / 4], 1)
    deviation = (lightness.var((1, 2, 3), correction=0) + FLAT**2).sqrt()[:, None]
    return torch.cat(
        [
            F.adaptive_avg_pool2d(edges, EDGE_SIDE).flatten(1),
            F.adaptive_avg_pool2d(coarse, COARSE_EDGE_SIDE).flatten(1),
            F.adaptive_avg_pool2d(_axes(edges), AXIS_SIDE).flatten(1),
            F.adaptive_avg_pool2d(_directions(edges), HISTOGRAM_SIDE).flatten(1),
            _centred(F.adaptive_avg_pool2d(lightness, LIGHTNESS_SIDE)) / deviation,
            _centred(F.adaptive_avg_pool2d(colour, COLOUR_SIDE)) / deviation,
        ],
        1,
    )


def _axes(edges: Tensor) -> Tensor:
    """Strength of edges, and their direction at twice the angle: (n, 2, s, s) -> (n, 3, s, s)."""
    dy, dx = edges.split(1, 1)
    strength = _strength(edges)
    both = torch.cat([dx.square() - dy.square(), 2 * dx * dy], 1)
    return torch.cat([strength, both / strength.clamp(min=TINY)], 1)


def _directions(edges: Tensor) -> Tensor:
    """How much of an edge points each way: (n, 2, s, s) -> (n, DIRECTIONS, s, s)."""
    angles = [2 * pi * (number + 0.5) / DIRECTIONS for number in range(DIRECTIONS)]
    along = torch.tensor([[sin(angle), cos(angle)] for angle in angles]) @ edges.flatten(2)
    return along.clamp_(min=0).square_().unflatten(2, edges.shape[2:]) / _strength(edges).clamp(min=TINY)


def _strength(edges: Tensor) -> Tensor:
    return edges.square().sum(1, keepdim=True).sqrt()


def _centred(x: Tensor) -> Tensor:
    """(n, c, s, s) less the mean of each channel, as rows."""
    return (x - x.mean((2, 3), keepdim=True)).flatten(1)
