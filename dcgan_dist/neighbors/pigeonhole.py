"""Blocks of bits: codes within r bits of each other agree in at least t of any r + t disjoint blocks."""

import math
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.neighbors.pairs import Codes

Blocks = NDArray[np.bool_]  # (count, code_bits): the bits of each block

_PAIRS = 1 << 17
_FEWEST = 8  # equal pairs below which a share is noise


def choose_blocks(sample: Codes, count: int) -> Blocks:
    """Deal out the bits so that in every block as few pairs of codes agree as can be, and in all about as many.

    Bits of real codes lean to one side and depend on each other: equal numbers of neighbouring bits make blocks in which many
    pairs agree. Each bit goes, in turn, to the block that agrees most often, and of all bits the one that helps it most.

    Returns:
        (count, code_bits) bool: every bit in exactly one block; the same for the same sample of at least two codes.
    """
    rng = np.random.default_rng(0)
    pairs = min(_PAIRS, 16 * len(sample)) // 64 * 64
    first = rng.integers(0, len(sample), pairs)
    second = (first + rng.integers(1, len(sample), pairs)) % len(sample)
    # (code_bits, pairs / 64): one bit for each pair of codes that is equal in this bit.
    equal = as_words(np.packbits(np.unpackbits(~(sample[first] ^ sample[second]), axis=1).T, axis=1))
    blocks = np.zeros((count, len(equal)), bool)
    agreeing = np.full((count, equal.shape[1]), ~np.uint64(0))
    shares = np.ones(count)
    free = np.arange(len(equal))
    for _ in range(len(equal)):
        block = int(np.lexsort((blocks.sum(1), -shares))[0])  # among equals the one of fewest bits: none stays empty
        agreements = np.bitwise_count(equal[free] & agreeing[block]).sum(1)
        picked = int(np.argmin(agreements))
        bit = free[picked]
        free = np.delete(free, picked)
        blocks[block, bit] = True
        agreeing[block] &= equal[bit]
        enough = agreements[picked] >= _FEWEST
        shares[block] = agreements[picked] / pairs if enough else shares[block] / 2
    return blocks


def agreeing_share(sample: Codes, blocks: Blocks, agree: int, most: int = 48) -> float:
    """Share of pairs of a random sample that agree in the chosen blocks, summed over all choices: comparisons per pair.

    Of more choices than `most`, that many drawn at random stand for all.
    """
    rng = np.random.default_rng(0)
    every = math.comb(len(blocks), agree)
    measured = list(combinations(range(len(blocks)), agree))
    if every > most:
        measured = [measured[i] for i in rng.choice(every, most, replace=False)]
    rows = as_words(sample)
    equal = 0
    for chosen in measured:
        mask = as_words(np.packbits(blocks[list(chosen)].any(0))[None])[0]
        counts = np.unique(_hashes(rows, mask), return_counts=True)[1]
        equal += int((counts * (counts - 1) // 2).sum())
    pairs = len(sample) * (len(sample) - 1) / 2
    # Never zero: a share too small to be seen in the sample is put at half a pair in all of it.
    return every * max(equal, 0.5) / (len(measured) * pairs)


def as_words(codes: Codes) -> NDArray[np.uint64]:
    """(n, b) uint8 as (n, ceil(b / 8)) uint64, filled up with zero bytes."""
    n, width = codes.shape
    padded = codes if width % 8 == 0 else np.pad(codes, ((0, 0), (0, -width % 8)))
    return np.ascontiguousarray(padded).view(np.uint64).reshape(n, -1)


def _hashes(rows: NDArray[np.uint64], mask: NDArray[np.uint64]) -> NDArray[np.uint64]:
    hashes = np.zeros(len(rows), np.uint64)
    for word, bits in zip(rows.T, mask, strict=True):
        hashes = (hashes ^ (word & bits)) * np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(32)
    return hashes
