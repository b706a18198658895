"""ImageNet-1k: class folders, the official tars, or the npz batches of Downsampled ImageNet."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.data.shards.images import IMAGE_SUFFIXES
from dcgan_dist.data.shards.keys import escape, keys_of_paths
from dcgan_dist.data.shards.writer import Encoding, Sample
from dcgan_dist.errors import InputError, require
from dcgan_dist.prepare.sources.base import Item, Rejected, Source
from dcgan_dist.prepare.sources.folder import FolderSource
from dcgan_dist.prepare.sources.image_files import Place, find_images
from dcgan_dist.untrusted import read_arrays, refusing

_IMAGES = {f".{suffix}" for suffix in (*IMAGE_SUFFIXES, "tar", "zip")}
_SPLITS = {"train": "train", "val": "val", "test": "test", "training": "train", "validation": "val", "valid": "val"}
_SPLITS |= {"testing": "test", **{f"ilsvrc2012_img_{split}": split for split in ("train", "val", "test")}}
"""Split of an image by a folder on the way to it, or by its archive."""


class _Folders(NamedTuple):
    """The folders on the way to an image."""

    split: str
    """What one of them says; empty where none does."""
    above: tuple[str, ...]
    """Those above the one that says the split, or all."""
    below: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ImageNetSource(FolderSource):
    """Images whose folder (or inner tar) is their class; a folder named train, val or test on the way says the split.

    Classes are numbered in the order of their names.
    """

    dataset: str = "imagenet"
    KIND: ClassVar[str] = "imagenet"
    NOTES_SIZE: ClassVar[bool] = False

    def class_names(self) -> tuple[str, ...]:
        """Names of the class folders, such as n01440764."""
        return tuple(sorted(set(self._classes)))

    def items(self) -> Sequence[Item]:
        """One item per image.

        Raises:
            InputError: there is no image, or one that lies in no class folder.
        """
        numbers = {name: number for number, name in enumerate(self.class_names())}
        names = [name for name, _ in self._images]
        if "" in numbers:
            stray = names[self._classes.index("")]
            raise InputError(
                f"{stray} lies in no class folder: give <class>/<image> (for ImageNet's validation images its valprep.sh "
                "makes these), leave it out, or use the job `prepare_folder`"
            )
        return [
            Item(key, place, _folders_of(name).split, numbers[class_name])
            for key, (name, place), class_name in zip(keys_of_paths(names), self._images, self._classes, strict=True)
        ]

    @cached_property
    def _classes(self) -> list[str]:
        """Name of each image's class folder, empty where it lies in none; the folder of the split stands above all of them or
        below all of them.
        """
        folders = [_folders_of(name) for name, _ in self._images]
        below = any(image.below for image in folders)
        classes = [image.below if below and image.split else image.above for image in folders]
        return [names[-1] if names else "" for names in classes]

    @cached_property
    def _images(self) -> list[tuple[str, Place]]:
        return find_images(self.paths)


@dataclass(frozen=True, kw_only=True)
class ImageNetNpzSource(Source):
    """Batches with `data` (n, 3 s^2) uint8, channels first, and `labels`, from 0 or (as published) from 1."""

    files: tuple[str, ...]
    """Npz files; a name beginning with val says the split."""
    dataset: str = "imagenet"
    encoding: Encoding = "png"

    def class_names(self) -> tuple[str, ...]:
        """Numbers only: the batches hold no names."""
        return tuple(str(number) for number in range(1000))

    def items(self) -> Sequence[Item]:
        """One item per image, file by file.

        Raises:
            InputError: a file is none of these batches.
        """
        labels = {file: _load_batch(file)[1] for file in self.files}
        least, greatest = (int(end(list(map(end, labels.values())))) for end in (np.min, np.max))
        first = 1 if least >= 1 and greatest == 1000 else 0
        require(
            greatest - first < 1000, f"labels of {', '.join(self.files)} are from 0 to 1000: ImageNet has 1,000 classes"
        )
        return [
            Item(
                f"{escape(Path(file).stem)}/{row:07d}",
                (file, row),
                "val" if Path(file).name.startswith("val") else "train",
                label - first,
            )
            for file in self.files
            for row, label in enumerate(labels[file].tolist())
        ]

    def read(self, item: Item) -> Iterator[Sample | Rejected]:
        """One row of a batch."""
        file, row = item.ref
        yield Sample(key=item.key, pixels=_load_batch(file)[0][row], label=item.label)

    def describe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Preprocessing and origin."""
        origin = {"kind": "imagenet-npz", "names": [Path(file).name for file in self.files]}
        return {"size": self.image_size, "resize": "as in the batches"}, origin


def imagenet_source(paths: tuple[str, ...], image_size: int) -> Source:
    """ImageNet in whichever form these paths have; npz batches keep their own size.

    Raises:
        InputError: an npz file is no batch, or they are of several data sets.
    """
    roots = [Path(path).expanduser().absolute() for path in paths]
    if not any(root.suffix == ".npz" or any(root.rglob("*.npz")) for root in roots):
        return ImageNetSource(paths=paths, image_size=image_size)
    files = [file for root in roots for file in (sorted(root.rglob("*.npz")) if root.is_dir() else [root])]
    stems = Counter(file.stem for file in files)
    for file in files:
        same = [str(other) for other in files if other.stem == file.stem]
        require(stems[file.stem] == 1, f"`source` holds several data sets: name one of {', '.join(same)}")
    images = next((file for root in roots for file in root.rglob("*") if file.suffix.lower() in _IMAGES), None)
    require(images is None, f"`source` holds batches (.npz) and images ({images}): name the files of one of the two")
    sizes = {_load_batch(str(file))[0].shape[1] for file in files}
    require(len(sizes) == 1, f"`source` holds batches of images of {sorted(sizes)} pixels: name files of one size")
    (image_size,) = sizes
    return ImageNetNpzSource(files=tuple(map(str, files)), image_size=image_size)


@lru_cache(maxsize=2)
def _load_batch(path: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (n, s, s, 3) uint8 and labels (n,)."""
    with refusing(f"`source` {path} is not a batch with data and labels", "fetch it again"):
        batch = read_arrays(Path(path))
        data, labels = batch["data"], batch["labels"].reshape(-1)
        size = math.isqrt(data.shape[1] // 3)
        if (
            data.dtype != np.uint8
            or data.shape != (len(labels), 3 * size**2)
            or not size
            or labels.dtype.kind not in "iu"
        ):
            raise ValueError(f"data are {data.dtype} {data.shape}, labels {labels.dtype} {labels.shape}")
        if not len(labels) or labels.min() < 0 or labels.max() > 1000:
            raise ValueError("it has no labels from 0 to 1000")
        return data.reshape(-1, 3, size, size).transpose(0, 2, 3, 1), labels.astype(np.int64)


def _folders_of(name: str) -> _Folders:
    """Tiny ImageNet has a folder `images` between the class and its images."""
    folders = PurePosixPath(name).parts[:-1]
    place = next((place for place, folder in enumerate(folders) if folder.lower() in _SPLITS), len(folders))
    above, below = (tuple(n for n in part if n != "images") for part in (folders[:place], folders[place + 1 :]))
    return _Folders(_SPLITS[folders[place].lower()] if place < len(folders) else "", above, below)
