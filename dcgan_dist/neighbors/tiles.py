"""A few vectors in the form in which they are multiplied: distances of all pairs of two tiles, or of some, uint8 exactly."""

from __future__ import annotations

import ctypes
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcgan_dist.neighbors.native import built

SOURCE = Path(__file__).with_name("squared_distances.cpp")
_PAIRS = 64
"""Pairs whose differences are in memory at once where no compiler is."""
_EXACT = (1 << 24) // (1 << 14)
"""Products of int8 numbers whose sum float32 holds exactly."""


@cache
def library() -> ctypes.CDLL | None:
    """The function of squared_distances.cpp, or None with one warning where it cannot be built."""
    return built(SOURCE, "comparing single vectors with torch")


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

    def squared_distances(self, rows: Tile, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int32]:
        """(k,) int32: exact, of some vectors of self and as many of the rows; of uint8 vectors on a CPU."""
        squared = np.empty(len(first), np.int32)
        if functions := library():
            vectors = (
                self.vectors.numpy(),
                rows.vectors.numpy(),
                np.ascontiguousarray(first),
                np.ascontiguousarray(second),
            )
            a, b, *ends, out = (ctypes.c_void_p(array.ctypes.data) for array in (*vectors, squared))
            sizes = ctypes.c_int64(len(first)), ctypes.c_int64(self.vectors.shape[1])
            functions.squared_distances(a, b, *ends, *sizes, out)
            return squared
        for start in range(0, len(first), _PAIRS):
            pairs = slice(start, start + _PAIRS)
            difference = self.vectors[first[pairs]].int() - rows.vectors[second[pairs]]
            squared[pairs] = difference.square_().sum(1, dtype=torch.int32).numpy()
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
    return float_products(queries, rows) if _float32_is_faster() else torch._int_mm(queries, rows.T)


def float_products(queries: Tensor, rows: Tensor) -> Tensor:
    """Products (q, r) int32 of int8 vectors by float32 arithmetic, exact: a sum of so few products is below 2^24."""
    total = torch.zeros(len(queries), len(rows), dtype=torch.int32)
    for start in range(0, queries.shape[1], _EXACT):
        part = slice(start, start + _EXACT)
        total += (queries[:, part].float() @ rows[:, part].float().T).int()
    return total


@cache
def _float32_is_faster() -> bool:
    """On a CPU without instructions for int8 products by a factor of twenty; with them slower."""
    vectors = torch.ones(256, _EXACT, dtype=torch.int8)
    seconds = []
    for multiply in (float_products, lambda a, b: torch._int_mm(a, b.T)):
        multiply(vectors, vectors)
        began = time.perf_counter()
        multiply(vectors, vectors)
        seconds.append(time.perf_counter() - began)
    return seconds[0] < seconds[1]
