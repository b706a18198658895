"""What a visitor asks of a generator: numbered samples, a walk, arithmetic, and the nearest training image."""

import re

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dcgan_dist.cli.command_line import absolute
from dcgan_dist.cli.progress import progress_bar
from dcgan_dist.config import ModelConfig
from dcgan_dist.data.reader import Crop
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.stream import read_images
from dcgan_dist.errors import InputError, require
from dcgan_dist.explore.drawing import draw
from dcgan_dist.explore.exemplars import read_exemplars
from dcgan_dist.explore.latent_math import Kind, combine, surroundings, walk
from dcgan_dist.explore.sheets import beside, panel
from dcgan_dist.models.generator import Generator
from dcgan_dist.quality.pictures import to_uint8
from dcgan_dist.quality.sampling import fixed_latents
from dcgan_dist.similarity.thumbnails import thumbnails

AT_ONCE = 1024
NUMBERS = re.compile(r"(\d+:)?\d+([ ,]+(\d+:)?\d+)*")
STEPS = 10
"""Images of a walk, both ends included."""


class TrainingImages:
    """Thumbnails of training images in memory, of which the nearest one to a sample is found by its pixels."""

    def __init__(self, shards: str, split: str, most: int, config: ModelConfig, *, crop: Crop) -> None:
        """Read up to `most` images of a split of shards; raises InputError as `read_images`."""
        require(most >= 1, f"`most_real` {most} leaves no image to compare with: give at least 1")
        self.manifest, self.config = load_manifest(absolute(shards, "shards")).split(split), config
        self.crop: Crop = crop
        count = min(most, self.manifest.samples)
        self.positions = np.arange(count, dtype=np.int64) * self.manifest.samples // max(1, count)
        parts = []
        with progress_bar(count, "training images") as bar:
            for first in range(0, count, AT_ONCE):
                images = self._read(self.positions[first : first + AT_ONCE])
                parts.append(torch.from_numpy(thumbnails(images.numpy())).flatten(1))
                bar.update(len(images))
        self.pixels = torch.cat(parts)

    def nearest(self, image: Tensor) -> tuple[Tensor, float, float]:
        """The nearest training image (c, s, s) uint8 to a sample (c, s, s) uint8, and how near.

        Returns:
            The image; the root mean square difference of their thumbnails, in levels of 0 to 255; and the same between
            that image and the nearest other training image, infinite where there is none.
        """
        query = torch.from_numpy(thumbnails(image[None].numpy())).flatten()
        row, distance = self._search(query)
        _, usual = self._search(self.pixels[row], but=row)
        return self._read(self.positions[row : row + 1])[0], distance, usual

    def _search(self, query: Tensor, *, but: int = -1) -> tuple[int, float]:
        squares = torch.cat([(block.float() - query).square().mean(1) for block in self.pixels.split(AT_ONCE)])
        if but >= 0:
            squares[but] = torch.inf
        row = int(squares.argmin())
        return row, float(squares[row].sqrt())

    def _read(self, positions: NDArray[np.int64]) -> Tensor:
        size, channels = self.config.image_size, self.config.image_channels
        return read_images(self.manifest, positions, image_size=size, image_channels=channels, crop=self.crop)


class LiveModel:
    """A generator and what is drawn with it; samples are numbered as in the job `sample`."""

    def __init__(self, generator: Generator, real: TrainingImages | None = None) -> None:
        """Take a generator in eval mode with standing statistics."""
        self.generator, self.real = generator, real

    def samples(self, n: int, *, seed: int, label: int = 0) -> Tensor:
        """Samples 0 to n - 1 of a seed, (n, c, s, s) in [-1, 1]."""
        return draw(self.generator, fixed_latents(self.generator, 0, n, seed=seed)[0], label=label)

    def numbered(self, numbers: str, *, seed: int) -> Tensor:
        """z (n, latent_dim) of samples such as "3 17" or "0:3, 7:12"; raises InputError for anything else."""
        if not NUMBERS.fullmatch(numbers.strip()):
            raise InputError(
                f"{numbers!r} names no samples: give numbers such as 3 17, or SEED:NUMBER such as 0:3 7:12"
            )
        return read_exemplars(re.split(r"[ ,]+", numbers.strip()), self.generator, seed=seed, field="z")

    def walk(self, start: str, end: str, *, seed: int, kind: Kind = "linear", label: int = 0) -> Image.Image:
        """One row of images from a sample to another one."""
        points = torch.cat([self.numbered(point, seed=seed) for point in (start, end)])
        require(len(points) == 2, "a walk goes from one sample to one other: name one for each end")
        (row,) = walk(points, STEPS, kind)
        return panel(draw(self.generator, row, label=label), columns=STEPS)

    def equation(self, a: str, b: str, c: str, *, seed: int, label: int = 0) -> Image.Image:
        """The samples of A, B and C, and 3 x 3 images around mean(A) - mean(B) + mean(C), that one in the centre."""
        exemplars = [self.numbered(numbers, seed=seed) for numbers in (a, b, c)]
        parts: list[Image.Image | str] = []
        for z, title, sign in zip(exemplars, "ABC", "-+=", strict=True):
            parts += [panel(draw(self.generator, z, label=label), title, columns=1 + (len(z) > 3)), sign]
        around = draw(self.generator, surroundings(combine(*exemplars)), label=label)
        return beside([*parts, panel(around, "A - B + C in the centre", columns=3)])

    def nearest(self, numbers: str, *, seed: int, label: int = 0) -> tuple[Image.Image, str]:
        """A sample beside its nearest training image, and a sentence about them.

        Raises:
            InputError: no training images were given.
        """
        if self.real is None:
            raise InputError("no training images were given: name them with `shards`")
        sample = to_uint8(draw(self.generator, self.numbered(numbers, seed=seed), label=label))[0]
        image, distance, usual = self.real.nearest(sample)
        sentence = (
            f"They differ by {distance:.1f} of 255 levels (root mean square at 32 pixels); that training image and its own "
            f"nearest, by {usual:.1f}. {len(self.real.pixels):,} of {self.real.manifest.samples:,} training images."
        )
        return beside([panel(sample[None], numbers), panel(image[None], "nearest")]), sentence
