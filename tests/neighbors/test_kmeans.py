"""K-means on clusters that are known."""

import numpy as np
import pytest

from dcgan_dist.errors import InputError
from dcgan_dist.neighbors.kmeans import kmeans


def test_centroids_lie_at_the_middle_of_far_apart_clusters() -> None:
    draw = np.random.default_rng(0)
    centres = np.array([[0, 0], [50, 0], [0, 50]], np.float32)
    vectors = (np.repeat(centres, 200, 0) + draw.normal(size=(600, 2))).astype(np.float32)

    found = min((kmeans(vectors, 3, iterations=20, seed=seed) for seed in range(5)), key=lambda c: _spread(vectors, c))

    nearest = np.linalg.norm(found[:, None] - centres, axis=2).min(1)
    assert nearest.max() < 0.5


def test_more_iterations_never_spread_further_and_a_seed_repeats() -> None:
    vectors = np.random.default_rng(1).normal(size=(500, 6)).astype(np.float32)

    spreads = [_spread(vectors, kmeans(vectors, 8, iterations=n, seed=0)) for n in (1, 5, 20)]

    assert spreads[0] >= spreads[1] >= spreads[2]
    assert np.array_equal(kmeans(vectors, 8, iterations=5, seed=0), kmeans(vectors, 8, iterations=5, seed=0))


def test_fewer_vectors_than_centroids_are_refused() -> None:
    with pytest.raises(InputError, match="9 centroids"):
        kmeans(np.zeros((8, 3), np.float32), 9, iterations=2, seed=0)


def _spread(vectors: np.ndarray, centroids: np.ndarray) -> float:
    return float((np.linalg.norm(vectors[:, None] - centroids, axis=2).min(1) ** 2).sum())
