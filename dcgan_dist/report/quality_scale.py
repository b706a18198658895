"""How good samples are: their Frechet distance to real images on the way from other real images to an untrained generator."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from dcgan_dist.cli.progress import percent
from dcgan_dist.data.reader import Crop
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.data.stream import read_images, refuse_bad_sample
from dcgan_dist.errors import require
from dcgan_dist.models.generator import Generator
from dcgan_dist.models.latents import seeded
from dcgan_dist.models.layers import initialise
from dcgan_dist.models.pixel_ranges import from_uint8
from dcgan_dist.quality.frechet import FeatureStatistics
from dcgan_dist.quality.quality import Reference
from dcgan_dist.quality.sampling import in_turn, sample_batches

MOST_IMAGES, LEAST_IMAGES = 1_000, 64
CLOSE, FAR = 0.03, 0.10
"""Up to here samples are close to real images, above there far from them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityScale:
    """Frechet distances to the same real images, each of as many images, on the features of the fixed random network."""

    images: int
    samples: float
    real: float
    """What other real images have, and perfect samples would."""
    untrained: float
    """What samples of the same generator with random weights have."""

    @property
    def share(self) -> float:
        """0 where samples are like real images, 1 where they are like those of an untrained generator, or above."""
        return max(0.0, self.samples - self.real) / max(self.untrained - self.real, 1e-9)

    @property
    def verdict(self) -> tuple[Literal["good", "unsure", "bad"], str]:
        """Look of a banner, and its sentence."""
        where = f"{percent(self.share, 0)} of the way from real images (0 %) to an untrained generator (100 %)"
        if self.share <= CLOSE:
            return "good", f"close to real, {where}."
        if self.share <= FAR:
            return "unsure", f"between, {where}."
        return "bad", f"far from real, {where}."

    @property
    def reasons(self) -> str:
        """The distances, the limits, and what they must not be compared with."""
        return (
            f"Frechet distance {self.samples:.3g}; other real images {self.real:.3g}, untrained {self.untrained:.3g} "
            f"({self.images:,} images each). Up to {percent(CLOSE, 0)} of the way is close, above {percent(FAR, 0)} far. "
            "Not comparable with a published FID"
        )


def measure_scale(
    generator: Generator, manifest: Manifest, *, crop: Crop, seed: int, classes: Sequence[int] = ()
) -> QualityScale:
    """Measure a generator, whose images stand alone, beside real images: those held out, where the data has a split for them.

    If `classes` are given, only these are drawn, in turn.

    Raises:
        InputError: fewer than 64 images for either side.
    """
    config = generator.config
    parts = [manifest.split(name) for name in ("train", "val", "test") if name in manifest.splits][:2]
    parted = len(parts) == 2
    count = min(MOST_IMAGES, min(part.samples for part in parts) if parted else manifest.samples // 2)
    require(
        count >= LEAST_IMAGES,
        f"`shards` hold {count} real images to compare with {count} others, {LEAST_IMAGES} are needed: give more",
    )
    shape = {"image_size": config.image_size, "image_channels": config.image_channels, "crop": crop}
    if parted:
        others, held_out = (read_images(part, count, **shape, on_bad_sample=refuse_bad_sample) for part in parts)
    else:
        both = read_images(manifest, 2 * count, **shape, on_bad_sample=refuse_bad_sample)
        others, held_out = both[::2], both[1::2]
    reference = Reference(held_out, output=config.output)

    labels = in_turn(classes, count)

    def distance(batches: Iterable[Tensor]) -> float:
        statistics = FeatureStatistics()
        for batch in batches:
            reference.add_features(batch, statistics)
        return statistics.distance(reference.random_statistics)

    untrained = Generator(config)
    initialise(untrained, std=config.init_std, generator=seeded(seed, "untrained generator"))
    return QualityScale(
        images=count,
        samples=distance(sample_batches(generator, count, seed=seed, labels=labels)),
        real=distance(from_uint8(batch, config.output) for batch in others.split(64)),
        untrained=distance(sample_batches(untrained, count, seed=seed, mode="batch", labels=labels)),
    )
