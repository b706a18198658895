"""A small generator that was never trained."""

import pytest
import torch

from dcgan_dist.models.generator import Generator
from dcgan_dist.models.latents import prior_batches, seeded
from dcgan_dist.models.layers import initialise
from dcgan_dist.models.standing_statistics import restandardise
from dcgan_dist.presets import preset

CONFIG = preset("demo32").model


@pytest.fixture(scope="module")
def generator() -> Generator:
    """A generator of CONFIG, with standing statistics."""
    network = Generator(CONFIG)
    initialise(network, std=0.02, generator=seeded(0))
    prior = prior_batches(CONFIG, batches=2, batch_size=16, seed=0, device="cpu", dtype=torch.float32)
    return restandardise(network, prior)
