"""Exact nearest neighbours: of codes by Hamming distance, of vectors by L2 distance over a database that comes in blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import faiss  # isort: skip  torch first: they then share one OpenMP setting

from dcgan_dist.errors import require
from dcgan_dist.neighbors.pairs import Codes, check_codes
from dcgan_dist.neighbors.projection_filter import LEAST_DIMENSION, ProjectionFilter
from dcgan_dist.neighbors.tiles import Tile

_QUERIES, _ROWS = 2048, 4096  # one tile of products: 32 MB of int32
_BLOCK = 1 << 16


def nearest_codes(queries: Codes, database: Codes, k: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Find the k nearest codes, 1 to n, of each query (q, b) by Hamming distance in a database (n, b).

    Returns:
        distances (q, k) int32 in bits, rising, and ids (q, k) int64, rows of the database; among equals the lowest id.

    Raises:
        InputError: codes of another type or of two widths, k out of range.
    """
    queries, database = check_codes(queries, "queries"), check_codes(database, "database")
    require(queries.shape[1] == database.shape[1], "queries and database have codes of different lengths")
    require(1 <= k <= len(database), f"k {k} must be 1 to {len(database)}, the size of the database")
    index: Any = faiss.IndexBinaryFlat(8 * database.shape[1])
    index.use_heap = False  # counting keeps the first of equals, a heap does not
    index.add(database)
    return index.search(queries, k)


class NearestL2:
    """The k nearest vectors, by L2 distance, of a fixed set of queries, while the database comes in blocks.

    uint8 vectors are compared by products of integers, exactly, on a CPU only where short projections of them do not rule out
    that a row is among the k nearest. float32 vectors are compared by float32 products first; all
    that the rounding of these could bring among the k nearest are compared again in float64. On a GPU if there is one.
    """

    def __init__(self, queries: NDArray[Any], k: int = 1, device: str | None = None) -> None:
        """Take queries (q, d) uint8 or float32; torch's name of a device, or None for a GPU if there is one.

        Raises:
            InputError: another dtype or shape, more than 32,768 dimensions of uint8, k below 1, a value that is not finite.
        """
        require(k >= 1, f"k {k} must be at least 1")
        self.k, self.count = k, 0
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._vectors = _vectors(queries, "queries")
        self._tiles = list(_split(self._vectors, _QUERIES, self.device))
        filtered = self.device == "cpu" and queries.dtype == np.uint8 and queries.shape[1] >= LEAST_DIMENSION
        self._filter = ProjectionFilter(self._tiles) if filtered and len(queries) else None
        self.squared_distances = np.full((len(queries), k), np.inf)
        """(q, k) float64, rising; infinite where fewer than k vectors came so far."""
        self.ids = np.full((len(queries), k), -1, np.int64)
        """(q, k) int64: place in the order in which the database came, among equals the lowest; -1 where there is none."""

    @property
    def distances(self) -> NDArray[np.float64]:
        """(q, k) float64: roots of the squared distances."""
        return np.sqrt(self.squared_distances)

    def add(self, block: NDArray[Any]) -> None:
        """Take in the next vectors (b, d) of the database, of the dtype of the queries, any b.

        Raises:
            InputError: another dtype, shape or dimension, or a value that is not finite.
        """
        queries = self._vectors
        require(
            block.dtype == queries.dtype and block.shape[1:] == queries.shape[1:],
            f"the database has vectors {block.shape[1:]} of {block.dtype} and the queries {queries.shape[1:]} of {queries.dtype}",
        )
        block = _vectors(block, "database")
        for rows in _split(block, _ROWS, self.device):
            for tile in self._tiles:
                self._compare(tile, rows, block)
        self.count += len(block)

    def _compare(self, tile: Tile, rows: Tile, block: NDArray[Any]) -> None:
        """Bring the near ones of a tile of products among the k nearest."""
        worst = torch.from_numpy(self.squared_distances[tile.start : tile.stop, -1]).to(self.device)
        if self._filter and (near := self._filter.near_pairs(tile, rows, worst)):
            query, row = near
            squared = tile.squared_distances(rows, query, row)
            closer = squared < worst.numpy()[query]  # of equals the earlier one stays
            self._merge(
                tile.start + query[closer], rows.start + row[closer] + self.count, squared[closer].astype(float)
            )
            return
        relative, slack = tile.relative_distances(rows), tile.slack(rows)
        open_rows = (relative.amin(1) + tile.lengths <= worst + slack).nonzero()[:, 0]
        if not len(open_rows):
            return
        squared, slack = relative[open_rows] + tile.lengths[open_rows, None], slack[open_rows]
        # At least k of the tile lie within its own k-th distance, so what lies beyond it and the slack cannot count.
        kth = squared.topk(min(self.k, squared.shape[1]), dim=1, largest=False).values[:, -1]
        limit = torch.minimum(worst[open_rows] + slack, kth + 2 * slack)
        query, row = (squared <= limit[:, None]).nonzero(as_tuple=True)
        queries = tile.start + open_rows[query].cpu().numpy()
        ids = rows.start + row.cpu().numpy()
        if tile.exact:
            distances = squared[query, row].cpu().numpy().astype(np.float64)
        else:
            distances = _squared_distances(self._vectors, block, queries, ids)
        self._merge(queries, ids + self.count, distances)

    def _merge(self, queries: NDArray[np.int64], ids: NDArray[np.int64], squared: NDArray[np.float64]) -> None:
        if not len(queries):
            return
        touched = np.unique(queries)
        queries = np.concatenate([np.repeat(touched, self.k), queries])
        ids = np.concatenate([self.ids[touched].ravel(), ids])
        squared = np.concatenate([self.squared_distances[touched].ravel(), squared])
        order = np.lexsort((ids, squared, queries))
        # Every touched query has its k old ones at least: the first k of its run are its new ones.
        starts = np.searchsorted(queries[order], touched)
        best = order[starts[:, None] + np.arange(self.k)]
        self.ids[touched], self.squared_distances[touched] = ids[best], squared[best]


