"""Whether two thumbnails show the same photograph: their correlation at the best small shift."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

THRESHOLD = 0.9
"""Pairs that score at least this are duplicates."""
SHIFT = 2
BLOCK = 1024


def score_pairs(images_a: NDArray[np.uint8], images_b: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How alike the images of each pair are.

    Args:
        images_a: (n, 3, 32, 32) thumbnails.
        images_b: the others, of the same shape.

    Returns:
        (n,) in [-1, 1]; higher is more alike; the same for (b, a) as for (a, b).
    """
    assert images_a.shape == images_b.shape, (images_a.shape, images_b.shape)
    scores = [_score(images_a[i : i + BLOCK], images_b[i : i + BLOCK]) for i in range(0, len(images_a), BLOCK)]
    return np.concatenate(scores) if scores else np.zeros(0, np.float32)


def _score(images_a: NDArray[np.uint8], images_b: NDArray[np.uint8]) -> NDArray[np.float32]:
    a, b = (x[:, :, 3:-3, 3:-3].astype(np.float32) for x in (images_a, images_b))
    best = np.full(len(a), -1, np.float32)
    for dy in range(-SHIFT, SHIFT + 1):
        for dx in range(-SHIFT, SHIFT + 1):
            best = np.maximum(best, _correlation(_window(a, dy, dx), _window(b, -dy, -dx)))
    return best


def _window(x: NDArray[np.float32], dy: int, dx: int) -> NDArray[np.float32]:
    side = x.shape[-1]
    top, left = max(0, dy), max(0, dx)
    return x[:, :, top : side + min(0, dy), left : side + min(0, dx)]


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    a, b = (x.reshape(len(x), -1) - x.reshape(len(x), -1).mean(1, keepdims=True) for x in (a, b))
    return (a * b).sum(1) / np.maximum(np.sqrt((a * a).sum(1) * (b * b).sum(1)), 1e-3)
