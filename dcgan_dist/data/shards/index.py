"""The index beside each shard: where every image lies, its checksum, its label and its key.

With it any sample is one read at a known offset, so that a stream may begin anywhere. It is an uncompressed .npz
without pickled arrays; in the block layout an entry points at one image inside its block, so both layouts read alike.
"""

import dataclasses
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, get_args

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.untrusted import is_plain_path, read_arrays, refusing

NO_LABEL = -1
MOST_LABEL = 2**31 - 1
HASH_BASE = np.uint64(0x9E3779B97F4A7C15)
"""Odd, with bits all over."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ShardIndex:
    """Columns over the samples of one shard, in shard order."""

    offsets: NDArray[np.int64]
    """(n,) first byte of the image in the tar file."""
    sizes: NDArray[np.int64]
    """(n,) bytes of the image."""
    crc32: NDArray[np.uint32]
    """(n,) checksum of those bytes."""
    labels: NDArray[np.int64]
    """(n,) class number from 0, or NO_LABEL."""
    gap_crc32: NDArray[np.uint32]
    """(n + 1,) checksum of what lies before each image and after the last: headers, labels, details, padding."""
    key_bytes: NDArray[np.uint8]
    """All keys in UTF-8, one after the other."""
    key_ends: NDArray[np.int64]
    """(n,) where each key ends in key_bytes."""

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def keys(self) -> list[str]:
        """Key of every sample."""
        joined, ends = self.key_bytes.tobytes(), self.key_ends.tolist()
        return [joined[a:b].decode() for a, b in zip([0, *ends], ends, strict=False)]

    @property
    def key_hashes(self) -> NDArray[np.uint64]:
        """A number (n,) for every key, equal for equal ones: its bytes as digits, modulo 2^64; n at least 1."""
        lengths = np.diff(self.key_ends, prepend=0)
        starts = self.key_ends - lengths
        powers = np.multiply.accumulate(np.full(lengths.max(), HASH_BASE))
        places = np.arange(len(self.key_bytes)) - np.repeat(starts, lengths)
        return np.add.reduceat(powers[places] * self.key_bytes, starts)

    def key(self, sample: int) -> str:
        """Key of one sample."""
        first = self.key_ends[sample - 1] if sample else 0
        return self.key_bytes[first : self.key_ends[sample]].tobytes().decode()

    def encode(self) -> bytes:
        """The bytes of the index file; the same columns always give the same bytes."""
        buffer = io.BytesIO()
        np.savez(buffer, **{name: getattr(self, name) for name in self.__slots__})
        return buffer.getvalue()


@dataclass(kw_only=True, slots=True)
class TarColumns:
    """Where the images of a tar lie, in ascending order, with their keys and labels."""

    keys: list[str] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    labels: list[int | None] = field(default_factory=list)

    def add(self, key: str, offset: int, size: int, label: int | None) -> None:
        """The next image."""
        self.keys.append(key)
        self.offsets.append(offset)
        self.sizes.append(size)
        self.labels.append(label)


def make_index(tar: Path, columns: TarColumns) -> ShardIndex:
    """Index a tar; the checksums are taken from its bytes."""
    with tar.open("rb") as file:
        checksums = [
            (zlib.crc32(gap), zlib.crc32(image)) for gap, image in gaps_and_images(file, columns.offsets, columns.sizes)
        ]
        gaps, images = zip(*checksums, strict=True)
        last_gap = zlib.crc32(file.read())
    encoded = [key.encode() for key in columns.keys]
    return ShardIndex(
        offsets=np.asarray(columns.offsets, np.int64),
        sizes=np.asarray(columns.sizes, np.int64),
        crc32=np.asarray(images, np.uint32),
        labels=np.asarray([NO_LABEL if label is None else label for label in columns.labels], np.int64),
        gap_crc32=np.asarray([*gaps, last_gap], np.uint32),
        key_bytes=np.frombuffer(b"".join(encoded), np.uint8),
        key_ends=np.cumsum([len(key) for key in encoded], dtype=np.int64),
    )


def gaps_and_images(tar: BinaryIO, offsets: Sequence[int], sizes: Sequence[int]) -> Iterator[tuple[bytes, bytes]]:
    """Bytes of every image of a tar, each after what lies before it; at the end the tar stands behind the last image."""
    end, most = 0, os.fstat(tar.fileno()).st_size  # an index may name places far behind the tar's end
    for offset, size in zip(offsets, sizes, strict=True):
        yield tar.read(min(offset - end, most)), tar.read(min(size, most))
        end = offset + size


def decode_index(data: bytes, name: str) -> ShardIndex:
    """Read the bytes of an index file.

    Raises:
        InputError: they are not a whole index; `name` says whose.
    """
    with refusing(f"{name} is not a readable index", "copy it again or rebuild it"):
        columns = read_arrays(data)
        index = ShardIndex(**{name: columns[name] for name in ShardIndex.__slots__})
        _check(index)
    return index


def _check(index: ShardIndex) -> None:
    """Raise ValueError unless the columns are what the class says they are."""
    for column in dataclasses.fields(index):
        array, kind = getattr(index, column.name), get_args(get_args(column.type)[1])[0]
        if array.dtype != kind or array.ndim != 1:
            raise ValueError(f"{column.name} is {array.dtype} {array.shape}")
    n = len(index.offsets)
    lengths = [len(index.sizes), len(index.crc32), len(index.labels), len(index.gap_crc32) - 1, len(index.key_ends)]
    if set(lengths) != {n}:
        raise ValueError(f"columns of unequal length {sorted({n, *lengths})}")
    image_ends = index.offsets + index.sizes
    starts = np.concatenate([[0], image_ends[:-1]])
    if (index.sizes < 0).any() or (image_ends < index.offsets).any() or (index.offsets < starts).any():
        raise ValueError("images overlap, or have less than no bytes")
    ends = index.key_ends
    if (np.diff(ends, prepend=0) <= 0).any() or (n and ends[-1] != len(index.key_bytes)):
        raise ValueError("its keys are empty or cut")
    text, starts = index.key_bytes.tobytes().decode(), np.append(0, ends[:-1])
    doubtful = ".." in text or not text.isascii() or (index.key_bytes[starts] == ord("/")).any()
    if not text.isprintable() or (doubtful and not all(map(is_plain_path, index.keys))):
        raise ValueError("its keys have control characters, or lead out of a folder")
    if (index.labels < NO_LABEL).any() or (index.labels > MOST_LABEL).any():
        raise ValueError("labels are out of range")


def index_name(shard_name: str) -> str:
    """File name of the index that lies beside a shard."""
    return str(Path(shard_name).with_suffix(".index.npz"))
