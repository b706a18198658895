"""All pairs of codes within a Hamming radius."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from dcgan_dist.config import require
from dcgan_dist.neighbors.pairs import Codes, Pairs, check_codes

__all__ = ["Pairs", "pairs_within"]


def pairs_within(
    codes: Codes,
    radius: int,
    *,
    others: Codes | None = None,
    method: str = "auto",
    progress: Callable[[float], None] | None = None,
) -> Iterator[Pairs]:
    """Find every pair of codes at most `radius` bits apart, each once, in blocks of bounded size.

    Args:
        codes: (n, b) uint8.
        radius: bits, inclusive.
        others: (m, b) uint8: pairs of a row of `codes` and a row of `others`, instead of pairs i < j of `codes`.
        method: name of a strategy; `auto` asks the planner.
        progress: called with the share of the work done, 0 to 1.

    Raises:
        InputError: codes of another type or of two widths, a negative radius, an unknown method.
    """
    codes = check_codes(codes)
    require(radius >= 0, f"radius {radius} must not be negative")
    within = codes if others is None else check_codes(others, "others")
    require(codes.shape[1] == within.shape[1], f"codes have {codes.shape[1]} bytes and others {within.shape[1]}")
    for start in range(0, len(codes), 1024):
        differing = np.bitwise_count(codes[start : start + 1024, None] ^ within[None]).sum(2, dtype=np.int16)
        first, second = np.nonzero(differing <= radius)
        distances = differing[first, second]
        first = first + start
        keep = slice(None) if others is not None else second > first
        yield Pairs(first[keep], second[keep], distances[keep])
        if progress:
            progress(min(1.0, (start + 1024) / len(codes)))
