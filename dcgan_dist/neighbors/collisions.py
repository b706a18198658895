"""Codes that are equal bit by bit."""

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.neighbors.pairs import Codes, check_codes


def equal_codes(codes: Codes) -> NDArray[np.int64]:
    """Number the groups of equal codes (n, b) from 0 in the order in which they first appear: (n,), in linear time."""
    codes = check_codes(codes)
    n, width = codes.shape
    digits = (codes if width % 2 == 0 else np.pad(codes, ((0, 0), (0, 1)))).view(np.uint16)
    order = np.arange(n, dtype=np.uint32)
    for column in digits.T:
        # For 16-bit numbers numpy's stable sort is a radix sort: one pass per digit, the last one counting most.
        order = order[np.argsort(np.ascontiguousarray(column)[order], kind="stable")]
    starts = np.zeros(n, bool)
    starts[:1] = True
    for column in digits.T:
        ordered = np.ascontiguousarray(column)[order]
        starts[1:] |= ordered[1:] != ordered[:-1]
    firsts = order[starts]  # of each run of equal codes: the sort is stable, so its first row comes first
    appears = np.zeros(n, bool)
    appears[firsts] = True
    numbers = (np.cumsum(appears) - 1)[firsts]
    groups = np.empty(n, np.int64)
    groups[order] = numbers[np.cumsum(starts) - 1]
    return groups
