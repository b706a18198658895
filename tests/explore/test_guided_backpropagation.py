"""Guided backpropagation against arithmetic by hand, and the search for top images against sorting all of them."""

import pytest
import torch
import torch.nn.functional as F

from dcgan_dist.config import ModelConfig
from dcgan_dist.explore.guided_backpropagation import TopResponses, as_pictures, guided_gradients, last_convolution
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.latents import seeded
from dcgan_dist.models.layers import initialise
from dcgan_dist.models.standing_statistics import restandardise
from dcgan_dist.presets import preset

# One grey map of 4 x 4 pixels -> 2 maps of 2 x 2 -> 1 map of 1 x 1, kernels 3 x 3.
TINY = ModelConfig(
    image_size=4,
    image_channels=1,
    latent_dim=1,
    generator_width=1,
    generator_maps=(1, 1),
    generator_strides=(2, 2),
    discriminator_width=1,
    discriminator_maps=(2, 1),
    discriminator_strides=(2, 2),
    kernel_size=3,
    norm_eps=0.0,
)


def tiny_discriminator(second: list[float]) -> Discriminator:
    """First layer: map 0 is the pixel at its even place, map 1 minus that pixel; second layer: a weight per map, all places."""
    network = Discriminator(TINY)
    with torch.no_grad():
        first = torch.zeros(2, 1, 3, 3)
        first[0, 0, 1, 1], first[1, 0, 1, 1] = 1.0, -1.0
        network.load_state_dict(
            {
                "convolutions.0.weight": first,
                "convolutions.1.weight": torch.tensor(second)[None, :, None, None].expand(1, 2, 3, 3),
                "convolution_norm.1.mean": torch.zeros(1),
                "convolution_norm.1.variance": torch.tensor([4.0]),  # divides by 2
                "convolution_norm.1.weight": torch.tensor([3.0]),
                "convolution_norm.1.bias": torch.tensor([0.5]),
                "logit.weight": torch.zeros(1, 1),
            }
        )
    return network.eval()


def test_guided_gradients_equal_those_computed_by_hand() -> None:
    # Second layer at (0, 0): stride 2, padding 1, so its 3 x 3 window covers the whole 2 x 2 map with kernel places
    # (1, 1), (1, 2), (2, 1), (2, 2), all of the same weight.
    network = tiny_discriminator([2.0, -1.0])
    image = torch.zeros(1, 1, 4, 4)
    image[0, 0, 0, 0], image[0, 0, 0, 2], image[0, 0, 2, 0] = 1.0, 0.5, -0.25

    got = guided_gradients(network, image, "convolution1", 0, torch.tensor([[0, 0]]))

    # Pre-activations of map 0: 1, 0.5, -0.25, 0; of map 1: -1, -0.5, 0.25, 0. The unit: 2 * (1 + 0.5 - 0.05) - (-0.2 - 0.1 +
    # 0.25) = 2.95, normalised 3 * 2.95 / 2 + 0.5 = 4.925 > 0. The gradient reaching map 0 is 1.5 * 2 = 3 > 0, passed
    # where its pre-activation is positive; that reaching map 1 is -1.5 and is cut.
    by_hand = torch.zeros(1, 1, 4, 4)
    by_hand[0, 0, 0, 0] = by_hand[0, 0, 0, 2] = 3.0
    torch.testing.assert_close(got, by_hand)
    assert network.layer_outputs(image)["convolution1"].item() == pytest.approx(4.925)


def test_plain_gradients_differ_where_the_rule_cuts() -> None:
    network = tiny_discriminator([2.0, -1.0])
    image = torch.zeros(1, 1, 4, 4)
    image[0, 0, 0, 0], image[0, 0, 2, 0] = 1.0, -0.25
    image.requires_grad_()

    (plain,) = torch.autograd.grad(network.layer_outputs(image)["convolution1"].sum(), image)
    guided = guided_gradients(network, image, "convolution1", 0, torch.tensor([[0, 0]]))

    # Through map 0: slope 0.2 * 3; through map 1, which is active there: -1 * -1.5.
    assert plain[0, 0, 2, 0].item() == pytest.approx(0.6 + 1.5)
    assert guided[0, 0, 2, 0].item() == 0


def test_nothing_passes_through_a_unit_that_is_not_active() -> None:
    network = tiny_discriminator([-2.0, -1.0])
    image = torch.ones(1, 1, 4, 4)

    assert network.layer_outputs(image)["convolution1"].item() < 0
    assert (guided_gradients(network, image, "convolution1", 0, torch.tensor([[0, 0]])) == 0).all()


