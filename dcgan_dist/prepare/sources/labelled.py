"""What array sources share: images of one size that lie in memory, official splits, official order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.data.shards.writer import Sample
from dcgan_dist.errors import require
from dcgan_dist.prepare.sources.base import Item, Rejected, TravelsLight


class SplitArrays:
    """Images and labels of one official split."""

    def __init__(self, split: str, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        """images (n, h, w, c) uint8; labels (n,) from 0."""
        require(
            len(images) == len(labels),
            f"the {split} split has {len(images):,} images and {len(labels):,} labels: fetch its files again",
        )
        self.split, self.images, self.labels = split, images, labels


class LabelledSource(TravelsLight, ABC):
    """Labelled images of one size that are read at once, in official splits and order."""

    @abstractmethod
    def read_splits(self) -> list[SplitArrays]:
        """Images and labels of the official splits that there are.

        Raises:
            InputError: files are missing or broken.
        """

    @cached_property
    def splits(self) -> list[SplitArrays]:
        """As `read_splits`, read once."""
        return self.read_splits()

    def items(self) -> Sequence[Item]:
        """One item per image; its key and ref say the split and the official number.

        Raises:
            InputError: as `read_splits`.
        """
        return [
            Item(f"{part.split}/{row:06d}", (number, row), part.split, int(label))
            for number, part in enumerate(self.splits)
            for row, label in enumerate(part.labels)
        ]

    def read(self, item: Item) -> Iterator[Sample | Rejected]:
        """The image of an item with its label."""
        number, row = item.ref
        yield Sample(key=item.key, pixels=self.splits[number].images[row], label=item.label)
