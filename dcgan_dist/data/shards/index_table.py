"""The indexes of all shards as one table over manifest positions, each shard's part read when it is first needed."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.data.shards.index import ShardIndex, decode_index, index_name
from dcgan_dist.data.shards.schema import Manifest, Shard
from dcgan_dist.errors import InputError
from dcgan_dist.storage.local import Storage
from dcgan_dist.storage.read_ahead import RemoteFolder


@dataclass(frozen=True, kw_only=True, slots=True)
class BadSample:
    """A sample that could not be used, and where it lies."""

    shard: str
    key: str
    position: int
    """Manifest position."""
    offset: int
    """First byte of the image in the shard."""
    fault: str
    """What is wrong, in a few words."""

    def __str__(self) -> str:
        return f"{self.shard}: {self.key} at byte {self.offset}: {self.fault}"


DAMAGED_SHARDS_KEPT = 32
"""Shards whose keys stay in memory once a sample of theirs was bad."""


class Places(NamedTuple):
    """Where some images lie, as lists of equal length."""

    shards: list[str]
    offsets: list[int]
    sizes: list[int]
    crc32: list[int]


class IndexTable:
    """Where each sample of a manifest lies; 20 bytes of memory per sample, keys stay on disk."""

    def __init__(self, manifest: Manifest, storage: Storage) -> None:
        self._manifest = manifest
        self._storage = storage
        self._names = [shard.name for shard in manifest.shards]
        self._ends = np.cumsum(manifest.shard_samples)
        self._index_of_damaged = lru_cache(DAMAGED_SHARDS_KEPT)(self._read_index)  # one damaged sample is seldom alone
        self._loaded = np.zeros(len(manifest.shards), bool)
        n = manifest.samples
        self.offsets, self.sizes = np.zeros(n, np.int64), np.zeros(n, np.int32)
        self.crc32, self.labels = np.zeros(n, np.uint32), np.full(n, -1, np.int32)

    def shards_of(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of the shard that holds each position."""
        return self._ends.searchsorted(positions, side="right")

    def load(self, positions: NDArray[np.int64]) -> None:
        """Make sure that the table is filled for these positions.

        Raises:
            InputError: an index is missing, or is not the index that the manifest names.
        """
        if not self._loaded.all():
            shards = self.shards_of(positions)
            for shard in np.unique(shards[~self._loaded[shards]]).tolist():
                self._load_shard(shard)

    def places(self, positions: NDArray[np.int64]) -> Places:
        """Where the image of each loaded position lies."""
        shards = [self._names[shard] for shard in self.shards_of(positions).tolist()]
        columns = (column[positions].tolist() for column in (self.offsets, self.sizes, self.crc32))
        return Places(shards, *columns)

    def byte_ranges(self, positions: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
        """(shard, first byte, end) that spans the positions' images, for each shard they lie in."""
        self.load(positions)
        shards = self.shards_of(positions)
        for shard in np.unique(shards).tolist():
            inside = positions[shards == shard]
            ends = self.offsets[inside] + self.sizes[inside]
            yield shard, int(self.offsets[inside].min()), int(ends.max())

    def describe(self, position: int, fault: str) -> BadSample:
        """Name a sample that is bad."""
        shard = int(self.shards_of(np.array([position]))[0])
        entry = self._manifest.shards[shard]
        sample = int(position - self._ends[shard] + entry.samples)
        key = self._index_of_damaged(shard).key(sample)
        return BadSample(shard=entry.name, key=key, position=position, offset=int(self.offsets[position]), fault=fault)

    def _load_shard(self, shard: int) -> None:
        entry = self._manifest.shards[shard]
        index = self._read_index(shard)
        if len(index) != entry.samples:
            raise InputError(
                f"index {index_name(entry.name)} lists {len(index)} samples, the manifest {entry.samples}: "
                "copy or prepare the shard again"
            )
        image_bytes = self._manifest.image_channels * self._manifest.image_size**2
        if self._manifest.layout == "blocks" and np.any(index.sizes != image_bytes):
            raise InputError(
                f"index {index_name(entry.name)} has images that are not the manifest's {image_bytes} bytes: "
                "prepare the shard again"
            )
        if (classes := self._manifest.classes) and not ((index.labels >= 0) & (index.labels < classes)).all():
            raise InputError(
                f"index {index_name(entry.name)} has labels that are not from 0 to {classes - 1}, as the manifest says: "
                "prepare the shard again"
            )
        part = slice(int(self._ends[shard]) - entry.samples, int(self._ends[shard]))
        self.offsets[part], self.sizes[part] = index.offsets, np.minimum(index.sizes, np.iinfo(np.int32).max)
        self.crc32[part], self.labels[part] = index.crc32, index.labels
        self._loaded[shard] = True

    def _read_index(self, shard: int) -> ShardIndex:
        return load_index(self._storage, self._manifest.shards[shard])


def load_index(storage: Storage, shard: Shard) -> ShardIndex:
    """Read and check the index of a shard.

    Raises:
        InputError: it is missing or is not the one that the manifest names.
    """
    name = index_name(shard.name)
    try:
        data = storage.read_all(name)
    except OSError as error:
        raise InputError(f"index {name} of shard {shard.name} is missing: copy or prepare the shard again") from error
    if isinstance(storage, RemoteFolder) and hashlib.sha256(data).hexdigest() != shard.index_sha256:
        data = storage.read_all(name)  # a byte may have been changed on its way
    if hashlib.sha256(data).hexdigest() != shard.index_sha256:
        raise InputError(f"index {name} is not the one that the manifest names: copy or prepare the shard again")
    return decode_index(data, name)
