"""Arithmetic with z: concepts as means of examples, added and subtracted, and turned along an axis.

Source: section 6.3.2 of the paper.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dcgan_dist.models.latents import seeded

NOISE = 0.25
"""Largest change of each component of z around a result."""


def combine(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """mean(A) - mean(B) + mean(C) of exemplars (n, ...): z, or images for the baseline in the space of pixels."""
    return a.mean(0) - b.mean(0) + c.mean(0)


def surroundings(y: Tensor, *, noise: float = NOISE, seed: int = 0) -> Tensor:
    """A 3 x 3 grid of z around y (latent_dim,): itself in the centre, y + uniform(-noise, noise) in the other places.

    Returns:
        (9, latent_dim), row by row.
    """
    around = torch.rand((8, len(y)), generator=seeded(seed, "surroundings")) * 2 - 1
    around = y + noise * around.to(y)
    return torch.cat([around[:4], y[None], around[4:]])


def turn_axis(left: Tensor, right: Tensor) -> Tensor:
    """mean(left) - mean(right) of exemplars (n, latent_dim): (latent_dim,)."""
    return left.mean(0) - right.mean(0)


def along(z: Tensor, axis: Tensor, shares: Tensor) -> Tensor:
    """Each z (n, latent_dim) plus each share (k,) of the axis (latent_dim,): (n, k, latent_dim)."""
    return z[:, None] + shares[None, :, None].to(z) * axis
