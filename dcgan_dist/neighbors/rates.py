"""What each step of a search costs on this machine, measured once per process in a fraction of a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from dcgan_dist.neighbors.faiss_search import flat_pairs, gpu_pairs, hash_pairs
from dcgan_dist.neighbors.native_search import block_pairs, tile_pairs
from dcgan_dist.neighbors.product import product_pairs


@dataclass(frozen=True, kw_only=True, slots=True)
class NativeRates:
    """Seconds of all threads together."""

    compare: float
    """Per pair of codes compared."""
    sort: float
    """Per code and choice of blocks: hash, sort, gather, find buckets."""
    hit: float
    """Per pair found in a bucket, whether it counts there or not."""


@cache
def native_rates(code_bits: int) -> NativeRates:
    """Rates of the C++ search."""
    one_bit = np.zeros((2, code_bits), bool)
    one_bit[0, : code_bits // 2], one_bit[1, code_bits // 2 :] = True, True
    compare = _seconds(lambda: tile_pairs(_random(1 << 14, code_bits), None, 0)) / 2**27
    sort = _seconds(lambda: block_pairs(_random(1 << 20, code_bits), None, 1, one_bit)) / 2**21
    hit = _seconds(lambda: block_pairs(np.zeros((1 << 10, code_bits // 8), np.uint8), None, 1, one_bit)) / 2**20
    return NativeRates(compare=compare, sort=sort, hit=hit)


@cache
def flat_rate(code_bits: int) -> float:
    """Seconds per ordered pair of FAISS's flat range search."""
    return _seconds(lambda: flat_pairs(_random(1 << 13, code_bits), None, 0)) / 2**26


@cache
def hash_rates(code_bits: int) -> tuple[float, float]:
    """Seconds of FAISS's hash search per hash of a query, and per code that it compares."""
    sparse, dense = _random(1 << 13, code_bits), _random(1 << 13, code_bits)
    dense[:, : (code_bits // 8 + 1) // 2] = np.random.default_rng(1).integers(0, 8, (1 << 13, 1), np.uint8)
    per_hash = _seconds(lambda: hash_pairs(sparse, None, 1)) / 2**14
    return per_hash, _seconds(lambda: hash_pairs(dense, None, 1)) / 2**23


@cache
def product_rate(code_bits: int) -> float:
    """Seconds per pair of the matrix product on the GPU."""
    return _seconds(lambda: product_pairs(_random(1 << 15, code_bits), None, 0, "cuda")) / 2**29


@cache
def gpu_rate(code_bits: int) -> float:
    """Seconds per ordered pair of FAISS's k-NN on the GPU."""
    return _seconds(lambda: gpu_pairs(_random(1 << 15, code_bits), None, 0)) / 2**30


def _random(n: int, code_bits: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, (n, code_bits // 8), np.uint8)


def _seconds(search: Callable[[], Iterable[Any]]) -> float:
    """Least time of three searches: other programs can only slow one down."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        for _ in search():
            pass
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)
