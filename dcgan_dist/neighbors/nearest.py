"""Exact nearest neighbours: of codes by Hamming distance, of vectors by L2 distance over a database that comes in blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import faiss  # isort: skip  torch first: they then share one OpenMP setting

from dcgan_dist.errors import require
from dcgan_dist.neighbors.pairs import Codes, check_codes

_QUERIES, _ROWS = 2048, 4096  # one tile of products: 32 MB of int32
_BLOCK = 1 << 16
_LEAST_FILTERED = 256
"""Dimensions from which a filter is worth its while."""
_MOST_NEAR = 0.02
"""Share of the pairs of a tile above which all its products cost less than the single pairs."""
_PAIRS = 512


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
        filtered = self.device == "cpu" and queries.dtype == np.uint8 and queries.shape[1] >= _LEAST_FILTERED
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
        if self._filter and (pairs := self._filter.near_pairs(tile, rows, worst)):
            near, squared = pairs, tile.squared_distances(rows, *pairs)
            closer = squared < worst[near[0]]  # of equals the earlier one stays
            query, row = (side[closer].numpy() for side in near)
            self._merge(tile.start + query, rows.start + row + self.count, squared[closer].numpy().astype(np.float64))
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


class ProjectionFilter:
    """Rules out rows by a few numbers of each: no two vectors lie nearer to each other than their projections.

    Vectors of images vary in few directions, so that most rows are ruled out by about 1/24 of the arithmetic. The bound is
    strict: the projection contracts, and what rounding can have added to it is taken off.
    """

    def __init__(self, tiles: Sequence[Tile]) -> None:
        """Choose the directions in which some of the queries vary most; others would only rule out less."""
        sample = torch.cat([tile.vectors for tile in tiles])[:_QUERIES].double()
        sample -= sample.mean(0)
        dimension = sample.shape[1]
        self._rank = min(dimension, max(32, dimension // 24))
        drawn = torch.randn(dimension, self._rank, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        for _ in range(3):  # power iterations, as of a randomised SVD
            drawn = torch.linalg.qr(sample.T @ (sample @ drawn)).Q
        self._basis = (drawn * (1 - 2.0**-12)).float()

    def near_pairs(self, tile: Tile, rows: Tile, worst: Tensor) -> tuple[Tensor, Tensor] | None:
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
        near = factors @ projected.T <= limit.float().nextafter(torch.tensor(torch.inf))[:, None]
        if int(near.sum()) > _MOST_NEAR * near.numel():
            return None
        first, second = near.nonzero(as_tuple=True)
        return first, second

    def _project(self, tile: Tile) -> Tensor:
        """(n, rank + 1): projections, and their squared lengths."""
        if tile.projected is None:
            projected = tile.vectors.float() @ self._basis
            tile.projected = torch.cat([projected, projected.double().square().sum(1, keepdim=True).float()], 1)
        return tile.projected


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


class Tile:
    """A few vectors in the form in which they are multiplied, with their squared lengths."""

    def __init__(self, start: int, vectors: NDArray[Any], device: str) -> None:
        self.start, self.stop = start, start + len(vectors)
        self.exact = vectors.dtype == np.uint8
        self.projected: Tensor | None = None
        """By a `ProjectionFilter`, once it was needed."""
        if self.exact:
            # A shift by 128 changes no distance and makes int8 of uint8.
            self.vectors = torch.from_numpy((vectors ^ 128).view(np.int8)).to(device)
            self.lengths = self.vectors.int().square().sum(1, dtype=torch.int32)
        else:
            self.vectors = torch.from_numpy(vectors).to(device)
            self.lengths = self.vectors.double().square().sum(1)

    def squared_distances(self, rows: Tile, first: Tensor, second: Tensor) -> Tensor:
        """(k,) int32: exact, of some vectors of self and as many of the rows."""
        squared = torch.empty(len(first), dtype=torch.int32)
        for start in range(0, len(first), _PAIRS):
            pairs = slice(start, start + _PAIRS)
            difference = self.vectors[first[pairs]].int() - rows.vectors[second[pairs]]
            squared[pairs] = difference.square_().sum(1, dtype=torch.int32)
        return squared

    def relative_distances(self, rows: Tile) -> Tensor:
        """(len(self), len(rows)): squared distances less the squared lengths of self, int32, or float32 and not exact."""
        products = _integer_products(self.vectors, rows.vectors) if self.exact else self.vectors @ rows.vectors.T
        return torch.add(rows.lengths.to(products.dtype).expand_as(products), products, alpha=-2, out=products)

    def slack(self, rows: Tile) -> Tensor:
        """(len(self),) float64: how far a squared distance can be from the true one by rounding.

        A product of d terms in float32 is off by at most about d eps |x| |y|, whatever the order of summation, and by 2^-7
        |x| |y| more where torch was allowed to round the factors.
        """
        if self.exact:
            return torch.zeros(len(self.vectors), dtype=torch.float64, device=self.vectors.device)
        longest = rows.lengths.max().sqrt()
        rounded = 0 if torch.get_float32_matmul_precision() == "highest" else 2.0**-7
        return ((self.vectors.shape[1] + 8) * 2.0**-23 + rounded) * (self.lengths.sqrt() + longest).square()


def _integer_products(queries: Tensor, rows: Tensor) -> Tensor:
    """(q, r) int32; the int8 product of a GPU needs sizes that are multiples of 8 and more than 16 rows."""
    if queries.is_cuda:
        q, r = len(queries), len(rows)
        pad = torch.nn.functional.pad
        queries = pad(queries, (0, -queries.shape[1] % 8, 0, max(32 - q, -q % 8)))
        rows = pad(rows, (0, -rows.shape[1] % 8, 0, max(32 - r, -r % 8)))
        return torch._int_mm(queries, rows.T)[:q, :r]
    return torch._int_mm(queries, rows.T)


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
