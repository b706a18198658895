"""Where images of a set are: shards, photographs, an array, or the official files of a data set."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dcgan_dist.data.scan import scan_images
from dcgan_dist.data.shards.images import ImageFault, open_image, to_array
from dcgan_dist.data.shards.index_table import BadSample
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import MANIFEST_NAME, Manifest
from dcgan_dist.data.shards.writer import Sample
from dcgan_dist.errors import InputError, require
from dcgan_dist.prepare.sources.base import Source
from dcgan_dist.prepare.sources.cifar10 import Cifar10Source, holds_jpegs
from dcgan_dist.prepare.sources.image_files import find_images
from dcgan_dist.prepare.sources.mnist import MnistSource
from dcgan_dist.prepare.sources.svhn import SvhnSource
from dcgan_dist.storage.uri import is_uri
from dcgan_dist.untrusted import read_arrays, reason, refusing

Pixels = NDArray[np.uint8]
Rows = NDArray[np.int64]
ImageSource = str | Path | NDArray[np.uint8] | Tensor
"""Where images are, or the images."""
Role = Literal["samples", "train", "held_out"]
READ_AT_ONCE, READ_BYTES = 1024, 1 << 24
"""Images of shards that are read at once, and their bytes, at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenSource:
    """Images that are there, and have not been read."""

    name: str
    identity: str
    """The same where two sources are the same images."""
    count: int
    read: Callable[[Rows], Iterator[tuple[str, Pixels | ImageFault]]]
    """Rows, rising -> the key and (h, w, 1 or 3) of each image, or why it cannot be used."""
    manifest: str = ""
    """Hash of the manifest that lists them; empty where there is none."""


def open_sources(sources: ImageSource | Sequence[ImageSource], role: Role) -> list[OpenSource]:
    """Find the images of one or several sources; `role` decides the splits, as `read_image_set` says.

    Raises:
        InputError: something is missing, or holds no image.
    """
    listed = [sources] if isinstance(sources, str | Path | np.ndarray | Tensor) else list(sources)
    opened = [_open(source, role) for source in listed]
    places = ", ".join(source.name for source in opened)
    require(
        not opened or sum(source.count for source in opened) > 0,
        f"no image for {role} in {places}: name another place",
    )
    return opened


def _open(source: ImageSource, role: Role) -> OpenSource:
    if not isinstance(source, str | Path):
        return _of_array(np.asarray(source), "an array", f"array {id(source)}")
    name, path = str(source), Path(source).expanduser()
    if is_uri(name) or path.name == MANIFEST_NAME or (path / MANIFEST_NAME).is_file():
        return _of_manifest(name, _split(load_manifest(name), role))
    if not path.exists():
        raise InputError(
            f"{name} does not exist: give shards, a folder, tar or zip of images, or an array (.npy, .npz)"
        )
    place = str(path.resolve())
    if path.suffix in (".npy", ".npz"):
        with refusing(f"{path} is no plain array file", "write it with numpy.save"):
            arrays = read_arrays(path, mapped=True)
        return _of_array([*arrays.values()], str(path), place)
    if (official := _official(path)) is not None:
        return _of_source(official, name, place, role)
    images = find_images([name])

    def read(rows: Rows) -> Iterator[tuple[str, Pixels | ImageFault]]:
        for row in rows.tolist():
            key, file = images[row]
            try:
                with open_image(file.read_bytes()) as image:
                    yield key, to_array(image, 3)
            except (ImageFault, OSError) as error:
                yield key, ImageFault(reason(error))

    return OpenSource(name=name, identity=place, count=len(images), read=read)


def _split(manifest: Manifest, role: Role) -> Manifest:
    splits = _wanted(manifest.splits, role)
    if splits == manifest.splits:
        return manifest
    return dataclasses.replace(manifest, shards=tuple(shard for shard in manifest.shards if shard.split in splits))


def _wanted(splits: tuple[str, ...], role: Role) -> tuple[str, ...]:
    if role == "samples" or "train" not in splits or len(splits) == 1:
        return splits
    return ("train",) if role == "train" else tuple(name for name in splits if name != "train")


def _of_manifest(name: str, manifest: Manifest) -> OpenSource:
    size = manifest.image_size
    require(
        size > 0,
        f"{manifest.location} holds images of different sizes: give its tars, or prepare shards of one size",
    )

    def read(rows: Rows) -> Iterator[tuple[str, Pixels | ImageFault]]:
        bad: list[BadSample] = []
        at_once = max(1, min(READ_AT_ONCE, READ_BYTES // (manifest.image_channels * size**2)))
        batches = scan_images(manifest, image_size=size, batch_size=at_once, on_bad_sample=bad.append, positions=rows)
        for batch in batches:
            yield from (("", pixels) for pixels in batch.images.numpy().transpose(0, 2, 3, 1))
            yield from ((f"{sample.shard}: {sample.key}", ImageFault(sample.fault)) for sample in bad)
            bad.clear()

    return OpenSource(name=name, identity=manifest.hash, count=manifest.samples, read=read, manifest=manifest.hash)


def _of_array(arrays: NDArray[Any] | Sequence[NDArray[Any]], name: str, identity: str) -> OpenSource:
    """The one array of images (n, 1 or 3, h, w) or (n, h, w, 1 or 3) of uint8 among several."""
    listed = [arrays] if isinstance(arrays, np.ndarray) else arrays
    images = [array for array in listed if array.dtype == np.uint8 and array.ndim == 4]
    require(len(images) == 1, f"{name} holds {len(images)} arrays (n, c, h, w) or (n, h, w, c) of uint8: give one")
    pixels = images[0].transpose(0, 2, 3, 1) if images[0].shape[1] in (1, 3) else images[0]
    require(
        pixels.shape[3] in (1, 3) and min(pixels.shape[1:3]) > 0,
        f"{name} holds {pixels.shape}: images have pixels, and 1 or 3 channels",
    )
    return OpenSource(
        name=name,
        identity=identity,
        count=len(pixels),
        read=lambda rows: ((str(row), np.asarray(pixels[row])) for row in rows.tolist()),
    )


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


def _of_source(source: Source, name: str, place: str, role: Role) -> OpenSource:
    items = source.items()
    splits = _wanted(tuple(dict.fromkeys(item.split for item in items)), role)
    wanted = [item for item in items if item.split in splits]

    def read(rows: Rows) -> Iterator[tuple[str, Pixels | ImageFault]]:
        for row in rows.tolist():
            for image in source.read(wanted[row]):
                yield image.key, image.pixels if isinstance(image, Sample) else ImageFault(image.reason)

    return OpenSource(name=name, identity=f"{place} {splits}", count=len(wanted), read=read)
