"""Photographs in folders and tars: shorter side to the wanted size with antialias, square centre cut out."""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dcgan_dist.config import InputError
from dcgan_dist.data.images import (
    IMAGE_SUFFIXES,
    MAX_ENCODED_BYTES,
    ImageFault,
    open_image,
    resize_and_crop,
    to_array,
)
from dcgan_dist.data.keys import keys_of_paths
from dcgan_dist.data.sources.base import Item, Rejected
from dcgan_dist.data.writer import Encoding, Sample


@dataclass(frozen=True, kw_only=True)
class FolderSource:
    """Every image below some folders and inside some tars, in the order of their paths."""

    paths: tuple[str, ...]
    """Folders and tars."""
    image_size: int
    dataset: str = "folder"
    image_channels: int = 3
    encoding: Encoding = "jpeg"
    class_names: tuple[str, ...] = ()

    def items(self) -> Sequence[Item]:
        """One item per file with an image's suffix.

        Raises:
            InputError: a path is missing or no tar, or there is no image.
        """
        names = [name for name, _ in self._files]
        if not names:
            raise InputError(
                f"no image in {', '.join(self.paths)}: give a folder or tar with files ending in {', '.join(IMAGE_SUFFIXES)}"
            )
        return [Item(key, ref) for ref, key in enumerate(keys_of_paths(names))]

    def read(self, items: Sequence[Item]) -> Iterator[Sample | Rejected]:
        """Decode, resize and crop each file."""
        for item in items:
            place = self._files[item.ref][1]
            try:
                with open_image(place.read_bytes()) as image:
                    pixels = to_array(resize_and_crop(image, self.image_size), self.image_channels)
            except (ImageFault, OSError) as error:
                yield Rejected(key=item.key, reason=str(error))
                continue
            yield Sample(key=item.key, pixels=pixels)

    def describe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Preprocessing and origin."""
        preprocessing = {"resize": "shorter side, antialiased bicubic", "crop": "centre", "size": self.image_size}
        return preprocessing, {"kind": "folder", "names": [Path(path).name for path in self.paths]}

    @cached_property
    def _files(self) -> list[tuple[str, _Place]]:
        """Path inside its source (led by the source's name where there are several) and place of every image."""
        files = []
        for prefix, path in zip(_prefixes(self.paths), self.paths, strict=True):
            root = Path(path).expanduser()
            if root.is_dir():
                found = [(str(file.relative_to(root)), _Place(file)) for file in root.rglob("*") if file.is_file()]
            elif root.is_file():
                found = _members(root)
            else:
                raise InputError(f"--source {path} does not exist: give a folder or a tar of images")
            files += sorted((prefix + name, place) for name, place in found if _is_image(name))
        return files


@dataclass(frozen=True, order=True)
class _Place:
    """A file, or a range of one."""

    file: Path
    offset: int = 0
    size: int = -1

    def read_bytes(self) -> bytes:
        size = self.size if self.size >= 0 else self.file.stat().st_size
        if size > MAX_ENCODED_BYTES:
            raise ImageFault(f"{size} bytes, more than the limit of {MAX_ENCODED_BYTES}")
        with self.file.open("rb") as file:
            file.seek(self.offset)
            return file.read(size)


def _members(path: Path) -> list[tuple[str, _Place]]:
    try:
        with tarfile.open(path, "r:") as tar:
            return [(m.name, _Place(path, m.offset_data, m.size)) for m in tar if m.isfile()]
    except tarfile.TarError as error:
        raise InputError(f"--source {path} is not a plain tar ({error}): unpack it and give the folder") from error


def _is_image(name: str) -> bool:
    path = Path(name)
    return path.suffix.lower().lstrip(".") in IMAGE_SUFFIXES and not path.name.startswith(".")


def _prefixes(paths: Sequence[str]) -> list[str]:
    """A leading folder for each source, so that equal names in two sources stay apart; nothing for a single source."""
    if len(paths) == 1:
        return [""]
    stems = [Path(path).stem or "source" for path in paths]
    times = Counter(stems)
    return [f"{stem if times[stem] == 1 else f'{stem}-{number}'}/" for number, stem in enumerate(stems)]
