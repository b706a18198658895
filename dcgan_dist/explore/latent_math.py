"""Arithmetic with z: concepts as means of examples, added and subtracted, and turned along an axis.

Source: section 6.3.2 of the paper.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from dcgan_dist.explore.exploration_options import NOISE
from dcgan_dist.models.latents import seeded


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


Kind = Literal["linear", "spherical"]


def walk(points: Tensor, steps: int, kind: Kind = "linear") -> Tensor:
    """Rows of z between consecutive points; every row begins and ends exactly at its two points.

    Source: section 6.1 of the paper, which draws 9 points and interpolates linearly.

    Args:
        points: (n, latent_dim), n at least 2.
        steps: z per row, at least 2.
        kind: "linear" passes closer to the origin than the prior's draws lie; "spherical" turns from one direction to
            the other at an even pace while the length changes evenly.

    Returns:
        (n - 1, steps, latent_dim).
    """
    if len(points) < 2 or steps < 2:
        raise ValueError(f"a walk needs at least 2 points and 2 steps, not {len(points)} and {steps}")
    share = torch.linspace(0, 1, steps, dtype=points.dtype, device=points.device)[None, :, None]
    start, end = points[:-1, None], points[1:, None]
    rows = torch.lerp(start, end, share) if kind == "linear" else _spherical(start, end, share)
    rows[:, 0], rows[:, -1] = points[:-1], points[1:]
    return rows


def _spherical(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    lengths = start.norm(dim=-1, keepdim=True), end.norm(dim=-1, keepdim=True)
    tiny = torch.finfo(start.dtype).tiny
    a, b = start / lengths[0].clamp_min(tiny), end / lengths[1].clamp_min(tiny)
    angle = torch.arccos((a * b).sum(-1, keepdim=True).clamp(-1, 1))
    sine = angle.sin()
    # Where the two directions agree (or are opposite, or one is zero) there is no arc to follow.
    flat = sine < 1e-4
    safe = torch.where(flat, torch.ones_like(sine), sine)
    arc = (((1 - share) * angle).sin() * a + (share * angle).sin() * b) / safe
    turned = arc * torch.lerp(*lengths, share)
    return torch.where(flat, torch.lerp(start, end, share), turned)


class Smoothness(NamedTuple):
    """Distances between neighbours of rows of images."""

    mean_step: float
    """Mean distance between neighbours in a row."""
    largest_step: float
    """The largest of them."""

    @property
    def ratio(self) -> float:
        """Largest step over mean step: 1 where all are equal, the number of steps where all change is in one jump."""
        return self.largest_step / self.mean_step if self.mean_step else 1.0


def smoothness(rows: Tensor) -> Smoothness:
    """Steps between neighbours.

    Args:
        rows: (rows, steps, ...): images, or features of images; the distance is Euclidean over all further axes.
    """
    steps = (rows[:, 1:] - rows[:, :-1]).flatten(2).double().norm(dim=-1)
    return Smoothness(steps.mean().item(), steps.max().item())


def row_ratio(rows: Tensor) -> float:
    """Largest over mean step within each row, averaged over rows: a jump counts wherever its row begins and ends."""
    ratios = [smoothness(row[None]).ratio for row in rows]
    return sum(ratios) / len(ratios)


def nearest(rows: Tensor, others: Tensor) -> Tensor:
    """Each of rows (rows, steps, d) replaced by the nearest of others (n, d): the walk of a generator that only recalls."""
    flat = rows.flatten(0, 1)
    return others[torch.cdist(flat, others).argmin(1)].unflatten(0, rows.shape[:2])
