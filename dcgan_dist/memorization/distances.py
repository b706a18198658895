"""Statistics of distances to nearest training images: bands, authenticity, hubs, ranks; and cells of the space of images."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.stats import norm, rankdata

FITTED = 10_000
"""Images that the cells are made from; all are put into them."""


def band_half_width(n: int, confidence: float = 0.95) -> float:
    """The whole true distribution function lies within this of the empirical one, with at least this confidence.

    Source: Dvoretzky, Kiefer and Wolfowitz 1956 with the constant of Massart, Annals of Probability 1990.
    """
    return math.sqrt(math.log(2 / (1 - confidence)) / (2 * n))


def make_cells(images: NDArray[np.float32], count: int, *, seed: int = 0) -> NDArray[np.float32]:
    """Centres (count, d) of k-means on images (n, d); fewer where there are fewer images."""
    rng = np.random.default_rng(seed)
    chosen = images[rng.permutation(len(images))[:FITTED]].astype(np.float64)
    count = max(1, min(count, len(chosen)))
    if count == 1:
        return chosen.mean(0, keepdims=True).astype(np.float32)
    centres, _ = kmeans2(chosen, count, iter=20, minit="++", missing="warn", rng=rng)
    return np.ascontiguousarray(centres, np.float32)


def count_hubs(nearest: NDArray[np.int64]) -> dict[str, Any]:
    """How the nearest training images (n,) of n images are spread.

    A smooth or average picture is near to everything, with or without copying: compare the counts of samples with those of
    as many held-out images.

    Returns:
        `distinct`: training images that are the nearest of at least one; `most`: images that the most frequent one is the
        nearest of; `share_of_ten`: share of the images whose nearest is among the ten most frequent ones, whose rows are
        `ids`, most frequent first.
    """
    ids, counts = np.unique(nearest, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:10]
    share_of_ten = float(counts[order].sum() / len(nearest))
    return {
        "distinct": len(ids),
        "most": int(counts.max()),
        "share_of_ten": share_of_ten,
        "ids": tuple(ids[order].tolist()),
    }


def mann_whitney(first: NDArray[np.floating], second: NDArray[np.floating]) -> dict[str, float]:
    """Compare samples of n and m values by ranks.

    Returns:
        `u`: pairs in which the first sample's value is the larger one, ties counted half; `share_below`: probability that a
        value of the first lies below one of the second, 0.5 where nothing differs; `z`: standardised with the variance
        corrected for ties, negative where the first lies lower; `p_below`: one-sided probability of such a low z if both
        came from one distribution, by the normal approximation.

    Source: Mann and Whitney 1947; variance with ties as in Lehmann, Nonparametrics, 1975.
    """
    n, m = len(first), len(second)
    ranks = rankdata(np.concatenate([first, second]))
    u = float(ranks[:n].sum() - n * (n + 1) / 2)
    z = float(rank_sum_z(ranks, np.arange(n + m) < n))
    return {"u": u, "share_below": 1 - u / (n * m), "z": z, "p_below": float(norm.cdf(z))}


def rank_sum_z(ranks: NDArray[np.floating], is_first: NDArray[np.bool_]) -> float:
    """z of the first sample's rank sum, from average ranks of both together; 0 where all values are equal.

    The variance of the ranks themselves is the variance corrected for ties.
    """
    total, n = len(ranks), int(is_first.sum())
    m = total - n
    variance = n * m / (total * (total - 1)) * float(np.square(ranks - (total + 1) / 2).sum()) if total > 1 else 0.0
    return float((ranks[is_first].sum() - n * (total + 1) / 2) / np.sqrt(variance)) if variance > 0 else 0.0
