"""Photographs in folders, tars, zips and img2dataset's output, without labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcgan_dist.data.shards.writer import Sample
from dcgan_dist.prepare.sources.base import Item, Rejected, UnlabelledSource
from dcgan_dist.prepare.sources.image_files import image_items, read_square, square_preprocessing


@dataclass(frozen=True, kw_only=True)
class FolderSource(UnlabelledSource):
    """Every image below some paths, in the order of their names."""

    paths: tuple[str, ...]
    """Folders, tars and zips."""
    image_size: int
    dataset: str = "folder"

    def items(self) -> Sequence[Item]:
        """One item per file with an image's suffix.

        Raises:
            InputError: a path is missing or unreadable, or there is no image.
        """
        return image_items(self.paths)

    def read(self, item: Item) -> Iterator[Sample | Rejected]:
        """Decode, resize and crop a file."""
        return read_square(item, self.image_size, self.image_channels, note_size=True)

    def describe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Preprocessing and origin."""
        return square_preprocessing(self.image_size), {
            "kind": "folder",
            "names": [Path(path).name for path in self.paths],
        }
