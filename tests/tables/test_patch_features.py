"""The K-means baseline against its definition, loop by loop."""

import numpy as np
import pytest
import torch

from dcgan_dist.tables.patch_features import PatchFeatures, normalise


@pytest.fixture(scope="module")
def features() -> PatchFeatures:
    images = torch.randint(0, 256, (40, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return PatchFeatures.learn(images, 12, seed=0, patches=3000)


def test_encoding_is_the_triangle_summed_over_quadrants(features: PatchFeatures) -> None:
    image = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    whitening, centroids = features.whitening.numpy(), features.centroids.numpy()
    expected = np.zeros((2, 2, 12))
    for top in range(11):
        for left in range(11):
            patch = image[:, top : top + 6, left : left + 6].numpy().astype(np.float64).reshape(-1)
            patch = (patch - patch.mean()) / np.sqrt(patch.var() + 10)
            white = (patch - features.mean.numpy()) @ whitening
            distances = np.sqrt(((white - centroids) ** 2).sum(1))
            expected[int(top >= 5), int(left >= 5)] += np.maximum(0, distances.mean() - distances)

    encoded = features(image[None])[0]

    assert features.dimensions == 48
    np.testing.assert_allclose(encoded.numpy(), expected.reshape(-1), rtol=1e-3, atol=1e-3)


def test_whitened_patches_are_nearly_uncorrelated_and_of_one_size(features: PatchFeatures) -> None:
    images = torch.randint(0, 256, (400, 108), generator=torch.Generator().manual_seed(2)).float()
    white = (normalise(images) - features.mean) @ features.whitening

    covariance = torch.cov(white.T)

    assert covariance.diagonal().mean().item() == pytest.approx(0.9, abs=0.1)  # below 1 by the floor
    assert (covariance - covariance.diagonal().diag()).abs().mean() < 0.06


def test_the_same_seed_gives_the_same_features_and_another_one_others(features: PatchFeatures) -> None:
    images = torch.randint(0, 256, (40, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    again = PatchFeatures.learn(images, 12, seed=0, patches=3000)
    other = PatchFeatures.learn(images, 12, seed=1, patches=3000)

    assert again.identity == features.identity != other.identity
