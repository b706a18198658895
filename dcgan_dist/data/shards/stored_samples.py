"""The samples of one shard as they are stored: bytes, label, details; whatever their size, in shard order or by row."""

import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from isal.isal_zlib import crc32
from numpy.typing import NDArray

from dcgan_dist.data.shards.images import MAX_ENCODED_BYTES, ImageFault, decode
from dcgan_dist.data.shards.index import NO_LABEL
from dcgan_dist.data.shards.index_table import load_index
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.data.shards.tar_members import split_name
from dcgan_dist.errors import InputError
from dcgan_dist.storage.local import CHANGED_BYTES, Storage, error_fault, open_storage, short_fault
from dcgan_dist.storage.read_ahead import RemoteFolder

MAX_DETAILS_BYTES = 64 << 20
"""What lies between two images is not looked through for details beyond this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredSample:
    """One sample, checked against its crc32."""

    key: str
    label: int | None
    data: bytes
    """The encoded image, or in the block layout its raw pixels."""
    shape: tuple[int, int, int] | None
    """(c, h, w) of raw pixels; None where the image is encoded."""

    def pixels(self) -> NDArray[np.uint8]:
        """(c, h, w) uint8; an encoded image in colour.

        Raises:
            ImageFault: undecodable, or too large.
        """
        if self.shape is not None:
            return np.frombuffer(self.data, np.uint8).reshape(self.shape)
        return decode(self.data, 3).transpose(2, 0, 1)


class ShardSamples:
    """Access to the samples of one shard; not for several threads at once."""

    def __init__(self, manifest: Manifest, shard: int) -> None:
        """Open a shard.

        Raises:
            InputError: its index is missing or is not the manifest's.
        """
        self._manifest, self._entry = manifest, manifest.shards[shard]
        self._storage = open_storage(manifest.location)
        self._index = load_index(self._storage, self._entry)
        self._ends = self._index.offsets + self._index.sizes
        apart = np.flatnonzero(self._index.offsets[1:] != self._ends[:-1]) + 1
        self._block_firsts = np.concatenate([[0], apart]).astype(np.int64)
        self._block: tuple[int, list[dict[str, Any] | None]] = -1, []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._storage.close()

    def __len__(self) -> int:
        return len(self._index)

    @property
    def keys(self) -> list[str]:
        """Key of every sample."""
        return self._index.keys

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) class numbers, NO_LABEL where there is none."""
        return self._index.labels

    def read(self, row: int) -> StoredSample:
        """Read one sample.

        Raises:
            ImageFault: its bytes are not those of the index.
            InputError: the storage cannot be read.
        """
        columns = self._index.offsets, self._index.sizes, self._index.crc32
        try:
            data = read_checked(self._storage, self._entry.name, *(int(column[row]) for column in columns))
        except OSError as error:
            raise self._unreadable(error_fault(error)) from error
        label, side = int(self._index.labels[row]), self._manifest.image_size
        raw = (self._manifest.image_channels, side, side) if self._manifest.layout == "blocks" else None
        return StoredSample(
            key=self._index.key(row),
            label=None if label == NO_LABEL else label,
            data=data,
            shape=raw,
        )

    def details(self, rows: Iterable[int]) -> Iterator[dict[str, Any] | None]:
        """The .json of some samples, in the block layout their part of the block's; None where there is none."""
        find = self._details_of_block if self._manifest.layout == "blocks" else self._details_of_member
        return map(find, rows)

    def _details_of_member(self, row: int) -> dict[str, Any] | None:
        key = self._index.key(row)
        for gap in (row + 1, row):  # what follows an image belongs to it, unless names sort it before
            for name, data in self._members(gap):
                if split_name(name) == (key, "json"):
                    return _parsed(data)
        return None

    def _details_of_block(self, row: int) -> dict[str, Any] | None:
        # Images of a block lie side by side; between blocks there are headers.
        block = int(np.searchsorted(self._block_firsts, row, side="right")) - 1
        first, last = self._block_firsts[block], int(np.append(self._block_firsts, len(self))[block + 1]) - 1
        if self._block[0] != last:
            listed = next(
                (_parsed(data) for name, data in self._members(last + 1) if split_name(name)[1] == "json"), []
            )
            self._block = last, listed if isinstance(listed, list) else []
        listed = self._block[1]
        return listed[row - first] if row - first < len(listed) else None

    def _members(self, gap: int) -> Iterator[tuple[str, bytes]]:
        """Files that lie whole between two images, where there can be details among them."""
        begin = int(self._ends[gap - 1]) if gap else 0
        begin += -begin % tarfile.BLOCKSIZE
        end = int(self._index.offsets[gap]) if gap < len(self) else self._entry.bytes
        if not tarfile.BLOCKSIZE < end - begin <= MAX_DETAILS_BYTES:
            return
        try:
            data = self._storage.read(self._entry.name, begin, end - begin)
        except OSError as error:
            raise self._unreadable(error_fault(error)) from error
        if len(data) < end - begin:
            raise self._unreadable(f"it is cut before byte {end}")
        if b"json" not in data:
            return
        # Two blocks of zeros end a tar; the header of the image that follows has no data here.
        with tarfile.open(fileobj=io.BytesIO(data + bytes(2 * tarfile.BLOCKSIZE)), mode="r:", ignore_zeros=True) as tar:
            try:
                for member in tar:
                    if member.isfile() and member.offset_data + member.size <= len(data):
                        yield member.name, data[member.offset_data : member.offset_data + member.size]
            except tarfile.TarError:
                return

    def _unreadable(self, fault: str) -> InputError:
        place = f"{self._manifest.location}/{self._entry.name}"
        return InputError(f"shard {place}: {fault}: mend the storage and run again")


def read_checked(storage: Storage, shard: str, offset: int, size: int, checksum: int) -> bytes:
    """Bytes of an image in a shard.

    Raises:
        ImageFault: they are too many, cut, or not those of the index.
        OSError: the storage cannot be read.
    """
    if size > MAX_ENCODED_BYTES:
        raise ImageFault(f"{size} bytes, more than the limit of {MAX_ENCODED_BYTES}")
    data = storage.read(shard, offset, size)
    if isinstance(storage, RemoteFolder) and (len(data) != size or crc32(data) != checksum):
        data = storage.read_again(shard, offset, size)  # what was changed on its way is not a fault of the sample
    if len(data) != size:
        raise ImageFault(short_fault(len(data), size))
    if crc32(data) != checksum:
        raise ImageFault(CHANGED_BYTES)
    return data


def read_details(manifest: Manifest) -> list[dict[str, Any] | None]:
    """The .json of every sample of a manifest, by position; None where there is none.

    Raises:
        InputError: a shard is cut or cannot be read.
    """
    details: list[dict[str, Any] | None] = []
    for shard in range(len(manifest.shards)):
        with ShardSamples(manifest, shard) as samples:
            details += samples.details(range(len(samples)))
    return details


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None
