"""Empirical distribution functions and how far they may be from the true ones."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def ecdf(values: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The values in order, and the share of values up to each."""
    return np.sort(values).astype(np.float64), np.arange(1, len(values) + 1) / len(values)


def band_half_width(n: int, confidence: float = 0.95) -> float:
    """The whole true distribution function lies within this of the empirical one, with at least this confidence.

    Source: Dvoretzky, Kiefer and Wolfowitz 1956 with the constant of Massart, Annals of Probability 1990.
    """
    return math.sqrt(math.log(2 / (1 - confidence)) / (2 * n))


def largest_gap(first: NDArray[np.floating], second: NDArray[np.floating]) -> tuple[float, float]:
    """Where the first function lies above the second by most: that difference, 0 or more, and the value there."""
    at = np.sort(np.concatenate([first, second]))
    gap = np.searchsorted(np.sort(first), at, "right") / len(first)
    gap = gap - np.searchsorted(np.sort(second), at, "right") / len(second)
    most = int(gap.argmax())
    return max(0.0, float(gap[most])), float(at[most])
