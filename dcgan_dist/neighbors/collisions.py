"""Codes that are equal bit by bit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.neighbors.pairs import Codes, check_codes


def equal_codes(codes: Codes) -> NDArray[np.int64]:
    """Number the groups of equal codes, in the order in which they first appear.

    Args:
        codes: (n, b) uint8.

    Returns:
        (n,) int64, from 0: rows have the same number where their codes are equal.
    """
    codes = check_codes(codes)
    _, first, groups = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[groups.ravel()]
