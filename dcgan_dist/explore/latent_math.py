"""Arithmetic with z: concepts as means of examples, added and subtracted, and turned along an axis.

Source: section 6.3.2 of the paper.
"""

from typing import Literal

import torch
from torch import Tensor

from dcgan_dist.explore.exploration_options import NOISE
from dcgan_dist.models.latents import seeded


def combine(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """mean(A) - mean(B) + mean(C) of exemplars (n, ...): z, or images for the baseline in the space of pixels."""
    return difference(a, b) + c.mean(0)


def surroundings(y: Tensor, *, noise: float = NOISE, seed: int = 0) -> Tensor:
    """A 3 x 3 grid of z around y (latent_dim,): itself in the centre, y + uniform(-noise, noise) in the other places.

    Returns:
        (9, latent_dim), row by row.
    """
    around = torch.rand((8, len(y)), generator=seeded(seed, "surroundings")) * 2 - 1
    around = y + noise * around.to(y)
    return torch.cat([around[:4], y[None], around[4:]])


def difference(first: Tensor, second: Tensor) -> Tensor:
    """mean(first) - mean(second) of exemplars (n, ...)."""
    return first.mean(0) - second.mean(0)


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


def smoothness(rows: Tensor) -> dict[str, float]:
    """Steps between neighbours in rows of images or features (rows, steps, ...), Euclidean over all further axes.

    Returns:
        Mean and largest step, and the ratio of the largest to the mean: 1 where all are equal, the number of steps where all
        change is in one jump. `ratio_within_rows` is the mean over rows of each row's own, for a jump in every row.
    """
    steps = (rows[:, 1:] - rows[:, :-1]).flatten(2).double().norm(dim=-1)

    def ratio(steps: Tensor) -> float:
        return steps.max().item() / steps.mean().item() if steps.any() else 1.0

    ratios = [ratio(row) for row in steps]
    figures = {"mean_step": steps.mean().item(), "largest_step": steps.max().item(), "ratio": ratio(steps)}
    return {**figures, "ratio_within_rows": sum(ratios) / len(ratios)}


def nearest(rows: Tensor, others: Tensor) -> Tensor:
    """Each of rows (rows, steps, d) replaced by the nearest of others (n, d): the walk of a generator that only recalls."""
    flat = rows.flatten(0, 1)
    return others[torch.cdist(flat, others).argmin(1)].unflatten(0, rows.shape[:2])
