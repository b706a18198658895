"""The space of images cut into cells of images that are alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

from dcgan_dist.neighbors.nearest import nearest_l2

FITTED = 10_000
"""Images that the cells are made from; all are put into them."""


def make_cells(images: NDArray[np.float32], count: int, *, seed: int = 0) -> NDArray[np.float32]:
    """Centres (count, d) of k-means on images (n, d); fewer where there are fewer images."""
    rng = np.random.default_rng(seed)
    chosen = images[rng.permutation(len(images))[:FITTED]].astype(np.float64)
    count = max(1, min(count, len(chosen)))
    if count == 1:
        return chosen.mean(0, keepdims=True).astype(np.float32)
    centres, _ = kmeans2(chosen, count, iter=20, minit="++", missing="warn", rng=rng)
    return np.ascontiguousarray(centres, np.float32)


def cell_of(images: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    """Number of the nearest centre of each image: (n,)."""
    return nearest_l2(images, centres)[1][:, 0]
