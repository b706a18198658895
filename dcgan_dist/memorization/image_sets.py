"""Images of a set by whatever names it: shards, photographs, an array, or the official files of a data set."""

import dataclasses
import hashlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from dcgan_dist.data.scan import scan_images
from dcgan_dist.data.shards.images import ImageFault, open_image, resize_and_crop, to_array
from dcgan_dist.data.shards.index_table import BadSample
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import MANIFEST_NAME, Manifest
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
from dcgan_dist.untrusted import read_arrays, refusing

Pixels = NDArray[np.uint8]
ImageSource = str | Path | NDArray[np.uint8] | Tensor
"""Where images are, or the images."""
Role = Literal["samples", "train", "held_out"]
LEAST_TRAIN = 9
"""Training images that a code of 8 bits is learnt from."""
READ_AT_ONCE = 1024
MOST_WAITING_BYTES = 1 << 24
MOST_BAD = 0.01
"""Greatest share of files that may be unreadable."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSet:
    """The images that are compared."""

    images: Pixels
    """(n, 3, 32, 32), mapped from a file."""
    side: int
    """Pixels per side of the squares they were made from; 0 where these differed."""
    sha256: str
    """Hash of the thumbnails' bytes."""
    manifest: str
    """Hash of the manifest they were read from; empty where there is none."""
    unreadable: int

    def __len__(self) -> int:
        return len(self.images)


def read_image_set(
    sources: ImageSource | Sequence[ImageSource], role: Role, *, side: int = 0, crop: Crop = "resize"
) -> ImageSet:
    """Read images as training saw them, and shrink them all in one way.

    Args:
        sources: one or several of shards (folder, manifest or URI), folders, tars or zips of images, .npy or .npz files of
            uint8 images, folders with the official files of CIFAR-10, SVHN or MNIST, and arrays in memory, which are
            uint8, (n, c, h, w) or (n, h, w, c). None: an empty set.
        role: where the data has splits, "train" takes train, and "held_out" what is not train, if there is any.
        side: squares of this size are made of all images first, as the generator's are; 0: as large as they are.
        crop: how; "resize" brings the shorter side to it and cuts the centre out, "centre" only cuts.

    Raises:
        InputError: nothing there, unreadable, or images that are too small to be cut.
    """
    listed = [sources] if isinstance(sources, str | Path | np.ndarray | Tensor) else list(sources)
    names = [str(source) if isinstance(source, str | Path) else "an array" for source in listed]
    small = _Thumbnails()
    sides: set[int] = set()
    manifests: list[str] = []
    unreadable = 0
    for source, name in zip(listed, names, strict=True):
        pictures = _pictures(source, name, role, manifests)
        for pixels in tqdm(pictures, desc=f"{role} {Path(name).name}", unit=" images", delay=5):
            if pixels is None:
                unreadable += 1
                continue
            square = _square(pixels, side, crop, name)
            sides.add(square.shape[0])
            small.add(square.transpose(2, 0, 1))
    images, places = small.images(), ", ".join(names)
    total = len(images) + unreadable
    require(len(images) > 0 or not listed, f"no image for {role} in {places}: name another place")
    require(
        unreadable <= MOST_BAD * total, f"{unreadable} of {total} images in {places} cannot be read: copy them again"
    )
    return ImageSet(
        images=images,
        side=sides.pop() if len(sides) == 1 else 0,
        sha256=small.sha256.hexdigest(),
        manifest=manifests[0] if len(manifests) == len(listed) == 1 else "",
        unreadable=unreadable,
    )


