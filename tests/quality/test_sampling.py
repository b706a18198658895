"""Samples of a seed are the same ones, whoever asks."""

import pytest
import torch

from dcgan_dist.models.generator import Generator
from dcgan_dist.quality.sampling import fixed_latents, sample_images
from tests.helpers.networks import drawn_generator


@pytest.fixture(params=["demo32", "mnist28"])
def generator(request: pytest.FixtureRequest) -> Generator:
    return drawn_generator(request.param)


def test_the_first_samples_do_not_depend_on_how_many_are_asked_for(generator: Generator) -> None:
    many = sample_images(generator, 100, seed=3)

    assert torch.equal(sample_images(generator, 16, seed=3), many[:16])
    assert torch.equal(sample_images(generator, 65, seed=3), many[:65])
    assert not torch.equal(sample_images(generator, 16, seed=4), many[:16])


def test_standing_samples_do_not_depend_on_the_batch(generator: Generator) -> None:
    torch.testing.assert_close(
        sample_images(generator, 70, seed=1, batch_size=7), sample_images(generator, 70, seed=1, batch_size=64)
    )


def test_batch_mode_uses_the_statistics_of_whole_batches(generator: Generator) -> None:
    z, labels = fixed_latents(generator, 0, 32, seed=5)
    expected = generator.train()(z, labels)[:20].detach()
    generator.eval()

    assert torch.equal(sample_images(generator, 20, seed=5, batch_size=32, mode="batch"), expected)
    assert not torch.equal(sample_images(generator, 20, seed=5), expected)


def test_sampling_leaves_generator_and_random_state_as_they_were(generator: Generator) -> None:
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    random_state = torch.get_rng_state()

    for mode in ("standing", "batch"):
        sample_images(generator, 5, seed=0, mode=mode)
        assert not generator.training
        sample_images(generator.train(), 5, seed=0, mode=mode)
        assert generator.training
        generator.eval()

    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())


def test_latents_are_functions_of_seed_and_position(generator: Generator) -> None:
    z, labels = fixed_latents(generator, 0, 200, seed=2)
    middle, middle_labels = fixed_latents(generator, 60, 131, seed=2)

    assert torch.equal(middle, z[60:131])
    if generator.config.classes:
        assert labels is not None
        assert middle_labels is not None
        assert torch.equal(middle_labels, labels[60:131])
        assert labels[:10].tolist() == list(range(10))
