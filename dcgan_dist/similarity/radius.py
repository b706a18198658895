"""The Hamming radius within which pairs are verified, from what the verifier can be asked to look at."""

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.neighbors.pigeonhole import as_words

SAMPLE = 8192
"""Codes whose pairs stand for all."""
CANDIDATES_PER_IMAGE = 10.0
"""Unrelated pairs within the radius, per image, that a default radius allows."""


def pair_distances(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Histogram (code_bits + 1,) of the Hamming distances of all pairs of codes (n, code_bits / 8); none where n is below 2.

    Of a random sample nearly all pairs are unrelated. SAMPLE codes take a fifth of a second.
    """
    bits = 8 * codes.shape[1]
    counts = np.zeros(bits + 1, np.int64)
    if len(codes) > 1:
        planes = as_words(codes).T.copy()
        for first in range(1, len(codes)):
            distances = sum(np.bitwise_count(plane[first:] ^ plane[:-first]).astype(np.int64) for plane in planes)
            counts += np.bincount(distances, minlength=bits + 1)
    return counts


def default_radius(distances: NDArray[np.int64], images: int, *, per_image: float = CANDIDATES_PER_IMAGE) -> int:
    """The largest radius at which pairs of a random sample promise at most so many candidates per image.

    The verifier decides, so the radius may be as wide as its time allows: nearly all pairs within it are unrelated, and
    their share among all pairs is that of the sample. It shrinks as a data set grows.

    Args:
        distances: histogram of the pairs of the sample, as `pair_distances` gives it.
        images: of the whole data set.
        per_image: candidates per image.

    Returns:
        Bits, at least 0.
    """
    expected = distances.cumsum() / max(1, distances.sum()) * (images - 1) / 2
    return max(0, int(np.searchsorted(expected, per_image, side="right")) - 1)
