"""The recommended code: signs of a linear projection learnt from the images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.curation.bits import pack_signs
from dcgan_dist.curation.coder_files import Arrays, write_coder

BLOCK = 4096


@dataclass(frozen=True, kw_only=True)
class RecommendedCoder:
    """Signs of centred projections."""

    mean: NDArray[np.float32]
    """(3072,)"""
    projection: NDArray[np.float32]
    """(3072, code_bits)"""
    name: ClassVar[str] = "recommended"

    @property
    def code_bits(self) -> int:
        """Bits of a code."""
        return self.projection.shape[1]

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The real vectors whose signs are the codes: (n, 3, 32, 32) uint8 -> (n, code_bits)."""
        blocks = [
            (images[a : a + BLOCK].reshape(-1, 3072).astype(np.float32) - self.mean) @ self.projection
            for a in range(0, len(images), BLOCK)
        ]
        return np.concatenate([np.zeros((0, self.code_bits), np.float32), *blocks])

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Codes of thumbnails: (n, 3, 32, 32) uint8 -> (n, code_bits / 8)."""
        return pack_signs(self.embed(images))

    def save(self, folder: Path) -> None:
        """Write the coder so that `codes.load_coder` gives back an equal one."""
        write_coder(folder, self.name, {}, {"mean": self.mean, "projection": self.projection})

    @classmethod
    def from_arrays(cls, settings: dict[str, Any], arrays: Arrays) -> RecommendedCoder:
        """From what `save` wrote."""
        return cls(**settings, **arrays)


def fit_recommended(images: NDArray[np.uint8], *, code_bits: int = 128, seed: int = 0) -> RecommendedCoder:
    """Learn a coder from training images alone.

    Args:
        images: (n, 3, 32, 32) thumbnails, n at least code_bits.
        code_bits: a multiple of 8.
        seed: of everything random.
    """
    x = images.reshape(len(images), -1).astype(np.float32)
    mean = x.mean(0)
    x -= mean
    _, vectors = np.linalg.eigh(x.T @ x / len(x))
    return RecommendedCoder(mean=mean, projection=np.ascontiguousarray(vectors[:, ::-1][:, :code_bits]))