class _Thumbnails:
    """Thumbnails of images that come one by one, in a file without a name, so that any number fits."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()
        self._file, self._count = tempfile.TemporaryFile(), 0  # noqa: SIM115  the mapping keeps it
        self._waiting: list[Pixels] = []

    def add(self, image: Pixels) -> None:
        """The next image (1 or 3, h, w)."""
        if self._waiting and (
            self._waiting[0].shape != image.shape or len(self._waiting) * image.nbytes > MOST_WAITING_BYTES
        ):
            self._write()
        self._waiting.append(image)

    def _write(self) -> None:
        if not self._waiting:
            return
        content = thumbnails(np.stack(self._waiting)).tobytes()
        try:
            self._file.write(content)
            self._file.flush()
        except OSError as error:
            raise InputError(
                f"{tempfile.gettempdir()} cannot take the thumbnails, 3 kB an image ({error.strerror}): "
                "make room, or set TMPDIR to another folder"
            ) from error
        self.sha256.update(content)
        self._count += len(self._waiting)
        self._waiting.clear()

    def images(self) -> Pixels:
        """All of them, (n, 3, 32, 32), mapped from the file."""
        self._write()
        if not self._count:
            return np.empty((0, 3, SIDE, SIDE), np.uint8)
        return np.memmap(self._file, np.uint8, "r", shape=(self._count, 3, SIDE, SIDE))


def read_real_images(
    train: ImageSource | Sequence[ImageSource], held_out: ImageSource | Sequence[ImageSource], *, side: int, crop: Crop
) -> tuple[ImageSet, ImageSet]:
    """Training and held-out images as `read_image_set` gives them; a warning is logged where both are the same.

    Raises:
        InputError: fewer than 9 training images, or as `read_image_set` says.
    """
    train_set = read_image_set(train, "train", side=side, crop=crop)
    require(len(train_set) >= LEAST_TRAIN, f"`train` holds {len(train_set)} images, at least {LEAST_TRAIN} are needed")
    held_out_set = read_image_set(held_out, "held_out", side=side, crop=crop)
    if held_out_set.sha256 == train_set.sha256:
        _log.warning(
            "`train` and `held_out` are the same %s images, so none of them is held out and the verdict will be inconclusive: "
            "prepare shards with `val_fraction`, or name other images",
            f"{len(train_set):,}",
        )
    return train_set, held_out_set


def _pictures(source: ImageSource, name: str, role: Role, manifests: list[str]) -> Iterator[Pixels | None]:
    """(h, w, c) of each image, None for one that cannot be read; hashes of manifests are added to `manifests`."""
    if not isinstance(source, str | Path):
        return iter(_channels_last([np.asarray(source)], name))
    path = Path(source).expanduser()
    if is_uri(name) or path.name == MANIFEST_NAME or (path / MANIFEST_NAME).is_file():
        manifest = _split(load_manifest(name), role)
        manifests.append(manifest.hash)
        return _of_manifest(manifest)
    if not path.exists():
        raise InputError(
            f"{name} does not exist: give shards, a folder, tar or zip of images, or an array (.npy, .npz)"
        )
    if path.suffix in (".npy", ".npz"):
        return iter(_of_array_file(path))
    if (official := _official(path)) is not None:
        return _of_source(official, role)
    return _of_files(name)


def _split(manifest: Manifest, role: Role) -> Manifest:
    splits = _wanted(manifest.splits, role)
    if splits == manifest.splits:
        return manifest
    return dataclasses.replace(manifest, shards=tuple(shard for shard in manifest.shards if shard.split in splits))


def _wanted(splits: tuple[str, ...], role: Role) -> tuple[str, ...]:
    if role == "samples" or "train" not in splits or len(splits) == 1:
        return splits
    return ("train",) if role == "train" else tuple(name for name in splits if name != "train")


def _of_manifest(manifest: Manifest) -> Iterator[Pixels | None]:
    size = manifest.image_size
    require(
        size > 0,
        f"{manifest.location} holds images of different sizes: give its tars, or prepare shards of one size",
    )
    bad: list[BadSample] = []
    for batch in scan_images(manifest, image_size=size, batch_size=READ_AT_ONCE, on_bad_sample=bad.append):
        yield from batch.images.numpy().transpose(0, 2, 3, 1)
    yield from [None] * len(bad)


def _of_array_file(path: Path) -> Pixels:
    with refusing(f"{path} is no plain array file", "write it with numpy.save"):
        arrays = read_arrays(path)
    return _channels_last(list(arrays.values()), str(path))


def _channels_last(arrays: Sequence[NDArray[Any]], name: str) -> Pixels:
    """(n, h, w, 1 or 3) of the one array of images among several."""
    images = [array for array in arrays if array.dtype == np.uint8 and array.ndim == 4]
    require(len(images) == 1, f"{name} holds {len(images)} arrays (n, c, h, w) or (n, h, w, c) of uint8: give one")
    pixels = images[0].transpose(0, 2, 3, 1) if images[0].shape[1] in (1, 3) else images[0]
    require(pixels.shape[3] in (1, 3), f"{name} holds {pixels.shape}: images have 1 or 3 channels")
    return pixels


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
