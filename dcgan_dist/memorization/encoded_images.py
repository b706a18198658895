"""Images in the spaces in which they are compared, each encoded once."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.memorization.row_file import ArrayOrFile, RowFile, blocks
from dcgan_dist.similarity.coder_files import pack_signs
from dcgan_dist.similarity.codes import Coder

Thumbnails = ArrayOrFile[np.uint8]


@dataclass(kw_only=True, eq=False)
class EncodedImages:
    """Thumbnails with the real vectors of their codes."""

    images: Thumbnails
    """(n, 3, 32, 32)"""
    features: ArrayOrFile[np.float32]
    """(n, code_bits)"""

    @classmethod
    def of(cls, images: Thumbnails, coder: Coder) -> Self:
        """Encode thumbnails."""
        features = RowFile((coder.code_bits,), np.float32)
        for block in blocks(images):
            features.append(coder.embed(block))
        return cls(images=images, features=features)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: NDArray[np.int64]) -> "EncodedImages":
        """Some of the images."""
        return EncodedImages(images=self.images[rows], features=self.features[rows])

    @cached_property
    def codes(self) -> NDArray[np.uint8]:
        """(n, code_bits / 8)"""
        return np.concatenate([pack_signs(self.features[:0]), *map(pack_signs, blocks(self.features))])
