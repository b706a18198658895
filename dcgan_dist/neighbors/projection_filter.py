"""Which vectors cannot be near to each other, by a few numbers of each."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcgan_dist.neighbors.tiles import Tile, library

LEAST_DIMENSION = 256
"""Dimensions from which a filter is worth its while."""
SAMPLE = 2048
"""Queries that the directions are chosen by."""
MOST_NEAR, MOST_NEAR_SLOWLY = 0.05, 0.005
"""Share of the pairs of two tiles above which all their products cost less than these pairs, in C++ and without a compiler."""


class ProjectionFilter:
    """Rules out rows by a few numbers of each: no two vectors lie nearer to each other than their projections.

    Vectors of images vary in few directions, so that most rows are ruled out by about 1/24 of the arithmetic. The bound is
    strict: the projection contracts, and what rounding can have added to it is taken off.
    """

    def __init__(self, tiles: Sequence[Tile]) -> None:
        """Choose the directions in which some of the queries vary most; others would only rule out less."""
        enough = -(-SAMPLE // len(tiles[0].vectors))
        sample = torch.cat([tile.vectors for tile in tiles[:enough]])[:SAMPLE].double()
        sample -= sample.mean(0)
        dimension = sample.shape[1]
        self._rank = min(dimension, max(32, dimension // 24))
        drawn = torch.randn(dimension, self._rank, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        for _ in range(3):  # power iterations, as of a randomised SVD
            drawn = torch.linalg.qr(sample.T @ (sample @ drawn)).Q
        self._basis = (drawn * (1 - 2.0**-12)).float()

    def near_pairs(self, tile: Tile, rows: Tile, worst: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Places (k,) of queries and of rows that may be nearer than `worst` (q,), squared; None where they are too many."""
        if not bool(worst.isfinite().all()) or torch.get_float32_matmul_precision() != "highest":
            return None
        queries, projected = self._project(tile), self._project(rows)
        longest, dimension = rows.lengths.max().double().sqrt(), tile.vectors.shape[1]
        lengths = tile.lengths.double().sqrt()
        # By a sum of d products in float32 each of the numbers is off by at most d eps |x|.
        moved = (dimension + 8) * 2.0**-23 * self._rank**0.5 * (lengths + longest)
        slack = (self._rank + 16) * 2.0**-23 * (lengths + longest).square()
        limit = (worst.sqrt() + moved).square() + slack - queries[:, :-1].double().square().sum(1)
        # (-2 a, 1) times (b, |b|^2) is the squared distance less |a|^2.
        factors = torch.cat([-2 * queries[:, :-1], torch.ones(len(queries), 1)], 1)
        near = (factors @ projected.T <= limit.float().nextafter(torch.tensor(torch.inf))[:, None]).numpy()
        # numpy counts and finds them in a twentieth of torch's time, which was more than that of the products.
        if np.count_nonzero(near) > (MOST_NEAR if library() else MOST_NEAR_SLOWLY) * near.size:
            return None
        first, second = np.divmod(np.flatnonzero(near), near.shape[1])
        return first, second

    def _project(self, tile: Tile) -> Tensor:
        """(n, rank + 1): projections, and their squared lengths."""
        if tile.projected is None:
            projected = tile.vectors.float() @ self._basis
            tile.projected = torch.cat([projected, projected.double().square().sum(1, keepdim=True).float()], 1)
        return tile.projected
