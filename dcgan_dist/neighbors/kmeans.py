"""Centroids of many vectors by k-means."""

from typing import Any

import numpy as np
import torch  # noqa: F401  before faiss: they then share one OpenMP setting
from numpy.typing import NDArray

import faiss  # isort: skip

from dcgan_dist.errors import require


def kmeans(
    vectors: NDArray[np.float32], k: int, *, iterations: int, seed: int, use_gpu: bool = False
) -> NDArray[np.float32]:
    """Centroids (k, d) of all vectors (n, d) by Lloyd's algorithm, from k vectors drawn at random, on FAISS's GPUs or not.

    Raises:
        InputError: fewer vectors than centroids.
    """
    n, d = vectors.shape
    require(n >= k, f"{k} centroids need at least as many vectors, and there are {n}: ask for fewer centroids")
    clustering: Any = faiss.Kmeans(
        d, k, niter=iterations, seed=seed, gpu=use_gpu, max_points_per_centroid=-(-n // k), min_points_per_centroid=1
    )
    clustering.train(np.ascontiguousarray(vectors, np.float32))
    return clustering.centroids
