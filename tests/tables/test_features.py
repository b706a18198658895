"""Discriminator features against plain torch, and what gives none."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from dcgan_dist.errors import InputError
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.latents import seeded
from dcgan_dist.models.layers import initialise
from dcgan_dist.models.standing_statistics import restandardise
from dcgan_dist.presets import preset
from dcgan_dist.tables.features import discriminator_features, feature_dimensions


def standing(name: str) -> Discriminator:
    network = Discriminator(preset(name).model)
    initialise(network, std=0.02, generator=seeded(0))
    size, channels = network.config.image_size, network.config.image_channels
    return restandardise(network, [(torch.rand(8, channels, size, size, generator=seeded(1)) * 2 - 1,)])


@pytest.mark.parametrize(("name", "dimensions"), [("imagenet32", 28672), ("svhn32", 7168), ("lsun64", 30720)])
def test_dimensions_are_those_of_the_paper(name: str, dimensions: int) -> None:
    assert feature_dimensions(preset(name).model) == dimensions


def test_features_of_imagenet32_are_28672_and_are_pooled_by_the_stated_windows() -> None:
    network = standing("imagenet32")
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=seeded(2))

    features = discriminator_features(network, images)

    outputs = list(network.layer_outputs(images.float() / 127.5 - 1).values())[:-1]
    windows = [output.shape[-1] // 4 for output in outputs]
    expected = torch.cat([F.max_pool2d(x, w).flatten(1) for x, w in zip(outputs, windows, strict=True)], 1)
    assert windows == [8, 4, 4, 2, 2, 1]
    assert features.shape == (2, 28672)
    torch.testing.assert_close(features, expected, rtol=0, atol=0)


def test_features_of_an_image_do_not_depend_on_its_batch_mates() -> None:
    network = standing("demo32").double()
    images = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=seeded(3))

    together = discriminator_features(network, images)
    alone = torch.cat([discriminator_features(network, image[None]) for image in images])

    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


def test_discriminators_without_features_are_refused() -> None:
    with pytest.raises(InputError, match="conditioned on 10 classes"):
        feature_dimensions(preset("mnist28").model)
    with pytest.raises(InputError, match="cannot be pooled"):
        feature_dimensions(replace(preset("demo32").model, image_size=24))
