"""The recommended code: signs of linear projections that vary most between images for what they vary between near copies.

Of the numbers that describe a thumbnail (`appearance.py`) the 128 projections with the largest ratio of variance among
images to variance among random near copies of an image (linear discriminant analysis with one class per image; a closed
form) are uncorrelated, so that their signs are about as many independent bits.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from dcgan_dist.models.latents import seeded
from dcgan_dist.similarity.appearance import NUMBERS, VERSION, appearance
from dcgan_dist.similarity.coder_files import Arrays, pack_signs, write_coder
from dcgan_dist.similarity.variations import Changes, draw_changes, rows_of, vary

SAMPLE = 10_000
"""Images that the projections are learnt from."""
VARIATIONS = 2
"""Near copies drawn of each."""
RIDGE = 1e-2
"""Added to the variance among near copies, as a share of its mean over all coordinates."""
BLOCK = 4096
FIT_BLOCK = 1000
"""Images whose sums one task makes."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class RecommendedCoder:
    """Learnt projections of edges, lightness and colour."""

    mean: Vectors
    """(NUMBERS,)"""
    projection: Vectors
    """(NUMBERS, code_bits), to unit variance."""
    name: ClassVar[str] = "recommended"

    @property
    def code_bits(self) -> int:
        """Bits of a code."""
        return self.projection.shape[1]

    def embed(self, images: NDArray[np.uint8]) -> Vectors:
        """The real vectors whose signs are the codes: (n, 3, 32, 32) uint8 -> (n, code_bits)."""
        out = np.empty((len(images), self.code_bits), np.float32)
        for a in range(0, len(images), BLOCK):
            np.matmul(appearance(images[a : a + BLOCK]) - self.mean, self.projection, out=out[a : a + BLOCK])
        return out

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Codes of thumbnails: (n, 3, 32, 32) uint8 -> (n, code_bits / 8)."""
        return pack_signs(self.embed(images))

    def save(self, folder: Path) -> None:
        """Write the coder so that `codes.load_coder` gives back an equal one."""
        write_coder(folder, self.name, {"appearance": VERSION}, {"mean": self.mean, "projection": self.projection})

    @classmethod
    def from_arrays(cls, settings: dict[str, Any], arrays: Arrays) -> Self:
        """From what `save` wrote."""
        if settings != {"appearance": VERSION}:
            raise ValueError(f"it was learnt from other numbers of thumbnails ({settings})")
        coder = cls(**arrays)
        if any(array.dtype != np.float32 or not np.isfinite(array).all() for array in arrays.values()):
            raise ValueError("its numbers are not finite floats")
        if (
            coder.projection.ndim != 2
            or coder.projection.shape != (*coder.mean.shape, coder.code_bits)
            or len(coder.mean) != NUMBERS
        ):
            raise ValueError(f"mean {coder.mean.shape} and projection {coder.projection.shape} do not fit")
        return coder


class FitBlock(NamedTuple):
    """Some of the images that a coder is fitted to."""

    images: NDArray[np.uint8]
    """(n, 3, 32, 32)"""
    changes: tuple[Changes, ...]
    """What makes each of their VARIATIONS near copies."""


class FitSums(NamedTuple):
    """Sums over images and their copies."""

    count: int
    """Images and copies."""
    vectors: NDArray[np.float64]
    """(NUMBERS,) their appearances."""
    products: NDArray[np.float64]
    """(NUMBERS, NUMBERS) outer products of these."""
    differences: NDArray[np.float64]
    """(NUMBERS, NUMBERS) outer products of what each copy differs by from its image."""


MapBlocks = Callable[[Callable[[FitBlock], FitSums], Sequence[FitBlock]], Iterable[FitSums]]
"""Applies a function to every block, in order: `map`, or tasks on a cluster."""


def fit_recommended(
    images: NDArray[np.uint8], *, code_bits: int = 128, seed: int = 0, map_blocks: MapBlocks = map
) -> RecommendedCoder:
    """Learn a coder from training images alone.

    Args:
        images: (n, 3, 32, 32) thumbnails; a random SAMPLE of them is used where there are more.
        code_bits: a multiple of 8, at most NUMBERS.
        seed: of the sample and of the near copies.
        map_blocks: by which the sums over blocks of images are made.
    """
    assert code_bits % 8 == 0, code_bits
    assert 0 < code_bits <= NUMBERS, code_bits
    chosen = np.sort(seeded_order(len(images), seed)[:SAMPLE])
    sums = list(map_blocks(block_sums, _fit_blocks(images[chosen], seed)))
    count = sum(one.count for one in sums)
    mean = np.sum([one.vectors for one in sums], axis=0) / count
    total = np.sum([one.products for one in sums], axis=0) / count - np.outer(mean, mean)
    # Half, as the difference of two draws of a class has twice its variance.
    within = np.sum([one.differences for one in sums], axis=0) / (2 * VARIATIONS * len(chosen))
    within += RIDGE * np.trace(within) / len(within) * np.eye(len(within))
    vectors = scipy.linalg.eigh(total, within)[1][:, ::-1][:, :code_bits]
    deviation = np.sqrt(np.maximum((vectors * (total @ vectors)).sum(0), 1e-12))
    return RecommendedCoder(mean=mean.astype(np.float32), projection=(vectors / deviation).astype(np.float32))


def _fit_blocks(images: NDArray[np.uint8], seed: int) -> list[FitBlock]:
    changes = [draw_changes(len(images), seed * VARIATIONS + number) for number in range(VARIATIONS)]
    starts = range(0, len(images), FIT_BLOCK)
    blocks = [slice(start, start + FIT_BLOCK) for start in starts]
    return [FitBlock(images[rows], tuple(_alone(rows_of(change, rows)) for change in changes)) for rows in blocks]


def _alone(changes: Changes) -> Changes:
    """A copy; a part of a tensor would be sent with the whole of it."""
    return Changes(*(column.clone() for column in changes))


def block_sums(block: FitBlock) -> FitSums:
    """The sums over a block, in float64."""
    x = appearance(block.images)
    copies = [appearance(vary(block.images, changes)) for changes in block.changes]
    everything = np.concatenate([x, *copies]).astype(np.float64)
    differences = np.concatenate([copy - x for copy in copies]).astype(np.float64)
    # Products of an array with itself: half of them are made.
    return FitSums(len(everything), everything.sum(0), everything.T @ everything, differences.T @ differences)


def seeded_order(n: int, seed: int) -> NDArray[np.int64]:
    """A random order of n images that depends on the seed alone."""
    return np.random.default_rng([seeded(seed, "sample").initial_seed(), n]).permutation(n)
