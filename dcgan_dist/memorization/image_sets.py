"""Images of a set by whatever names it: shards, photographs, an array, or the official files of a data set."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from dcgan_dist.data.scan import scan_images
from dcgan_dist.data.shards.images import ImageFault, open_image, resize_and_crop, to_array
from dcgan_dist.data.shards.index_table import BadSample
from dcgan_dist.data.shards.manifest import MANIFEST_NAME, Manifest, load_manifest
from dcgan_dist.data.shards.writer import Sample
from dcgan_dist.errors import InputError, require
from dcgan_dist.memorization.check_options import Crop
from dcgan_dist.prepare.sources.base import Source
from dcgan_dist.prepare.sources.cifar10 import Cifar10Source, holds_jpegs
from dcgan_dist.prepare.sources.image_files import find_images
from dcgan_dist.prepare.sources.mnist import MnistSource
from dcgan_dist.prepare.sources.svhn import SvhnSource
from dcgan_dist.similarity.thumbnails import SIDE, thumbnails
from dcgan_dist.storage.uri import is_uri

Pixels = NDArray[np.uint8]
Role = Literal["samples", "train", "held_out"]
READ_AT_ONCE = 1024
MOST_BAD = 0.01
"""Greatest share of files that may be unreadable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSet:
    """The images that are compared."""

    images: Pixels
    """(n, 3, 32, 32)."""
    side: int
    """Pixels per side of the squares they were made from; 0 where these differed."""
    sha256: str
    """Of the images."""
    manifest: str
    """Hash of the manifest they were read from; empty where there is none."""
    unreadable: int

    def __len__(self) -> int:
        return len(self.images)


def image_set(images: Pixels) -> ImageSet:
    """A set from squares in memory, (n, 1 or 3, s, s)."""
    small = thumbnails(images)
    return ImageSet(
        images=small, side=images.shape[-1], sha256=hashlib.sha256(small.data).hexdigest(), manifest="", unreadable=0
    )


def empty_set() -> ImageSet:
    """No images."""
    return image_set(np.empty((0, 3, SIDE, SIDE), np.uint8))


def read_image_set(paths: Sequence[str], role: Role, *, side: int = 0, crop: Crop = "resize") -> ImageSet:
    """Read images as training saw them, and shrink them all in one way.

    Args:
        paths: shards (folder, manifest or URI), folders, tars or zips of images, .npy or .npz files of uint8 images, or
            folders with the official files of CIFAR-10, SVHN or MNIST.
        role: where the data has splits, "train" takes train, and "held_out" what is not train, if there is any.
        side: squares of this size are made of all images first, as the generator's are; 0: as large as they are.
        crop: how; "resize" brings the shorter side to it and cuts the centre out, "centre" only cuts.

    Raises:
        InputError: nothing there, unreadable, or images that are too small to be cut.
    """
    parts: list[Pixels] = []
    sides: Counter[int] = Counter()
    manifests: list[str] = []
    unreadable = 0
    for path in paths:
        for pixels in tqdm(_pictures(path, role, manifests), desc=f"{role} {Path(path).name}", unit=" images", delay=5):
            if pixels is None:
                unreadable += 1
                continue
            square = _square(pixels, side, crop, path)
            sides[square.shape[0]] += 1
            parts.append(thumbnails(square.transpose(2, 0, 1)[None]))
    found = len(parts)
    require(found > 0, f"no image for {role} in {', '.join(paths)}: name another place")
    require(
        unreadable <= MOST_BAD * (found + unreadable),
        f"{unreadable} of {found + unreadable} images in {', '.join(paths)} cannot be read: copy them again",
    )
    images = np.concatenate(parts)
    return ImageSet(
        images=images,
        side=next(iter(sides)) if len(sides) == 1 else 0,
        sha256=hashlib.sha256(images.data).hexdigest(),
        manifest=manifests[0] if len(manifests) == len(paths) == 1 else "",
        unreadable=unreadable,
    )


