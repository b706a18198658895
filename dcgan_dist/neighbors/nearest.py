"""Exact nearest neighbours of codes (Hamming) and of vectors (L2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch  # noqa: F401  before faiss: they then share one OpenMP setting
from numpy.typing import NDArray

import faiss  # isort: skip

from dcgan_dist.config import require
from dcgan_dist.neighbors.pairs import Codes, check_codes


def nearest_codes(queries: Codes, database: Codes, k: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Find the k nearest codes of each query by Hamming distance.

    Args:
        queries: (q, b) uint8.
        database: (n, b) uint8.
        k: 1 to n.

    Returns:
        distances (q, k) int32 in bits, rising, and ids (q, k) int64, rows of the database; among equals the lowest id.
    """
    queries, database = check_codes(queries, "queries"), check_codes(database, "database")
    require(1 <= k <= len(database), f"k {k} must be 1 to {len(database)}, the size of the database")
    index: Any = faiss.IndexBinaryFlat(8 * database.shape[1])
    index.use_heap = False
    index.add(database)
    return index.search(queries, k)


class NearestL2:
    """The k nearest vectors, by L2 distance, of a fixed set of queries, while the database comes in blocks."""

    def __init__(self, queries: NDArray[Any], k: int = 1) -> None:
        """Take the queries: (q, d) uint8 or float32."""
        self.queries, self.k, self.seen = queries, k, 0
        self.squared_distances = np.full((len(queries), k), np.inf)
        self.ids = np.full((len(queries), k), -1, np.int64)

    def add(self, block: NDArray[Any]) -> None:
        """Take in the next rows of the database: (b, d), of the dtype of the queries; ids go on counting."""
        index: Any = faiss.IndexFlatL2(block.shape[1])
        index.add(block.astype(np.float32))
        squared, ids = index.search(self.queries.astype(np.float32), min(self.k, len(block)))
        squared = np.concatenate([self.squared_distances, squared], 1)
        ids = np.concatenate([self.ids, ids + self.seen], 1)
        best = np.argsort(squared, 1, kind="stable")[:, : self.k]
        self.squared_distances = np.take_along_axis(squared, best, 1)
        self.ids = np.take_along_axis(ids, best, 1)
        self.seen += len(block)

    @property
    def distances(self) -> NDArray[np.float64]:
        """(q, k) float64, rising; infinite where the database had fewer than k vectors so far, and there the id is -1."""
        return np.sqrt(self.squared_distances)


def nearest_l2(
    queries: NDArray[Any], database: NDArray[Any] | Iterable[NDArray[Any]], k: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Find the k nearest vectors of each query by L2 distance; of the database only one block is in memory at a time.

    Args:
        queries: (q, d) uint8 or float32.
        database: (n, d), of the dtype of the queries, or an iterable of such blocks.
        k: neighbours of each query.

    Returns:
        distances (q, k) float64, rising, and ids (q, k) int64 in the order in which the database came; among equals the
        lowest id.
    """
    search = NearestL2(queries, k)
    for block in [database] if isinstance(database, np.ndarray) else database:
        search.add(block)
    return search.distances, search.ids
