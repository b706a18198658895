"""Blur against scipy; what alignment is good for is tested by the verifier's scores."""

import numpy as np
import pytest
import scipy.ndimage
import torch

from dcgan_dist.models.latents import seeded
from dcgan_dist.similarity.alignment import blur


@pytest.mark.parametrize("sigma", [0.6, 0.8, 1.5, 1.8])
@pytest.mark.parametrize("side", [5, 24, 32])
def test_blur_is_a_gaussian_cut_at_two_and_a_half_deviations_with_the_edge_repeated(side: int, sigma: float) -> None:
    x = torch.rand(3, 2, side, side, generator=seeded(0)) * 255

    expected = scipy.ndimage.gaussian_filter(
        x.numpy().astype(np.float64), sigma, mode="nearest", radius=int(2.5 * sigma + 0.5), axes=(2, 3)
    )

    np.testing.assert_allclose(blur(x, sigma).numpy(), expected, atol=1e-3)