def nearest_l2(
    queries: NDArray[Any], database: NDArray[Any] | Iterable[NDArray[Any]], k: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Find the k nearest vectors of each query by L2 distance; of the database one block is in memory at a time.

    Args:
        queries: (q, d) uint8 or float32.
        database: (n, d), of the dtype of the queries (a memory map is read piece by piece), or an iterable of such blocks.
        k: neighbours of each query.

    Returns:
        distances (q, k) float64, rising, and ids (q, k) int64 in the order in which the database came; among equals the
        lowest id. Where the database has fewer than k vectors: infinite, and -1.

    Raises:
        InputError: as `NearestL2`.
    """
    search = NearestL2(queries, k)
    for block in (
        np.array_split(database, range(_BLOCK, len(database), _BLOCK)) if isinstance(database, np.ndarray) else database
    ):
        search.add(block)
    return search.distances, search.ids


def _squared_distances(
    queries: NDArray[Any], block: NDArray[Any], first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Distances of pairs of rows in float64, a few thousand at a time."""
    squared = np.empty(len(first))
    for start in range(0, len(first), 4096):
        pairs = slice(start, start + 4096)
        difference = queries[first[pairs]].astype(np.float64) - block[second[pairs]]
        squared[pairs] = np.einsum("ij,ij->i", difference, difference)
    return squared


def _split(vectors: NDArray[Any], rows: int, device: str) -> Iterator[Tile]:
    return (Tile(start, vectors[start : start + rows], device) for start in range(0, len(vectors), rows))


def _vectors(vectors: NDArray[Any], name: str) -> NDArray[Any]:
    require(
        vectors.ndim == 2 and vectors.dtype in (np.uint8, np.float32),
        f"{name} must be an array (n, d) of uint8 or float32, not {vectors.shape} of {vectors.dtype}",
    )
    if vectors.dtype == np.uint8:
        require(vectors.shape[1] <= 1 << 15, f"{name} have {vectors.shape[1]:,} dimensions, above 32,768: give float32")
    else:
        require(bool(np.isfinite(vectors).all()), f"{name} hold a value that is not finite: leave those rows out")
    return np.ascontiguousarray(vectors)
