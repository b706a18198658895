"""All pairs within a radius by the C++ part: buckets of codes that agree on chosen blocks, or tiles of all codes."""

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from dcgan_dist.neighbors.interleave import interleave
from dcgan_dist.neighbors.native import library
from dcgan_dist.neighbors.pairs import Codes, Pairs
from dcgan_dist.neighbors.pigeonhole import Blocks, as_words

Shared = tuple[float, Pairs]  # share of the work done since the item before, and its pairs

_ROOM = 1 << 20  # pairs of one block of results
_STRIPE = 2048  # rows; the nibbles of 512 others are spread once for all of them


@dataclass(slots=True)
class _Results:
    """Room for the pairs of one call, and where the next call goes on."""

    cursor: NDArray[np.int64] = field(default_factory=lambda: np.zeros(3, np.int64))
    first: NDArray[np.uint32] = field(default_factory=lambda: np.empty(_ROOM, np.uint32))
    second: NDArray[np.uint32] = field(default_factory=lambda: np.empty(_ROOM, np.uint32))
    distances: NDArray[np.int16] = field(default_factory=lambda: np.empty(_ROOM, np.int16))

    def pointers(self) -> list[Any]:
        """Arguments of the C++ functions."""
        return [*map(_pointer, (self.cursor, self.first, self.second, self.distances)), _ROOM]

    def take(self, count: int) -> Pairs:
        """A copy of the pairs that a call has written."""
        first, second = (rows[:count].astype(np.int64) for rows in (self.first, self.second))
        return Pairs(first, second, self.distances[:count].copy())


def block_pairs(codes: Codes, others: Codes | None, radius: int, blocks: Blocks) -> Iterator[Shared]:
    """Pairs within the radius among codes that agree in len(blocks) - radius, at least 1, of the blocks, so all of them."""
    rows, split = _rows(codes, others)
    every = list(combinations(range(len(blocks)), len(blocks) - radius))
    threads = _threads(len(every), per_thread=len(rows) * (16 + rows.itemsize * rows.shape[1]))
    return interleave([_search_choices(rows, split, radius, blocks, every, w, threads) for w in range(threads)])


def tile_pairs(codes: Codes, others: Codes | None, radius: int) -> Iterator[Shared]:
    """Pairs within the radius, every pair compared: a stripe of rows with all rows at a time."""
    rows, split = _rows(codes, others)
    planes = np.ascontiguousarray(rows.T)
    stripes = range(0, split or len(rows), _STRIPE)
    threads = _threads(len(stripes), per_thread=0)
    return interleave([_search_stripes(planes, split, radius, stripes, w, threads) for w in range(threads)])


def _search_choices(
    rows: NDArray[np.uint64],
    split: int,
    radius: int,
    blocks: Blocks,
    every: Sequence[tuple[int, ...]],
    thread: int,
    threads: int,
) -> Iterator[Shared]:
    native, (n, words) = _library(), rows.shape
    keys, scratch, planes = np.empty(n, np.uint64), np.empty(n, np.uint64), np.empty((words, n), np.uint64)
    bits = as_words(np.packbits(blocks, axis=1))
    results = _Results()
    for number in range(thread, len(every), threads):
        chosen = np.array(every[number], np.int32)
        mask = np.bitwise_or.reduce(bits[chosen], axis=0)
        # More keys than rows, so that few buckets mix codes that differ; no more than the sort needs passes for.
        key_bits = min(int(blocks[chosen].sum()) + 4, n.bit_length() + 2, 32)
        sort = (_pointer(rows), n, words, _pointer(mask), key_bits, _pointer(keys), _pointer(scratch), _pointer(planes))
        native.sort_rows(*sort)
        results.cursor[:] = 0
        search = (
            _pointer(keys),
            _pointer(planes),
            n,
            words,
            split,
            _pointer(bits),
            _pointer(chosen),
            len(chosen),
            radius,
        )
        while results.cursor[0] < n:
            count = native.search_buckets(*search, *results.pointers())
            yield (1 / len(every) if results.cursor[0] == n else 0.0), results.take(count)


def _search_stripes(
    planes: NDArray[np.uint64], split: int, radius: int, stripes: range, thread: int, threads: int
) -> Iterator[Shared]:
    native, (words, n) = _library(), planes.shape
    results = _Results()
    for begin in stripes[thread::threads]:
        end = min(begin + stripes.step, stripes.stop)
        results.cursor[:2] = split or begin, 0
        while results.cursor[0] < n:
            count = native.search_stripe(_pointer(planes), n, words, split, begin, end, radius, *results.pointers())
            share = (end - begin) / stripes.stop if split else ((n - begin) ** 2 - (n - end) ** 2) / n**2
            yield (share if results.cursor[0] == n else 0.0), results.take(count)


def _rows(codes: Codes, others: Codes | None) -> tuple[NDArray[np.uint64], int]:
    """Codes, and the others after them, as words; and where the others begin."""
    return (as_words(codes), 0) if others is None else (as_words(np.concatenate([codes, others])), len(codes))


def _threads(tasks: int, per_thread: int) -> int:
    """As many threads as torch uses, at most half of the free memory between them."""
    fitting = psutil.virtual_memory().available // 2 // max(1, per_thread)
    return max(1, min(torch.get_num_threads(), tasks, fitting))


def _pointer(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _library() -> ctypes.CDLL:
    native = library()
    assert native is not None, "the planner offers this search only where the library is there"
    return native
