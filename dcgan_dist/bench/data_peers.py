"""Other people's readers of the same images, each used as its own documentation shows, and the floors of any reader."""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator, Sequence
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
from dcgan_dist.data.shards.manifest import Manifest


def _urls(manifest: Manifest) -> list[str]:
    return [str(Path(manifest.location) / shard.name) for shard in manifest.shards]


def webdataset_readme(manifest: Manifest) -> Any:
    """Float images in [0, 1], as the README of webdataset decodes them."""
    wds = importlib.import_module("webdataset")
    return (
        wds.WebDataset(_urls(manifest), shardshuffle=100, empty_check=False).shuffle(1000).decode("rgb").to_tuple("jpg")
    )


def webdataset_uint8(manifest: Manifest) -> Any:
    """The same with uint8 images, which spares it the conversion."""
    wds = importlib.import_module("webdataset")
    return (
        wds.WebDataset(_urls(manifest), shardshuffle=100, empty_check=False)
        .shuffle(1000)
        .decode("rgb8")
        .to_tuple("jpg")
    )


def export_folder(manifest: Manifest, folder: Path) -> Path:
    """Write the JPEG members of a data set as single files of one class folder."""
    (folder / "all").mkdir(parents=True)
    for path in map(Path, _urls(manifest)):
        index, data = decode_index(path.with_name(index_name(path.name)).read_bytes(), path.name), path.read_bytes()
        for number, (first, size) in enumerate(zip(index.offsets.tolist(), index.sizes.tolist(), strict=True)):
            (folder / "all" / f"{path.stem}-{number:06d}.jpg").write_bytes(data[first : first + size])
    return folder


def image_folder(folder: Path, batch_size: int, loader_workers: int) -> Any:
    """torchvision's ImageFolder under a shuffling DataLoader."""
    return loader(ImageFolder(str(folder), transform=PILToTensor()), batch_size, loader_workers, shuffle=True)


def loader(dataset: Any, batch_size: int, loader_workers: int, shuffle: bool | None = None) -> Any:
    """torch's DataLoader, its processes kept from epoch to epoch."""
    return DataLoader(
        dataset,
        batch_size,
        shuffle=shuffle,
        num_workers=loader_workers,
        drop_last=True,
        persistent_workers=loader_workers > 0,
    )


def streaming_shards(manifest: Manifest, folder: Path) -> Path | None:
    """The images in mosaicml-streaming's own format; None where the library is not installed."""
    try:
        streaming = importlib.import_module("streaming")
    except ImportError:
        return None
    with streaming.MDSWriter(out=str(folder), columns={"image": "jpeg"}) as writer:
        for path in sorted((export_folder(manifest, folder.with_name("mds-source")) / "all").iterdir()):
            writer.write({"image": Image.open(io.BytesIO(path.read_bytes()))})
    return folder


def streaming_dataset(folder: Path, batch_size: int) -> Any:
    """StreamingDataset with shuffle, images as uint8 tensors."""
    streaming = importlib.import_module("streaming")

    class Images(streaming.StreamingDataset):  # type: ignore[name-defined, misc]
        def __getitem__(self, at: int) -> torch.Tensor:
            return PILToTensor()(super().__getitem__(at)["image"])

    return Images(local=str(folder), shuffle=True, batch_size=batch_size)


def decode_alone(jpegs: Sequence[bytes], batch_size: int) -> Iterator[list[np.ndarray]]:
    """The floor of any JPEG reader: libjpeg-turbo on bytes that are in memory already."""
    at = 0
    while True:
        yield [simplejpeg.decode_jpeg(jpegs[(at + i) % len(jpegs)], "RGB") for i in range(batch_size)]
        at += batch_size


def read_and_copy(manifest: Manifest, batch_size: int, image_size: int) -> Iterator[np.ndarray]:
    """The floor of any reader of raw images: the shards' bytes read in order, a batch at a time, and copied into one."""
    batch_bytes = batch_size * 3 * image_size**2
    while True:
        for url in _urls(manifest):
            with open(url, "rb", buffering=0) as file:
                while len(data := file.read(batch_bytes)) == batch_bytes:
                    yield np.frombuffer(data, np.uint8).reshape(batch_size, 3, image_size, image_size).copy()
