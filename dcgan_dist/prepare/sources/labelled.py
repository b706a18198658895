"""What array sources share: images of one size that lie in memory, official splits, official order."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.data.shards.writer import Encoding, Sample
from dcgan_dist.errors import require
from dcgan_dist.prepare.sources.base import Item, Rejected, Source


class SplitArrays:
    """Images and labels of one official split."""

    def __init__(self, split: str, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        """images (n, h, w, c) uint8; labels (n,) from 0."""
        require(
            len(images) == len(labels),
            f"the {split} split has {len(images):,} images and {len(labels):,} labels: fetch its files again",
        )
        self.split, self.images, self.labels = split, images, labels


def require_one_folder(files: Sequence[Path], source: str) -> None:
    """Raise InputError if official files lie in several folders, which are several data sets, or copies of one."""
    folders = sorted({str(file.parent) for file in files})
    require(len(folders) < 2, f"`source` {source} holds several data sets: name one of {', '.join(folders)}")


@dataclass(frozen=True, kw_only=True)
class LabelledSource(Source):
    """Labelled images of one size that are read at once, in official splits and order."""

    path: str
    """Folder with the official files, or above them."""
    image_size: int = 32
    encoding: Encoding = "png"
    CLASSES: ClassVar[tuple[str, ...]] = tuple("0123456789")

    def class_names(self) -> tuple[str, ...]:
        """The ten classes."""
        return self.CLASSES

    @abstractmethod
    def read_files(self) -> tuple[dict[str, Any], list[SplitArrays]]:
        """What the manifest says about these files, and images and labels of the official splits that there are.

        Raises:
            InputError: files are missing or broken.
        """

    @cached_property
    def _files(self) -> tuple[dict[str, Any], list[SplitArrays]]:
        form, splits = self.read_files()
        for split in splits:
            strange = split.labels[(split.labels < 0) | (split.labels >= len(self.CLASSES))]
            require(
                not len(strange),
                f"`source` {self.path}: the {split.split} split has the label {strange[:1]}, {self.dataset} has "
                f"{len(self.CLASSES)} classes: give its own files",
            )
        return form, splits

    @property
    def splits(self) -> list[SplitArrays]:
        """Images and labels, read once; raises InputError as `read_files`."""
        return self._files[1]

    def describe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Preprocessing and origin."""
        return {"size": self.image_size}, {"kind": self.dataset, **self._files[0]}

    def items(self) -> Sequence[Item]:
        """One item per image; its key and ref say the split and the official number.

        Raises:
            InputError: as `read_files`.
        """
        return [
            Item(f"{split.split}/{row:06d}", (number, row), split.split, int(label))
            for number, split in enumerate(self.splits)
            for row, label in enumerate(split.labels)
        ]

    def read(self, item: Item) -> Iterator[Sample | Rejected]:
        """The image of an item with its label."""
        number, row = item.ref
        yield Sample(key=item.key, pixels=self.splits[number].images[row], label=item.label)
