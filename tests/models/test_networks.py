"""Generator and discriminator of every preset."""

import pytest
import torch
from torch import nn

from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.generator import Generator
from dcgan_dist.models.latents import draw_labels, draw_latents, seeded
from dcgan_dist.models.layers import BatchNorm, initialise
from dcgan_dist.models.pixel_ranges import from_uint8
from dcgan_dist.presets import PRESETS, preset

COUNTS = {
    "lsun64": (18_885_760, 17_232_768),
    "faces64": (18_885_760, 17_232_768),
    "imagenet32": (6_690_688, 4_586_112),
    "svhn32": (1_446_976, 1_033_664),
    "mnist28": (6_820_538, 6_688_202),
    "examples64": (3_576_704, 2_765_568),
}


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts_are_those_of_the_paper_and_its_code(name: str) -> None:
    config = preset(name).model

    assert (parameters(Generator(config)), parameters(Discriminator(config))) == COUNTS[name]


@pytest.mark.parametrize("name", PRESETS)
def test_images_and_logits_have_the_preset_s_shape_and_range(name: str) -> None:
    config = preset(name).model
    generator, discriminator = Generator(config), Discriminator(config)
    draw = seeded(0)
    z, labels = draw_latents(config, 4, draw), draw_labels(config, 4, draw)

    images = generator(z, labels)
    logits = discriminator(images, labels)

    assert images.shape == (4, config.image_channels, config.image_size, config.image_size)
    assert logits.shape == (4,)
    low = -1 if config.output == "tanh" else 0
    assert images.min() >= low
    assert images.max() <= 1


@pytest.mark.parametrize(
    ("name", "of_generator", "of_discriminator"),
    [
        # Figure 1 of the paper.
        ("lsun64", [(1024, 4), (512, 8), (256, 16), (128, 32), (3, 64)], [(128, 32), (256, 16), (512, 8), (1024, 4)]),
        (  # Maps keep their size where the stride is one.
            "imagenet32",
            [(512, 4), (512, 8), (256, 8), (256, 16), (128, 16), (128, 32), (3, 32)],
            [(128, 32), (128, 16), (256, 16), (256, 8), (512, 8), (512, 4)],
        ),
    ],
)
def test_layers_have_their_names_and_shapes(
    name: str, of_generator: list[tuple[int, int]], of_discriminator: list[tuple[int, int]]
) -> None:
    config = preset(name).model

    g = Generator(config).layer_outputs(draw_latents(config, 2, seeded(0)))
    d = Discriminator(config).layer_outputs(g["image"])

    convolutions = [f"convolution{i}" for i in range(len(of_discriminator))]
    assert [tuple(x.shape[1:3]) for x in g.values()] == of_generator
    assert [tuple(x.shape[1:3]) for x in list(d.values())[:-1]] == of_discriminator
    assert list(g) == ["projection", *convolutions[: len(g) - 2], "image"]
    assert list(d) == [*convolutions, "logit"]


def test_projection_is_normalised_per_unit_by_default_and_per_map_in_examples64() -> None:
    assert Generator(preset("lsun64").model).projection_norm.features == 16_384
    assert Generator(preset("examples64").model).projection_norm.features == 512


def test_batch_norm_in_training_equals_torch_with_biased_variance() -> None:
    x = torch.randn(6, 5, 3, 3, dtype=torch.float64)
    ours = BatchNorm(5, eps=1e-8).double()
    theirs = nn.BatchNorm2d(5, eps=1e-8).double()

    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0)
    assert torch.isnan(ours.mean).all(), "training must leave the standing statistics alone"


def test_initial_weights_gains_and_biases_have_the_stated_moments() -> None:
    discriminator = Discriminator(preset("svhn32").model)

    initialise(discriminator, std=0.02, generator=seeded(1))

    for name, parameter in discriminator.named_parameters():
        if name.endswith("bias"):
            assert (parameter == 0).all()
        elif "norm" in name:
            assert parameter.mean().item() == pytest.approx(1, abs=0.01)
            assert parameter.std().item() == pytest.approx(0.02, rel=0.3)
        else:
            assert parameter.mean().item() == pytest.approx(0, abs=0.002)
            assert parameter.std().item() == pytest.approx(0.02, rel=0.05)


def test_conditional_networks_refuse_to_run_without_labels() -> None:
    config = preset("mnist28").model

    with pytest.raises(ValueError, match="10 classes needs labels"):
        Generator(config)(draw_latents(config, 2, seeded(0)))


def test_labels_change_what_a_conditional_generator_draws() -> None:
    config = preset("mnist28").model
    generator = Generator(config)
    z = draw_latents(config, 4, seeded(0))

    zeros, ones = (generator(z, torch.full((4,), label)) for label in (0, 1))

    assert not torch.allclose(zeros, ones)


def test_a_layer_that_does_not_exist_cannot_be_edited() -> None:
    config = preset("demo32").model

    with pytest.raises(ValueError, match="no layer convolution9"):
        Generator(config).layer_outputs(draw_latents(config, 2, seeded(0)), edit={"convolution9": torch.ones(1)})


def test_z_is_a_function_of_its_arguments_and_has_the_prior_s_range() -> None:
    uniform, normal = preset("lsun64").model, preset("svhn32").model

    assert torch.equal(draw_latents(uniform, 8, seeded(3, "z", 5)), draw_latents(uniform, 8, seeded(3, "z", 5)))
    assert not torch.equal(draw_latents(uniform, 8, seeded(3, "z", 5)), draw_latents(uniform, 8, seeded(3, "z", 6)))
    z = draw_latents(uniform, 1000, seeded(0))
    assert z.min() >= -1
    assert z.max() <= 1
    assert z.std().item() == pytest.approx(3**-0.5, rel=0.02)
    assert draw_latents(normal, 1000, seeded(0)).std().item() == pytest.approx(1, rel=0.02)


def test_pixels_span_the_generator_s_range() -> None:
    pixels = torch.tensor([0, 255], dtype=torch.uint8)

    assert from_uint8(pixels, "tanh").tolist() == [-1, 1]
    assert from_uint8(pixels, "sigmoid").tolist() == [0, 1]


def test_names_seed_generators_apart() -> None:
    draws = {tuple(torch.rand(3, generator=seeded(*names)).tolist()) for names in ((0,), (1,), (0, "z"), ("0/z",))}

    assert len(draws) == 3  # (0, "z") and "0/z" make the same seed
