"""What each step of a search costs on this machine, measured once per process in a fraction of a second."""

import math
import time
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
import torch

from dcgan_dist.neighbors.faiss_search import flat_pairs, gpu_pairs, hash_pairs
from dcgan_dist.neighbors.matrix_products import product_pairs
from dcgan_dist.neighbors.native_search import block_pairs, tile_pairs


@cache
def compare_rate(words: int) -> float:
    """Seconds of all threads together per pair of codes of so many 64-bit words, compared by the C++ search."""
    return _seconds(lambda: tile_pairs(_random(1 << 14, 64 * words), None, 0)) / 2**27


@cache
def block_rates(words: int) -> tuple[float, float, float]:
    """Seconds of all threads of the C++ search together per code and choice of blocks, pair in a bucket, and pair within the radius.

    The first is what hashing, sorting and gathering cost; the third counts pairs that do not count in this bucket too.
    """
    halves = np.repeat(np.eye(2, dtype=bool), 32 * words, axis=1)
    sort = _seconds(lambda: block_pairs(_random(1 << 19, 64 * words), None, 1, halves)) / 2**20
    bucket = _random(1 << 13, 64 * words)
    bucket[:, : 4 * words] = 0
    compare = _seconds(lambda: block_pairs(bucket, None, 1, halves)) / 2**25
    hit = _seconds(lambda: block_pairs(np.zeros((1 << 10, 8 * words), np.uint8), None, 1, halves)) / 2**20
    return sort, compare, hit


@cache
def flat_rate(words: int) -> float:
    """Seconds per ordered pair of FAISS's flat range search."""
    return _seconds(lambda: flat_pairs(_random(1 << 13, 64 * words), None, 0)) / 2**26


@cache
def hash_rates(words: int) -> tuple[float, float]:
    """Seconds of FAISS's hash search per hash of a query, and per code that it compares."""
    sparse, dense = _random(1 << 13, 64 * words), _random(1 << 13, 64 * words)
    dense[:, : 4 * words] = np.random.default_rng(1).integers(0, 8, (1 << 13, 1), np.uint8)
    per_hash = _seconds(lambda: hash_pairs(sparse, None, 1)) / 2**14
    return per_hash, _seconds(lambda: hash_pairs(dense, None, 1)) / 2**23


@cache
def product_rate(words: int) -> float:
    """Seconds per pair of the matrix product on the GPU; infinite where there is none."""
    if not torch.cuda.is_available():
        return math.inf
    return _seconds(lambda: product_pairs(_random(1 << 15, 64 * words), None, 0, "cuda")) / 2**29


@cache
def gpu_rate(words: int) -> float:
    """Seconds per ordered pair of FAISS's k-NN on the GPU."""
    return _seconds(lambda: gpu_pairs(_random(1 << 15, 64 * words), None, 0)) / 2**30


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
