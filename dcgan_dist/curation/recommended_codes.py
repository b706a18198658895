"""The recommended code: signs of linear projections that vary most between images for what they vary between near copies.

The middle of a thumbnail is averaged to 13x13 lightnesses and 7x7 values of two colour differences, each less its mean and
all divided by the deviation of the lightness, so that brightness, contrast and frames hardly count. Of these 267 numbers
the 128 projections with the largest ratio of variance among images to variance among random near copies of an image
(linear discriminant analysis with one class per image; a closed form) are uncorrelated, so that their signs are about as
many independent bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from dcgan_dist.curation.bits import pack_signs
from dcgan_dist.curation.coder_files import Arrays, write_coder
from dcgan_dist.curation.thumbnails import SIDE
from dcgan_dist.curation.variations import vary
from dcgan_dist.models.latents import seeded

MARGIN = 3
"""Pixels at each edge that the code does not see, where frames are."""
LIGHTNESS_SIDE, COLOUR_SIDE = 13, 7
FLAT = 10.0
"""Standard deviation of lightness, in grey levels, below which an image counts as flat and is not amplified further."""
SAMPLE = 20_000
"""Images that the projections are learnt from; more make no difference that could be measured."""
VARIATIONS = 2
"""Near copies drawn of each."""
RIDGE = 1e-3
"""Added to the variance among near copies, as a share of its mean over all coordinates."""
BLOCK = 4096

Vectors = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class RecommendedCoder:
    """Learnt projections of normalised, averaged pixels."""

    mean: Vectors
    """(267,)"""
    projection: Vectors
    """(267, code_bits), to unit variance."""
    name: ClassVar[str] = "recommended"

    @property
    def code_bits(self) -> int:
        """Bits of a code."""
        return self.projection.shape[1]

    def embed(self, images: NDArray[np.uint8]) -> Vectors:
        """The real vectors whose signs are the codes: (n, 3, 32, 32) uint8 -> (n, code_bits)."""
        out = np.empty((len(images), self.code_bits), np.float32)
        for a in range(0, len(images), BLOCK):
            np.matmul(normalised(images[a : a + BLOCK]) - self.mean, self.projection, out=out[a : a + BLOCK])
        return out

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Codes of thumbnails: (n, 3, 32, 32) uint8 -> (n, code_bits / 8)."""
        return pack_signs(self.embed(images))

    def save(self, folder: Path) -> None:
        """Write the coder so that `codes.load_coder` gives back an equal one."""
        write_coder(folder, self.name, {}, {"mean": self.mean, "projection": self.projection})

    @classmethod
    def from_arrays(cls, settings: dict[str, Any], arrays: Arrays) -> RecommendedCoder:
        """From what `save` wrote."""
        coder = cls(**settings, **arrays)
        if coder.projection.shape != (*coder.mean.shape, coder.code_bits) or len(coder.mean) != _averaging().shape[1]:
            raise ValueError(f"mean {coder.mean.shape} and projection {coder.projection.shape} do not fit")
        return coder


def fit_recommended(images: NDArray[np.uint8], *, code_bits: int = 128, seed: int = 0) -> RecommendedCoder:
    """Learn a coder from training images alone.

    Args:
        images: (n, 3, 32, 32) thumbnails; a random SAMPLE of them is used where there are more.
        code_bits: a multiple of 8, at most 264.
        seed: of the sample and of the near copies.
    """
    assert code_bits % 8 == 0, code_bits
    assert 0 < code_bits <= _averaging().shape[1], code_bits
    chosen = np.sort(seeded_order(len(images), seed)[:SAMPLE])
    originals = images[chosen]
    x = _all_normalised(originals)
    copies = [_all_normalised(vary(originals, seed * VARIATIONS + number)) for number in range(VARIATIONS)]
    changes = np.concatenate([copy - x for copy in copies]).astype(np.float64)
    everything = np.concatenate([x, *copies]).astype(np.float64)
    mean = everything.mean(0)
    # Half, as the difference of two draws of a class has twice its variance.
    within = changes.T @ changes / (2 * len(changes))
    within += RIDGE * np.trace(within) / len(within) * np.eye(len(within))
    total = (everything - mean).T @ (everything - mean) / len(everything)
    vectors = scipy.linalg.eigh(total, within)[1][:, ::-1][:, :code_bits]
    deviation = np.sqrt(np.maximum((vectors * (total @ vectors)).sum(0), 1e-12))
    return RecommendedCoder(mean=mean.astype(np.float32), projection=(vectors / deviation).astype(np.float32))


def seeded_order(n: int, seed: int) -> NDArray[np.int64]:
    """A random order of n images that depends on the seed alone."""
    return np.random.default_rng([seeded(seed, "sample").initial_seed(), n]).permutation(n)


def normalised(images: NDArray[np.uint8]) -> Vectors:
    """Averaged lightness and colour without brightness and contrast: (n, 3, 32, 32) uint8 -> (n, 267)."""
    middle = images[:, :, MARGIN : SIDE - MARGIN, MARGIN : SIDE - MARGIN]
    x = middle.reshape(len(images), -1).astype(np.float32) @ _averaging()
    edges = np.cumsum([LIGHTNESS_SIDE**2, COLOUR_SIDE**2, COLOUR_SIDE**2])
    for part in np.split(x, edges[:-1], axis=1):
        part -= part.mean(1, keepdims=True)
    lightness = x[:, : edges[0]]
    return x / np.sqrt(np.square(lightness).mean(1, keepdims=True) + FLAT**2)


def _all_normalised(images: NDArray[np.uint8]) -> Vectors:
    return np.concatenate([normalised(images[a : a + BLOCK]) for a in range(0, len(images), BLOCK)])


@cache
def _averaging() -> Vectors:
    """Matrix (3 * 26 * 26, 267) from the pixels of the middle to lightness, red - blue and green - magenta."""
    opponent = ((1 / 3, 1 / 3, 1 / 3), (0.5, 0.0, -0.5), (-0.25, 0.5, -0.25))
    sides = (LIGHTNESS_SIDE, COLOUR_SIDE, COLOUR_SIDE)
    parts = [
        np.kron(np.array(weights)[:, None], np.kron(_cells(side), _cells(side)).T)
        for weights, side in zip(opponent, sides, strict=True)
    ]
    return np.concatenate(parts, 1).astype(np.float32)


def _cells(side: int) -> NDArray[np.float64]:
    """Matrix (side, 26) that averages a row of the middle over `side` equal cells, pixels on a border shared."""
    pixels = SIDE - 2 * MARGIN
    first, last = np.arange(side)[:, None] * pixels / side, (np.arange(side)[:, None] + 1) * pixels / side
    overlap = np.minimum(np.arange(pixels) + 1, last) - np.maximum(np.arange(pixels), first)
    return np.maximum(overlap, 0) * side / pixels
