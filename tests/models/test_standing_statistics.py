"""Standing statistics against plain arithmetic."""

import pytest
import torch

from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.generator import Generator
from dcgan_dist.models.latents import draw_latents, prior_batches, seeded
from dcgan_dist.models.standing_statistics import check_images_stand_alone, has_standing_statistics, restandardise
from dcgan_dist.presets import preset

CONFIG = preset("demo32").model


def test_an_image_does_not_depend_on_its_batch_mates_once_statistics_stand() -> None:
    generator = Generator(CONFIG).double()
    batches = prior_batches(CONFIG, batches=3, batch_size=16, seed=0, device="cpu", dtype=torch.float64)
    restandardise(generator, batches)
    z = draw_latents(CONFIG, 8, seeded(1)).double()

    together, alone = generator(z), torch.cat([generator(row[None]) for row in z])

    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)
    check_images_stand_alone(generator)
    for dependent in (generator.train(), Generator(CONFIG).eval()):
        with pytest.raises(ValueError, match="standing statistics"):
            check_images_stand_alone(dependent)


def test_statistics_are_means_over_batches_of_mean_and_biased_variance() -> None:
    discriminator = Discriminator(CONFIG).double()
    batches = [torch.randn(8, 3, 32, 32, dtype=torch.float64) for _ in range(3)]
    restandardise(discriminator, [(batch,) for batch in batches])

    first = [torch.nn.functional.leaky_relu(discriminator.convolutions[0](b), 0.2) for b in batches]
    inputs = [discriminator.convolutions[1](x) for x in first]
    mean = torch.stack([x.mean((0, 2, 3)) for x in inputs]).mean(0)
    variance = torch.stack([x.var((0, 2, 3), correction=0) for x in inputs]).mean(0)

    norm = discriminator.convolution_norm[1]
    torch.testing.assert_close(norm.mean, mean, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(norm.variance, variance, rtol=1e-12, atol=1e-14)


def test_images_made_without_statistics_are_not_numbers() -> None:
    generator = Generator(CONFIG).eval()

    assert not has_standing_statistics(generator)
    assert torch.isnan(generator(draw_latents(CONFIG, 2, seeded(0)))).all()


def test_statistics_need_a_batch_and_travel_with_the_state() -> None:
    generator, other = Generator(CONFIG), Generator(CONFIG)
    with pytest.raises(ValueError, match="at least one batch"):
        restandardise(generator, [])

    batches = prior_batches(CONFIG, batches=1, batch_size=8, seed=0, device="cpu", dtype=torch.float32)
    other.load_state_dict(restandardise(generator, batches).state_dict())

    assert has_standing_statistics(other)