def _pictures(path: str, role: Role, manifests: list[str]) -> Iterator[Pixels | None]:
    """(h, w, c) of each image, None for one that cannot be read."""
    local = Path(path).expanduser()
    if is_uri(path) or local.name == MANIFEST_NAME or (local / MANIFEST_NAME).is_file():
        manifest = _split(load_manifest(path), role)
        manifests.append(manifest.hash)
        return _of_manifest(manifest)
    if not local.exists():
        raise InputError(
            f"{path} does not exist: give shards, a folder, tar or zip of images, or an array (.npy, .npz)"
        )
    if local.suffix in (".npy", ".npz"):
        return iter(_of_array(local))
    if (source := _official(local)) is not None:
        return _of_source(source, role)
    return _of_files(path)


def _split(manifest: Manifest, role: Role) -> Manifest:
    names = _wanted(manifest.splits, role)
    if names == manifest.splits:
        return manifest
    return dataclasses.replace(manifest, shards=tuple(one for one in manifest.shards if one.split in names))


def _wanted(splits: tuple[str, ...], role: Role) -> tuple[str, ...]:
    if role == "samples" or "train" not in splits or len(splits) == 1:
        return splits
    return ("train",) if role == "train" else tuple(name for name in splits if name != "train")


def _of_manifest(manifest: Manifest) -> Iterator[Pixels | None]:
    require(
        manifest.image_size > 0,
        f"{manifest.location} holds images of different sizes: give its tars, or prepare shards of one size",
    )
    bad: list[BadSample] = []
    for batch in scan_images(
        manifest, image_size=manifest.image_size, batch_size=READ_AT_ONCE, on_bad_sample=bad.append
    ):
        yield from batch.images.numpy().transpose(0, 2, 3, 1)
    yield from [None] * len(bad)


def _of_array(path: Path) -> Pixels:
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = [loaded] if isinstance(loaded, np.ndarray) else [loaded[name] for name in loaded.files]
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path} is no plain array file ({error}): write it with numpy.save") from error
    images = [one for one in arrays if one.dtype == np.uint8 and one.ndim == 4]
    require(len(images) == 1, f"{path} holds {len(images)} arrays (n, c, h, w) or (n, h, w, c) of uint8: give one")
    found = images[0].transpose(0, 2, 3, 1) if images[0].shape[1] in (1, 3) else images[0]
    require(found.shape[3] in (1, 3), f"{path} holds {found.shape}: images have 1 or 3 channels")
    return found


def _official(folder: Path) -> Source | None:
    """The reader of a data set whose official files, or their first part, lie in a folder."""
    if not folder.is_dir():
        return SvhnSource(path=str(folder)) if folder.suffix == ".mat" else None
    if any(folder.glob("*_32x32*.mat")):
        return SvhnSource(path=str(folder))
    if any(folder.glob("*-images-idx3-ubyte*")):
        return MnistSource(path=str(folder), val=0)
    tars = list(folder.glob("*.tar"))
    if any(folder.rglob("data_batch_*")) or (tars and all(map(holds_jpegs, tars))):
        return Cifar10Source(path=str(folder))
    return None


def _of_source(source: Source, role: Role) -> Iterator[Pixels | None]:
    items = source.items()
    names = _wanted(tuple(dict.fromkeys(item.split for item in items)), role)
    for item in items:
        if item.split in names:
            for read in source.read(item):
                yield read.pixels if isinstance(read, Sample) else None


def _of_files(path: str) -> Iterator[Pixels | None]:
    for _, place in find_images([path]):
        try:
            with open_image(place.read_bytes()) as image:
                yield to_array(image, 3)
        except (ImageFault, OSError):
            yield None


def _square(pixels: Pixels, side: int, crop: Crop, path: str) -> Pixels:
    height, width, channels = pixels.shape
    if (height, width) == (side, side) or (not side and height == width):
        return pixels
    if crop == "centre" and side:
        require(
            min(height, width) >= side,
            f"an image of {path} has {width} x {height} pixels, less than {side}: `crop=resize`",
        )
        top, left = (height - side) // 2, (width - side) // 2
        return pixels[top : top + side, left : left + side]
    image = Image.fromarray(pixels if channels == 3 else pixels[:, :, 0])
    return to_array(resize_and_crop(image, side or min(height, width)), channels)