@pytest.fixture(scope="module")
def discriminator() -> Discriminator:
    network = Discriminator(preset("demo32").model)
    initialise(network, std=0.02, generator=seeded(0))
    return restandardise(network, [(torch.randn(32, 3, 32, 32, generator=seeded(1, i)),) for i in range(3)])


def test_guided_gradients_equal_a_rectifier_with_a_guided_backward_of_its_own(discriminator: Discriminator) -> None:
    class Guided(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):  # pyright: ignore[reportIncompatibleMethodOverride]
            ctx.save_for_backward(x)
            return F.leaky_relu(x, 0.2)

        @staticmethod
        def backward(ctx, gradient):  # pyright: ignore[reportIncompatibleMethodOverride]
            (x,) = ctx.saved_tensors
            return torch.where((x > 0) & (gradient > 0), gradient, 0)

    images = torch.randn(3, 3, 32, 32, generator=seeded(2)).requires_grad_()
    x = images
    for conv, norm in zip(discriminator.convolutions, discriminator.convolution_norm, strict=True):
        x = Guided.apply(norm(conv(x)))
    best = x[:, 5].flatten(1).argmax(1)
    places = torch.stack([best // 4, best % 4], 1)
    (expected,) = torch.autograd.grad(x[torch.arange(3), 5, places[:, 0], places[:, 1]].sum(), images)  # pyright: ignore

    got = guided_gradients(discriminator, images.detach(), "convolution2", 5, places)

    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-7)
    assert expected.abs().max() > 0


def test_top_images_are_those_of_sorting_all_responses_whatever_the_batches(discriminator: Discriminator) -> None:
    images = torch.randn(70, 3, 32, 32, generator=seeded(3))
    with torch.no_grad():
        outputs = discriminator.layer_outputs(images)[last_convolution(discriminator)]
    expected = outputs[:, [2, 7]].amax((2, 3)).T.argsort(dim=1, descending=True)[:, :9]

    for size in (7, 32, 70):
        top = TopResponses(discriminator, [2, 7], k=9)
        for batch in images.split(size):
            top.add(batch)

        assert torch.equal(top.numbers, expected)
        assert top.images_seen == 70
        for m in range(2):
            assert torch.equal(top.images[m], images[expected[m]])
            rows, columns = top.positions[m].T
            assert torch.allclose(outputs[expected[m], [2, 7][m], rows, columns], top.values[m], rtol=1e-5)
        assert top.gradients().shape == (2, 9, 3, 32, 32)


def test_fewer_images_than_asked_for_are_all_kept(discriminator: Discriminator) -> None:
    top = TopResponses(discriminator, [0], k=9)

    top.add(torch.randn(4, 3, 32, 32, generator=seeded(4)))

    assert sorted(top.numbers[0].tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("layer", "maps", "message"), [("", [128], "numbered from 0"), ("dense0", [0], "no convolution")]
)
def test_maps_and_layers_that_do_not_exist_are_refused(
    discriminator: Discriminator, layer: str, maps: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TopResponses(discriminator, maps, layer=layer)


def test_conditional_discriminators_take_labels() -> None:
    network = Discriminator(preset("mnist28").model)
    initialise(network, std=0.02, generator=seeded(0))
    labels = torch.arange(12) % 10
    images = torch.rand(12, 1, 28, 28, generator=seeded(5))
    restandardise(network, [(images, labels)])
    top = TopResponses(network, [0, 1], k=3)

    top.add(images[:5], labels[:5])
    top.add(images[5:], labels[5:])

    assert all(torch.equal(top.labels[m], labels[top.numbers[m]]) for m in range(2))  # pyright: ignore
    assert top.gradients().shape == (2, 3, 1, 28, 28)


def test_gradients_as_pictures_are_grey_at_zero_and_reach_the_end_of_the_range() -> None:
    one_pixel = torch.zeros(3, 3, 32, 32)
    one_pixel[0, 0, 5, 5], one_pixel[1] = -4.0, torch.randn(3, 32, 32, generator=seeded(6))

    pictures = as_pictures(one_pixel)

    assert pictures[0, 0, 5, 5] == -1
    assert (pictures[0] != 0).sum() == 1
    assert pictures[1].abs().max() == 1
    assert 0.005 < (pictures[1].abs() == 1).float().mean() < 0.02
    assert (pictures[2] == 0).all()
