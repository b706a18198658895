"""Photographs in folders, tars, zips and img2dataset's output, without labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcgan_dist.data.shards.keys import keys_of_paths
from dcgan_dist.data.shards.writer import Sample
from dcgan_dist.prepare.sources.base import Item, Rejected, UnlabelledSource
from dcgan_dist.prepare.sources.image_files import find_images, read_square


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
        found = find_images(self.paths)
        keys = keys_of_paths([name for name, _ in found])
        return [Item(key, place) for key, (_, place) in zip(keys, found, strict=True)]

    def read(self, item: Item) -> Iterator[Sample | Rejected]:
        """Decode, resize and crop a file."""
        return read_square(item, self.image_size, self.image_channels, note_size=True)

    def describe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Preprocessing and origin."""
        preprocessing = {"resize": "shorter side, antialiased bicubic", "crop": "centre", "size": self.image_size}
        return preprocessing, {"kind": "folder", "names": [Path(path).name for path in self.paths]}
