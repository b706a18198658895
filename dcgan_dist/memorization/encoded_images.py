"""Images in the spaces in which they are compared, each encoded once."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.similarity.coder_files import pack_signs
from dcgan_dist.similarity.codes import Coder

Pixels = NDArray[np.uint8]
BLOCK = 8192
"""Images that are in memory at once where a file holds them."""


@dataclass(kw_only=True, eq=False)
class EncodedImages:
    """Thumbnails with the real vectors of their codes."""

    images: Pixels
    """(n, 3, 32, 32), perhaps mapped from a file."""
    features: NDArray[np.float32]
    """(n, code_bits)"""

    @classmethod
    def of(cls, images: Pixels, coder: Coder) -> Self:
        """Encode thumbnails."""
        features = np.empty((len(images), coder.code_bits), np.float32)
        for start in range(0, len(images), BLOCK):
            features[start : start + BLOCK] = coder.embed(np.array(images[start : start + BLOCK]))
        return cls(images=images, features=features)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> "EncodedImages":
        """Some of the images."""
        return EncodedImages(images=self.images[rows], features=self.features[rows])

    @cached_property
    def codes(self) -> NDArray[np.uint8]:
        """(n, code_bits / 8)"""
        return pack_signs(self.features)
