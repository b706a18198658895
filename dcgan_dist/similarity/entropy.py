"""How many images a code can tell apart: collision entropy and degrees of freedom, with confidence bounds."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from dcgan_dist.neighbors.pigeonhole import as_words

MOST_PAIRS = 1 << 19
"""Their mean is known to a hundredth of a bit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeEntropy:
    """Measured on the codes of many images; related images among them only lower it."""

    images: int
    """Codes measured."""
    collisions: int
    """Pairs with equal codes among all pairs."""
    collision_entropy_bits: float
    """Lower confidence bound of -log2 of the probability that two images have the same code."""
    mean_distance: float
    """Mean Hamming distance of random pairs, in bits."""
    degrees_of_freedom: float
    """p (1 - p) / variance of the random pairs' distances as shares of the code: fair, independent bits with this spread."""
    degrees_of_freedom_low: float
    """Lower confidence bound of these."""
    confidence: float
    """Confidence level of both bounds."""

    def __str__(self) -> str:
        return (
            f"collision entropy at least {self.collision_entropy_bits:.1f} bits ({self.collisions:,} collisions among "
            f"all pairs of {self.images:,} images, {self.confidence:.0%} confidence), "
            f"{self.degrees_of_freedom:.0f} degrees of freedom (at least {self.degrees_of_freedom_low:.0f})"
        )


def code_entropy(codes: NDArray[np.uint8], *, confidence: float = 0.95, seed: int = 0) -> CodeEntropy:
    """Measure a code on images that are a random draw from a larger set.

    Args:
        codes: (n, code_bits / 8), n at least 4.
        confidence: of the lower bounds.
        seed: of the random pairs.
    """
    assert len(codes) >= 4, codes.shape
    collisions = equal_pairs(codes)
    shares = random_pair_distances(codes, seed=seed) / (8 * codes.shape[1])
    p, pairs = float(shares.mean()), len(shares)
    variance = max(float(shares.var(ddof=1)), 1e-12)
    # The variance of about normal values follows chi-squared; disjoint pairs are independent.
    largest = variance * (pairs - 1) / float(chi2.ppf(1 - confidence, pairs - 1))
    return CodeEntropy(
        images=len(codes),
        collisions=collisions,
        collision_entropy_bits=collision_entropy_bound(len(codes), collisions, confidence=confidence),
        mean_distance=p * 8 * codes.shape[1],
        degrees_of_freedom=p * (1 - p) / variance,
        degrees_of_freedom_low=p * (1 - p) / largest,
        confidence=confidence,
    )


def equal_pairs(codes: NDArray[np.uint8]) -> int:
    """Pairs with equal codes among all pairs: (n, b) -> number."""
    words = as_words(codes)
    mixed = words @ np.random.default_rng(0).integers(2**63, size=words.shape[1], dtype=np.uint64)
    order = np.argsort(mixed)
    # One number for each code, which few unequal ones share: only neighbours need be compared.
    again = np.flatnonzero(np.diff(mixed[order]) == 0)
    counts = np.unique(codes[order[np.union1d(again, again + 1)]], axis=0, return_counts=True)[1].astype(np.int64)
    return int((counts * (counts - 1) // 2).sum())


def random_pair_distances(codes: NDArray[np.uint8], *, seed: int = 0) -> NDArray[np.int64]:
    """Hamming distances of disjoint random pairs, the null of unrelated images: (n, b) -> (n // 2,), at most MOST_PAIRS."""
    order = np.random.default_rng(seed).permutation(len(codes))[: 2 * MOST_PAIRS]
    half = len(order) // 2
    return np.bitwise_count(codes[order[:half]] ^ codes[order[half : 2 * half]]).sum(1, dtype=np.int64)


def collision_entropy_bound(images: int, collisions: int, *, confidence: float = 0.95) -> float:
    """Lower confidence bound of collision entropy from the collisions seen among all pairs of independent draws.

    Let s be the probability that two draws are equal and t = n sqrt(s). With a Poisson number of draws the probability of
    no collision is the product over codes of (1 + x) exp(-x), x = n p. Its logarithm is convex in x^2 and the x^2 add up
    to t^2, so it is greatest where one code holds all of s: (1 + t) exp(-t), the probability that a Poisson variable with
    mean t is at most 1. The bound is the t at which this is 1 - confidence. With k collisions the same worst case has at
    most m draws of its code, m (m - 1) / 2 <= k. A bound for independent pairs would claim up to 2 bits more.

    Returns:
        Bits, at least 0.
    """
    most = math.floor((1 + math.sqrt(1 + 8 * collisions)) / 2)
    t = float(chi2.ppf(confidence, 2 * (most + 1))) / 2  # Poisson tail: P(N <= m; t) = 1 - P(chi2_{2m + 2} <= 2 t)
    return max(0.0, -2 * math.log2(t / images)) if t < images else 0.0
