"""The scale of the report: real images at one end, an untrained generator at the other."""

import dataclasses

import pytest
import torch
from torch import Tensor

from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.data.stream import read_images
from dcgan_dist.errors import InputError
from dcgan_dist.models.generator import Generator
from dcgan_dist.models.pixel_ranges import from_uint8
from dcgan_dist.report.quality_scale import QualityScale, measure_scale
from tests.helpers.jobs import draw_rooms
from tests.helpers.networks import drawn_generator


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return load_manifest(str(draw_rooms(tmp_path_factory.mktemp("rooms") / "shards", 300)))


@pytest.fixture(scope="module")
def generator() -> Generator:
    return drawn_generator()


class Blurring(Generator):
    """Draws real images, as sharp as asked for."""

    def __init__(self, generator: Generator, images: Tensor, side: int) -> None:
        super().__init__(generator.config)
        small = torch.nn.functional.interpolate(from_uint8(images, generator.config.output), side, mode="area")
        self.images = torch.nn.functional.interpolate(small, images.shape[-1], mode="bilinear")

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """As many as there are z."""
        self.images = self.images.roll(len(z), 0)
        return self.images[: len(z)]


def test_real_images_are_close_blurred_ones_between_and_an_untrained_generator_is_far(
    rooms: Manifest, generator: Generator
) -> None:
    size = generator.config.image_size
    real = read_images(rooms, 300, image_size=size)

    drawn = [Blurring(generator, real, side) for side in (size, size // 3, size // 8)] + [generator]
    scales = [measure_scale(network, rooms, crop="centre", seed=0) for network in drawn]

    assert [scale.verdict[0] for scale in scales] == ["good", "unsure", "bad", "bad"]
    assert len({(scale.real, scale.untrained, scale.images) for scale in scales}) == 1


@pytest.mark.parametrize(
    ("samples", "kind"), [(0.5, "good"), (1.0, "good"), (3.9, "good"), (4.1, "unsure"), (10.8, "unsure"), (11.1, "bad")]
)
def test_the_verdict_follows_the_share_of_the_way(samples: float, kind: str) -> None:
    scale = QualityScale(images=1000, samples=samples, real=1.0, untrained=101.0)

    assert scale.verdict[0] == kind
    assert "1,000 images each" in scale.reasons


def test_too_few_real_images_are_refused(rooms: Manifest, generator: Generator) -> None:
    few = dataclasses.replace(rooms, shards=(dataclasses.replace(rooms.shards[0], samples=100),))

    with pytest.raises(InputError, match="50 real images"):
        measure_scale(generator, few, crop="centre", seed=0)
