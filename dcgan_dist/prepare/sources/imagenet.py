"""ImageNet-1k: class folders, the official tars, or the npz batches of Downsampled ImageNet."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.data.shards.keys import keys_of_paths
from dcgan_dist.data.shards.writer import Encoding, Sample
from dcgan_dist.errors import InputError
from dcgan_dist.prepare.sources.base import Item, Rejected, Source, TravelsLight
from dcgan_dist.prepare.sources.image_files import Place, find_images, read_square, square_preprocessing

_SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class ImageNetSource(TravelsLight):
    """Images whose folder (or inner tar) is their class; classes are numbered in the order of their names."""

    paths: tuple[str, ...]
    """Folders or tars; a folder named train, val or test on the way says the split."""
    image_size: int = 32
    dataset: str = "imagenet"
    image_channels: int = 3
    encoding: Encoding = "jpeg"

    def class_names(self) -> tuple[str, ...]:
        """Names of the class folders, such as n01440764."""
        return tuple(sorted({_class_of(name) for name, _ in self._images}))

    def items(self) -> Sequence[Item]:
        """One item per image.

        Raises:
            InputError: there is no image, or one that lies in no class folder.
        """
        numbers = {name: number for number, name in enumerate(self.class_names())}
        if "" in numbers:
            stray = next(name for name, _ in self._images if not _class_of(name))
            raise InputError(f"{stray} lies in no class folder: give <class>/<image>, or use the job `prepare_folder`")
        names = [name for name, _ in self._images]
        return [
            Item(key, place, _split_of(name), numbers[_class_of(name)])
            for key, (name, place) in zip(keys_of_paths(names), self._images, strict=True)
        ]

    def read(self, item: Item) -> Iterator[Sample | Rejected]:
        """Decode, resize and crop a file."""
        return read_square(item, self.image_size, self.image_channels)

    def describe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Preprocessing and origin."""
        return square_preprocessing(self.image_size), {
            "kind": "imagenet",
            "names": [Path(path).name for path in self.paths],
        }

    @cached_property
    def _images(self) -> list[tuple[str, Place]]:
        return find_images(self.paths)


@dataclass(frozen=True, kw_only=True)
class ImageNetNpzSource(TravelsLight):
    """Batches with `data` (n, 3 s^2) uint8, channels first, and `labels`, from 0 or (as published) from 1."""

    paths: tuple[str, ...]
    """Npz files, or folders of them; a name beginning with val says the split."""
    dataset: str = "imagenet"
    image_channels: int = 3
    encoding: Encoding = "png"

    @property
    def image_size(self) -> int:
        """Pixels per side, from the first batch."""
        return _load_batch(self._files[0])[0].shape[1]

    def class_names(self) -> tuple[str, ...]:
        """Numbers only: the batches hold no names."""
        return tuple(str(number) for number in range(1000))

    def items(self) -> Sequence[Item]:
        """One item per image, file by file.

        Raises:
            InputError: a file is none of these batches.
        """
        base = min(int(_load_batch(path)[1].min()) for path in self._files)
        top = max(int(_load_batch(path)[1].max()) for path in self._files)
        first = 1 if base >= 1 and top == 1000 else 0
        items = []
        for path in self._files:
            split = "val" if Path(path).name.startswith("val") else "train"
            for row, label in enumerate((_load_batch(path)[1] - first).tolist()):
                items.append(Item(f"{Path(path).stem}/{row:07d}", (path, row), split, label))
        return items

    def read(self, item: Item) -> Iterator[Sample | Rejected]:
        """One row of a batch."""
        path, row = item.ref
        yield Sample(key=item.key, pixels=_load_batch(path)[0][row], label=item.label)

    def describe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Preprocessing and origin."""
        return {"size": self.image_size, "resize": "as in the batches"}, {
            "kind": "imagenet-npz",
            "names": [Path(path).name for path in self._files],
        }

    @cached_property
    def _files(self) -> list[str]:
        roots = [Path(path).expanduser().absolute() for path in self.paths]
        files = [file for root in roots for file in (sorted(root.rglob("*.npz")) if root.is_dir() else [root])]
        return [str(file) for file in files]


def imagenet_source(paths: tuple[str, ...], image_size: int) -> Source:
    """ImageNet in whichever form these paths have."""
    if any(path.endswith(".npz") or list(Path(path).expanduser().glob("*.npz")) for path in paths):
        return ImageNetNpzSource(paths=paths)
    return ImageNetSource(paths=paths, image_size=image_size)


@lru_cache(maxsize=2)
def _load_batch(path: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (n, s, s, 3) uint8 and labels (n,)."""
    try:
        with np.load(path, allow_pickle=False) as batch:
            data, labels = batch["data"], batch["labels"].reshape(-1).astype(np.int64)
        size = round((data.shape[1] / 3) ** 0.5)
        return data.reshape(-1, 3, size, size).transpose(0, 2, 3, 1), labels
    except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
        raise InputError(f"`source` {path} is not a batch with data and labels ({error}): fetch it again") from error


def _class_of(name: str) -> str:
    folder = PurePosixPath(name).parent.name
    return "" if folder in _SPLITS else folder


def _split_of(name: str) -> str:
    return next((part for part in PurePosixPath(name).parts[:-1] if part in _SPLITS), "")
