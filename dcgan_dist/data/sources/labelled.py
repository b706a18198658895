"""What array sources share: images of one size that lie in memory, official splits, official order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.config import require
from dcgan_dist.data.sources.base import Item
from dcgan_dist.data.writer import Sample


class SplitArrays:
    """Images and labels of one official split."""

    def __init__(self, split: str, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        """images (n, h, w, c) uint8; labels (n,) from 0."""
        require(
            len(images) == len(labels),
            f"the {split} split has {len(images):,} images and {len(labels):,} labels: fetch its files again",
        )
        self.split, self.images, self.labels = split, images, labels


def array_items(splits: Sequence[SplitArrays]) -> list[Item]:
    """One item per image; its key and ref say the split and the official number."""
    return [
        Item(f"{part.split}/{row:06d}", (number, row), part.split, int(label))
        for number, part in enumerate(splits)
        for row, label in enumerate(part.labels)
    ]


def array_sample(splits: Sequence[SplitArrays], item: Item) -> Sample:
    """The image of an item."""
    number, row = item.ref
    return Sample(key=item.key, pixels=splits[number].images[row], label=item.label)
