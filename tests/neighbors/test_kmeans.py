"""K-means on clusters that are known."""

import numpy as np
import pytest

from dcgan_dist.errors import InputError
from dcgan_dist.neighbors.kmeans import kmeans


def test_centroids_lie_at_the_middle_of_far_apart_clusters() -> None:
    draw = np.random.default_rng(0)
    centres = np.array([[0, 0], [50, 0], [0, 50]], np.float32)
    vectors = (np.repeat(centres, 200, 0) + draw.normal(size=(600, 2))).astype(np.float32)

    runs = [kmeans(vectors, 3, iterations=20, seed=seed) for seed in range(5)]
    distances = [np.linalg.norm(centroids[:, None] - centres, axis=2).min(1).max() for centroids in runs]

    assert min(distances) < 0.5


def test_fewer_vectors_than_centroids_are_refused() -> None:
    with pytest.raises(InputError, match="9 centroids"):
        kmeans(np.zeros((8, 3), np.float32), 9, iterations=2, seed=0)
