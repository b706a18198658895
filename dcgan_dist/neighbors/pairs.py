"""What every search for pairs of codes takes and gives."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.errors import require

Codes = NDArray[np.uint8]


class Pairs(NamedTuple):
    """A block of pairs of codes, each with its Hamming distance."""

    first: NDArray[np.int64]
    """(k,) rows of `codes`."""
    second: NDArray[np.int64]
    """(k,) rows of `others`; where there are none, rows of `codes` after `first`."""
    distances: NDArray[np.int16]
    """(k,) bits that differ, 0 to the radius."""


def check_codes(codes: Codes, name: str = "codes") -> Codes:
    """The codes in one piece of memory.

    Raises:
        InputError: not (n, b) uint8 with b at least 1, or 2^32 rows and more.
    """
    require(
        isinstance(codes, np.ndarray) and codes.dtype == np.uint8 and codes.ndim == 2 and codes.shape[1] >= 1,
        f"{name} must be an array (n, code_bits / 8) of uint8, not "
        f"{getattr(codes, 'shape', type(codes).__name__)} of {getattr(codes, 'dtype', 'no dtype')}",
    )
    require(
        len(codes) < 2**32, f"{name} has {len(codes):,} rows and a search takes fewer than 2^32: search it in parts"
    )
    return np.ascontiguousarray(codes)
