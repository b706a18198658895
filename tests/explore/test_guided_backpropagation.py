"""Guided backpropagation against a backward of its own, and the search for top images against sorting all of them."""

import pytest
import torch
import torch.nn.functional as F

from dcgan_dist.explore.guided_backpropagation import TopResponses, as_pictures, guided_gradients
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.latents import seeded
from dcgan_dist.models.layers import initialise
from dcgan_dist.models.standing_statistics import restandardise
from dcgan_dist.presets import preset


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
    best, worst = x[:, 5].flatten(1).argmax(1), x[:, 5].flatten(1).argmin(1)
    for unit in (best, worst):
        places = torch.stack([unit // 4, unit % 4], 1)
        chosen = x[torch.arange(3), 5, places[:, 0], places[:, 1]]
        (expected,) = torch.autograd.grad(chosen.sum(), images, retain_graph=True)

        got = guided_gradients(discriminator, "convolution2", images.detach(), 5, places, None)

        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-7)
        assert got.any() == (unit is best), "nothing passes through a unit that is not active"


def test_top_images_are_those_of_sorting_all_responses_whatever_the_batches(discriminator: Discriminator) -> None:
    images = torch.randn(70, 3, 32, 32, generator=seeded(3))
    with torch.no_grad():
        outputs = discriminator.layer_outputs(images)["convolution2"]
    expected = outputs[:, [2, 7]].amax((2, 3)).T.argsort(dim=1, descending=True)[:, :9]

    for size in (7, 32, 70):
        top = TopResponses(discriminator, [2, 7], k=9)
        for batch in images.split(size):
            top.add(batch)

        assert top.images_seen == 70
        for m in range(2):
            assert torch.equal(top.images[m], images[expected[m]])
            rows, columns = top.positions[m].T
            assert torch.allclose(outputs[expected[m], [2, 7][m], rows, columns], top.values[m], rtol=1e-5)
        assert top.gradients().shape == (2, 9, 3, 32, 32)


def test_fewer_images_than_asked_for_are_all_kept(discriminator: Discriminator) -> None:
    top = TopResponses(discriminator, [0], k=9)

    top.add(torch.randn(4, 3, 32, 32, generator=seeded(4)))

    assert len(top.images[0].flatten(1).unique(dim=0)) == 4


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

    for kept, of_kept in zip(top.images, top.labels, strict=True):
        numbers = [int((images == image).flatten(1).all(1).nonzero()) for image in kept]
        assert torch.equal(of_kept, labels[numbers])  # pyright: ignore[reportArgumentType] never None here
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
