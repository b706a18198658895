"""Layers between images and maps give the same sums, however they are computed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.generator import Generator
from dcgan_dist.models.latents import seeded
from dcgan_dist.models.layers import convolution, transposed_convolution
from dcgan_dist.presets import preset
from dcgan_dist.training import image_layers


@pytest.mark.parametrize("transposed", [False, True], ids=["convolution", "transposed_convolution"])
@settings(deadline=None, max_examples=30)
@given(
    kernel_size=st.integers(2, 9),
    stride=st.integers(2, 4),
    sides=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    channels=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    memory_format=st.sampled_from([torch.contiguous_format, torch.channels_last]),
)
def test_outputs_and_gradients_equal_those_of_the_layer(
    transposed: bool,
    kernel_size: int,
    stride: int,
    sides: tuple[int, int],
    channels: tuple[int, int],
    memory_format: torch.memory_format,
) -> None:
    kernel_size = max(kernel_size, stride)  # smaller ones skip pixels, which no network here does
    build, compute, scale = (
        (transposed_convolution, image_layers.transposed_convolution, 1)
        if transposed
        else (convolution, image_layers.convolution, stride)
    )
    layer = build(*channels, kernel_size, stride).double()
    x = torch.randn(2, channels[0], *(scale * side for side in sides), generator=seeded(0), dtype=torch.float64)
    x = x.contiguous(memory_format=memory_format).requires_grad_()

    plain, rearranged = layer(x), compute(layer, x)  # pyright: ignore[reportArgumentType]

    gradient = torch.randn(plain.shape, generator=seeded(1), dtype=torch.float64)
    torch.testing.assert_close(rearranged, plain, rtol=0, atol=1e-11)
    for a, b in zip(
        torch.autograd.grad(rearranged, (x, layer.weight), gradient),
        torch.autograd.grad(plain, (x, layer.weight), gradient),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-11)


def test_a_network_keeps_its_parameters_and_its_other_layers() -> None:
    model = preset("examples64").model
    for network, place in ((Discriminator(model), 0), (Generator(model), -1)):
        names = list(network.state_dict())
        image_layers.unshuffle_image_layer(network)

        assert list(network.state_dict()) == names
        changed = [layer for layer in network.convolutions if "forward" in vars(layer)]
        assert changed == [network.convolutions[place]]


def test_a_layer_of_stride_1_stays_as_it_is() -> None:
    model = preset("imagenet32").model
    assert model.discriminator_strides[0] == model.generator_strides[-1] == 1
    for network in (Discriminator(model), Generator(model)):
        image_layers.unshuffle_image_layer(network)

        assert not any("forward" in vars(layer) for layer in network.convolutions)


def test_images_of_one_channel_are_laid_out_as_the_network_is() -> None:
    layer = transposed_convolution(4, 1, 5, 2).to(memory_format=torch.channels_last)
    x = torch.randn(2, 4, 6, 6).contiguous(memory_format=torch.channels_last)

    assert image_layers.transposed_convolution(layer, x).stride() == layer(x).stride()
