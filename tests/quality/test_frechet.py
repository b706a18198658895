"""Frechet distance: against scipy, and in pieces."""

import numpy as np
import pytest
import scipy.linalg
import torch

from dcgan_dist.models.latents import seeded
from dcgan_dist.quality.frechet import FeatureStatistics


def statistics(*shape: int, seed: int = 0) -> tuple[torch.Tensor, FeatureStatistics]:
    x = torch.randn(*shape, generator=seeded(seed), dtype=torch.float64) @ torch.randn(
        shape[1], shape[1], generator=seeded(seed, "mix"), dtype=torch.float64
    )
    made = FeatureStatistics()
    made.add(x + seed)
    return x + seed, made


def test_distance_equals_the_formula_with_scipys_matrix_root() -> None:
    _, a = statistics(300, 20)
    _, b = statistics(300, 20, seed=1)

    root = torch.from_numpy(np.real(np.asarray(scipy.linalg.sqrtm((a.covariance @ b.covariance).numpy()))))
    expected = (a.mean - b.mean).square().sum() + (a.covariance + b.covariance - 2 * root).trace()

    assert a.distance(b) == pytest.approx(expected.item(), rel=1e-9)
    assert b.distance(a) == pytest.approx(expected.item(), rel=1e-9)


def test_singular_covariances_are_handled() -> None:
    few, a = statistics(5, 40)

    assert a.distance(a) == pytest.approx(0, abs=1e-6 * few.square().sum().item())


def test_statistics_in_batches_equal_those_of_all() -> None:
    x, whole = statistics(257, 7)
    x = x + 1e4  # a large mean must not eat the digits of the variance
    batches = FeatureStatistics()

    for batch in (*x.split(50), x[:0]):
        batches.add(batch)

    assert batches.count == 257
    torch.testing.assert_close(batches.mean, whole.mean + 1e4)
    torch.testing.assert_close(batches.covariance, torch.cov(x.T), rtol=1e-9, atol=1e-9)
