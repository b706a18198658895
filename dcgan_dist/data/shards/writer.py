"""Writing shards: standard tars, the same bytes for the same samples, each with its index, whole or not at all."""

import io
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tarfile import BLOCKSIZE
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from webdataset.writer import TarWriter

from dcgan_dist.data.shards.images import encode_jpeg, encode_png
from dcgan_dist.data.shards.index import TarColumns, index_name, make_index
from dcgan_dist.data.shards.schema import Layout, Shard
from dcgan_dist.files import sha256_of, whole_file

Encoding = Literal["jpeg", "png"]
BLOCK_SAMPLES = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One image on its way into a shard."""

    key: str
    """Escaped, unique in its data set."""
    pixels: NDArray[np.uint8]
    """(h, w, 1 or 3)."""
    label: int | None = None
    """Class number from 0."""
    details: dict[str, Any] | None = None
    """Goes into the .json member; index only in the block layout's block."""
    remarks: tuple[str, ...] = ()
    """What the summary of a preparation tells of it: DARK and FRAMES of `images`."""
    encoded: tuple[str, bytes] | None = None
    """Suffix and bytes of an image that is stored as it came; None: encode the pixels."""


def write_shard(
    path: Path, split: str, samples: Iterable[Sample], *, layout: Layout, encoding: Encoding = "jpeg"
) -> Shard | None:
    """Write one tar and its index under temporary names, then give them their own: first the index, then the tar.

    Args:
        path: of the tar; the folder exists.
        split: train, val or test.
        samples: at least one, else nothing is written.
        layout: one encoded image per member, or blocks of raw images of one size.
        encoding: how pixels are stored in the samples layout.

    Returns:
        The manifest's entry, or None where there was no sample.
    """
    columns = TarColumns()
    # A name of its own: a task that is started again may meet the one that was lost, and still writes.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(3)}.part")
    with (
        unfinished.open("wb") as file,
        TarWriter(file, user="", group="", mtime=0, encoder=False, format="PAX_FORMAT") as tar,
    ):
        if layout == "blocks":
            _write_blocks(tar, iter(samples), columns)
        else:
            _write_samples(tar, samples, columns, encoding)
    if not columns.keys:
        unfinished.unlink()
        return None
    assert len(set(columns.keys)) == len(columns.keys), f"a key comes twice in {path.name}"

    index_path = path.with_name(index_name(path.name))
    index = make_index(unfinished, columns)
    with whole_file(index_path) as unfinished_index:
        unfinished_index.write_bytes(index.encode())
    unfinished.replace(path)
    return describe_shard(path, split, len(columns.keys))


def describe_shard(path: Path, split: str, samples: int) -> Shard:
    """The manifest's entry for a tar that lies there with its index."""
    return Shard(
        name=path.name,
        split=split,
        samples=samples,
        bytes=path.stat().st_size,
        sha256=sha256_of(path),
        index_sha256=sha256_of(path.with_name(index_name(path.name))),
    )


def _write_samples(tar: TarWriter, samples: Iterable[Sample], columns: TarColumns, encoding: Encoding) -> None:
    for sample in samples:
        suffix, data = sample.encoded or _encode(sample.pixels, encoding)
        columns.add(sample.key, _write_member(tar, sample.key, suffix, data), len(data), sample.label)
        if sample.label is not None:
            _write_member(tar, sample.key, "cls", b"%d" % sample.label)
        if sample.details is not None:
            _write_member(tar, sample.key, "json", json.dumps(sample.details, sort_keys=True).encode())


def _write_blocks(tar: TarWriter, samples: Iterator[Sample], columns: TarColumns) -> None:
    """Write blocks: `images.npy` (n, c, s, s) uint8, `keys.json`, and labels and details where there are any."""
    for number, block in enumerate(iter(lambda: list(islice(samples, BLOCK_SAMPLES)), [])):
        key = f"block-{number:06d}"
        images = np.stack([sample.pixels.transpose(2, 0, 1) for sample in block])
        data = _npy(images)
        size = images[0].nbytes
        first = _write_member(tar, key, "images.npy", data) + len(data) - images.nbytes
        for row, sample in enumerate(block):
            columns.add(sample.key, first + row * size, size, sample.label)
        _write_member(tar, key, "keys.json", json.dumps([sample.key for sample in block]).encode())
        if all(sample.label is not None for sample in block):
            _write_member(tar, key, "labels.npy", _npy(np.array([sample.label for sample in block], np.int64)))
        if any(sample.details is not None for sample in block):
            details = [sample.details for sample in block]
            _write_member(tar, key, "json", json.dumps(details, sort_keys=True).encode())


def _write_member(tar: TarWriter, key: str, suffix: str, data: bytes) -> int:
    """Add one member and return where its data begins; members of one key stay one sample for any reader."""
    tar.write({"__key__": key, suffix: data})
    padded = -len(data) // BLOCKSIZE * -BLOCKSIZE
    return tar.tarstream.offset - padded


def _encode(pixels: NDArray[np.uint8], encoding: Encoding) -> tuple[str, bytes]:
    return ("jpg", encode_jpeg(pixels)) if encoding == "jpeg" else ("png", encode_png(pixels))


def _npy(array: NDArray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
