"""Other people's readers of the same images, each used as its own documentation shows, and the floors of any reader."""

import importlib
import io
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import PILToTensor

from dcgan_dist.data.shards.index import decode_index, index_name
from dcgan_dist.data.shards.schema import Manifest


def _tars(manifest: Manifest) -> list[Path]:
    return [Path(manifest.location) / shard.name for shard in manifest.shards]


def webdataset(manifest: Manifest, decoder: str = "rgb8") -> Any:
    """Shuffled images as the README of webdataset reads them; `rgb8` is uint8, `rgb` the README's float in [0, 1]."""
    wds = importlib.import_module("webdataset")
    tars = [str(path) for path in _tars(manifest)]
    return wds.WebDataset(tars, shardshuffle=100, empty_check=False).shuffle(1000).decode(decoder).to_tuple("jpg")


def jpeg_members(manifest: Manifest) -> Iterator[bytes]:
    """The JPEG files in a data set's shards, in order."""
    for path in _tars(manifest):
        index, tar = decode_index(path.with_name(index_name(path.name)).read_bytes(), path.name), path.read_bytes()
        for first, size in zip(index.offsets.tolist(), index.sizes.tolist(), strict=True):
            yield tar[first : first + size]


def image_folder(manifest: Manifest, folder: Path) -> Any:
    """torchvision's ImageFolder of the JPEG members as single files of one class, which are written here."""
    (folder / "all").mkdir(parents=True)
    for number, jpeg in enumerate(jpeg_members(manifest)):
        (folder / "all" / f"{number:08d}.jpg").write_bytes(jpeg)
    return ImageFolder(str(folder), transform=PILToTensor())


def loader(dataset: Any, batch_size: int, loader_workers: int) -> Iterator[Any]:
    """Endless batches of torch's DataLoader, its processes kept from epoch to epoch; an ImageFolder is shuffled."""
    batches = DataLoader(
        dataset,
        batch_size,
        shuffle=True if isinstance(dataset, ImageFolder) else None,
        num_workers=loader_workers,
        drop_last=True,
        persistent_workers=loader_workers > 0,
    )
    while True:
        yield from batches


def streaming_dataset(manifest: Manifest, folder: Path, batch_size: int) -> Any:
    """mosaicml-streaming's data set with shuffle, uint8 tensors; its own files are written to `folder`.

    Returns:
        None where the library is not installed.
    """
    try:
        streaming = importlib.import_module("streaming")
    except ImportError:
        return None
    with streaming.MDSWriter(out=str(folder), columns={"image": "jpeg"}) as writer:
        for jpeg in jpeg_members(manifest):
            writer.write({"image": Image.open(io.BytesIO(jpeg))})

    class Images(streaming.StreamingDataset):  # type: ignore[name-defined, misc]
        def __getitem__(self, at: int) -> torch.Tensor:
            return PILToTensor()(super().__getitem__(at)["image"])

    return Images(local=str(folder), shuffle=True, batch_size=batch_size)


def decode_alone(jpegs: Sequence[bytes], batch_size: int) -> Iterator[list[np.ndarray]]:
    """The floor of any JPEG reader: libjpeg-turbo on bytes that are in memory already."""
    images = (simplejpeg.decode_jpeg(jpeg, "RGB") for jpeg in cycle(jpegs))
    while True:
        yield list(islice(images, batch_size))


def read_and_copy(manifest: Manifest, batch_size: int, image_size: int) -> Iterator[np.ndarray]:
    """The floor of any reader of raw images: the shards' bytes read in order, a batch at a time, and copied into one."""
    batch_bytes = batch_size * 3 * image_size**2
    for path in cycle(_tars(manifest)):
        with path.open("rb", buffering=0) as file:
            while len(data := file.read(batch_bytes)) == batch_bytes:
                yield np.frombuffer(data, np.uint8).reshape(batch_size, 3, image_size, image_size).copy()
