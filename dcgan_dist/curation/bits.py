"""Real vectors to packed bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pack_signs(embedding: NDArray[np.float32]) -> NDArray[np.uint8]:
    """One bit per coordinate, set where it is positive; the first is the highest bit of the first byte.

    Args:
        embedding: (n, code_bits), code_bits a multiple of 8.

    Returns:
        (n, code_bits / 8).
    """
    assert embedding.shape[1] % 8 == 0, embedding.shape
    return np.packbits(embedding > 0, axis=1)
