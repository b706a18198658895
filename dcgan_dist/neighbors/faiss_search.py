"""All pairs within a radius by FAISS: flat range search, hash indexes, and k-NN on a GPU completed where it overflows."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch  # noqa: F401  before faiss: they then share one OpenMP setting
from numpy.typing import NDArray

import faiss  # isort: skip

from dcgan_dist.neighbors.native_search import Shared
from dcgan_dist.neighbors.pairs import Codes, Pairs

Search = Callable[[Codes, int], tuple[NDArray[Any], NDArray[Any]]]

_QUERIES = 1 << 12  # of one k-NN search
_RANGE_QUERIES = 1 << 8  # of one range search, whose result has no bound
_MOST_NEIGHBOURS = 2048  # of FAISS on a GPU


def flat_pairs(codes: Codes, others: Codes | None, radius: int) -> Iterator[Shared]:
    """Pairs within the radius by `IndexBinaryFlat`: every code compared with every code."""
    return _range_pairs(_flat(codes if others is None else others), codes, others, radius)


def hash_pairs(codes: Codes, others: Codes | None, radius: int) -> Iterator[Shared]:
    """Pairs within a radius below code_bits by `IndexBinaryMultiHash`, with as many hashes as make it complete."""
    database = codes if others is None else others
    bits = 8 * codes.shape[1]
    hashes, flips = hash_shape(bits, radius)
    index: Any = faiss.IndexBinaryMultiHash(bits, hashes, bits // hashes)
    index.nflip = flips
    index.add(database)
    return _range_pairs(index, codes, others, radius)


def hash_shape(code_bits: int, radius: int) -> tuple[int, int]:
    """Number of hashes and flips of each, so that the index finds every code within the radius.

    It is complete to hashes * (flips + 1) - 1 bits. Hashes of fewer than 12 bits hold too many codes each, so that one flip
    of longer hashes is cheaper.
    """
    for flips in range(3):
        hashes = radius // (flips + 1) + 1
        if code_bits // hashes >= 12:
            return hashes, flips
    return radius + 1, 0


def gpu_pairs(codes: Codes, others: Codes | None, radius: int) -> Iterator[Shared]:
    """Pairs within the radius by k-NN of `GpuIndexBinaryFlat`, which has no range search."""
    assert faiss.get_num_gpus(), "without a GPU FAISS aborts the whole process"
    database = codes if others is None else others
    resources: Any = faiss.StandardGpuResources()
    index: Any = faiss.index_binary_cpu_to_gpu(resources, 0, _flat(database))
    return neighbour_pairs(index.search, codes, others, radius)


def neighbour_pairs(
    search: Search, codes: Codes, others: Codes | None, radius: int, most: int = _MOST_NEIGHBOURS
) -> Iterator[Shared]:
    """Pairs within the radius by any exact k-NN search of `others`, or of the codes where there are none.

    Codes with more than `most`, the largest k of the search, neighbours within the radius are compared with all by range
    search.
    """
    database = codes if others is None else others
    crowded: list[NDArray[np.int64]] = []
    for rows in _blocks(len(codes), _QUERIES):
        k = 0
        while len(rows) and k < min(most, len(database)):
            k = min(4 * k or 32, most, len(database))
            distances, ids = search(codes[rows], k)
            done = (distances[:, -1] > radius) | (k == len(database))
            query, place = np.nonzero((distances <= radius) & done[:, None])
            pairs = _pairs(rows[query], ids[query, place], distances[query, place], others is None)
            yield done.sum() / len(codes), pairs
            rows = rows[~done]
        crowded.append(rows)
    rest = np.concatenate(crowded) if crowded else np.zeros(0, np.int64)
    if len(rest):
        index = _flat(database)
        for block in _blocks(len(rest), _RANGE_QUERIES):
            yield from _range_block(index, codes, rest[block], radius, others is None)


def _range_pairs(index: Any, codes: Codes, others: Codes | None, radius: int) -> Iterator[Shared]:
    for rows in _blocks(len(codes), _RANGE_QUERIES):
        yield from _range_block(index, codes, rows, radius, others is None)


def _range_block(index: Any, codes: Codes, rows: NDArray[np.int64], radius: int, same: bool) -> Iterator[Shared]:
    # FAISS keeps distances below its radius.
    limits, distances, ids = index.range_search(codes[rows], radius + 1)
    queries = np.repeat(rows, np.diff(limits.astype(np.int64)))
    yield len(rows) / len(codes), _pairs(queries, ids, distances, same)


def _pairs(first: NDArray[Any], second: NDArray[Any], distances: NDArray[Any], same: bool) -> Pairs:
    keep = second > first if same else slice(None)
    return Pairs(first[keep].astype(np.int64), second[keep].astype(np.int64), distances[keep].astype(np.int16))


def _blocks(n: int, rows: int) -> Iterator[NDArray[np.int64]]:
    return (np.arange(start, min(start + rows, n)) for start in range(0, n, rows))


def _flat(codes: Codes) -> Any:
    index: Any = faiss.IndexBinaryFlat(8 * codes.shape[1])
    index.add(codes)
    return index
