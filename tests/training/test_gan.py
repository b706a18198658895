"""The collapse signal, and what a step tells."""

import pytest
import torch

from dcgan_dist.models.latents import seeded
from dcgan_dist.training.gan import diversity


def noise(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 8, 8, generator=seeded(count))


def test_diversity_is_the_mean_distance_to_the_nearest_other_image() -> None:
    images = noise(20)
    flat = images.flatten(1)
    distances = torch.cdist(flat, flat) + torch.diag(torch.full((20,), torch.inf))

    assert diversity(images).item() == pytest.approx(distances.amin(1).mean().item(), rel=1e-4)


@pytest.mark.parametrize("different", [1, 4, 16])
def test_diversity_falls_to_zero_where_every_picture_comes_twice_or_more(different: int) -> None:
    collapsed = noise(different).repeat(32 // different, 1, 1, 1)

    assert diversity(collapsed) < 0.01 * diversity(noise(32))


def test_diversity_of_one_image_is_a_number() -> None:
    assert torch.isfinite(diversity(noise(1)))
