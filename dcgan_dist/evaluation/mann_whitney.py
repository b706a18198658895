"""Whether the values of one sample tend to lie below those of another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata


@dataclass(frozen=True, kw_only=True, slots=True)
class MannWhitney:
    """What the ranks say."""

    u: float
    """Pairs in which the first sample's value is the larger one, ties counted half."""
    share_below: float
    """Probability that a value of the first sample lies below one of the second, ties counted half; 0.5: no difference."""
    z: float
    """Standardised with the variance corrected for ties; negative where the first sample lies lower."""
    p_below: float
    """One-sided: probability of such a low z if both came from one distribution (normal approximation)."""


def mann_whitney(first: NDArray[np.floating], second: NDArray[np.floating]) -> MannWhitney:
    """Compare two samples by ranks.

    Args:
        first: (n,) values, n at least 1.
        second: (m,) values, m at least 1.

    Source: Mann and Whitney 1947; variance with ties as in Lehmann, Nonparametrics, 1975.
    """
    n, m = len(first), len(second)
    ranks = rankdata(np.concatenate([first, second]))
    u = float(ranks[:n].sum() - n * (n + 1) / 2)
    z = float(rank_sum_z(ranks, np.arange(n + m) < n))
    return MannWhitney(u=u, share_below=1 - u / (n * m), z=z, p_below=float(norm.cdf(z)))


def rank_sum_z(ranks: NDArray[np.floating], is_first: NDArray[np.bool_]) -> float:
    """z of the first sample's rank sum, from average ranks of both together; 0 where all values are equal.

    The variance of the ranks themselves is the variance corrected for ties.
    """
    total, n = len(ranks), int(is_first.sum())
    m = total - n
    variance = n * m / (total * (total - 1)) * float(np.square(ranks - (total + 1) / 2).sum()) if total > 1 else 0.0
    return float((ranks[is_first].sum() - n * (total + 1) / 2) / np.sqrt(variance)) if variance > 0 else 0.0
