"""One sample at a time, by manifest position: read, checked against its crc32, decoded, cropped."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.config import InputError
from dcgan_dist.data.images import MAX_ENCODED_BYTES, ImageFault, decode
from dcgan_dist.data.index import ShardIndex, decode_index, index_name
from dcgan_dist.data.manifest import Manifest
from dcgan_dist.data.storage import open_storage

Crop = Literal["none", "centre"]


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


class BadSampleError(Exception):
    """A sample could not be used; `.bad` says which and why."""

    def __init__(self, bad: BadSample) -> None:
        super().__init__(str(bad))
        self.bad = bad


class SampleReader:
    """Random access to the samples of a manifest.

    Not for several threads at once. Knows no rank, step or epoch.
    """

    def __init__(self, manifest: Manifest, *, image_size: int, image_channels: int, crop: Crop = "none") -> None:
        """Open a data set for images of one size.

        Raises:
            InputError: the shards hold images of another size.
        """
        check_image_size(manifest, image_size, crop)
        self.image_shape = (image_channels, image_size, image_size)
        self._manifest = manifest
        self._blocks = manifest.layout == "blocks"
        self._storage = open_storage(manifest.location)
        self._ends = np.cumsum(manifest.shard_samples)
        self._indexes: dict[int, ShardIndex] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the shards."""
        self._storage.close()

    def locate(self, position: int) -> tuple[int, int]:
        """Turn a manifest position into (number of the shard, sample inside it)."""
        shard = int(self._ends.searchsorted(position, side="right"))
        return shard, int(position - self._ends[shard] + self._manifest.shards[shard].samples)

    def index(self, shard: int) -> ShardIndex:
        """The index of one shard, read once.

        Raises:
            InputError: it is missing, or is not the index that the manifest names.
        """
        if shard not in self._indexes:
            entry = self._manifest.shards[shard]
            self._indexes[shard] = load_index(self._storage.read_all, entry.name, entry.index_sha256)
        return self._indexes[shard]

    def label(self, position: int) -> int:
        """Class number of a sample, -1 where it has none."""
        shard, sample = self.locate(position)
        return int(self.index(shard).labels[sample])

    def read_into(self, position: int, out: NDArray[np.uint8]) -> None:
        """Read one image into `out` (c, s, s) uint8.

        Raises:
            BadSampleError: its bytes are not those of the index, or are no image of the right size. `out` is then
                undefined.
        """
        shard, sample = self.locate(position)
        try:
            data = self._checked_bytes(shard, sample)
            if self._blocks:
                pixels = np.frombuffer(data, np.uint8).reshape(self._manifest.image_channels, *self._stored_size())
                out[:] = _fit_channels(_centre(pixels, out.shape[1:]), len(out))
            else:
                pixels = decode(data, len(out)).transpose(2, 0, 1)
                out[:] = _centre(pixels, out.shape[1:])
        except ImageFault as error:
            raise BadSampleError(self._describe(position, str(error))) from error

    def _stored_size(self) -> tuple[int, int]:
        return self._manifest.image_size, self._manifest.image_size

    def _checked_bytes(self, shard: int, sample: int) -> bytes:
        index, name = self.index(shard), self._manifest.shards[shard].name
        size = int(index.sizes[sample])
        if size > MAX_ENCODED_BYTES:
            raise ImageFault(f"{size} bytes, more than the limit of {MAX_ENCODED_BYTES}")
        try:
            data = self._storage.read(name, int(index.offsets[sample]), size)
        except OSError as error:
            raise ImageFault(f"unreadable: {error.strerror or error}") from error
        if len(data) < size:
            raise ImageFault(f"the shard ends after {len(data)} of the image's {size} bytes")
        if zlib.crc32(data) != index.crc32[sample]:
            raise ImageFault("bytes changed since the index was made (crc32 differs)")
        return data

    def _describe(self, position: int, fault: str) -> BadSample:
        shard, sample = self.locate(position)
        index = self.index(shard)
        return BadSample(
            shard=self._manifest.shards[shard].name,
            key=index.key(sample),
            position=int(position),
            offset=int(index.offsets[sample]),
            fault=fault,
        )


def read_or_replace(
    reader: SampleReader, position: int, others: Callable[[], Iterable[int]], out: NDArray[np.uint8]
) -> tuple[int, list[BadSample]]:
    """Read a sample, or where it is bad the first good one of `others`.

    Returns:
        The position that was read, and the bad samples met, the wanted one first.

    Raises:
        InputError: every other one is bad too.
    """
    try:
        reader.read_into(position, out)
        return position, []
    except BadSampleError as error:
        bad = [error.bad]
    for other in others():
        try:
            reader.read_into(int(other), out)
            return int(other), bad
        except BadSampleError as error:
            bad.append(error.bad)
    raise InputError(
        f"no readable sample is left to stand in for {bad[0]} ({len(bad)} are bad): "
        "run jobs/inspect_shards.py and copy or prepare the damaged shards again"
    )


def load_index(read_all: Callable[[str], bytes], shard_name: str, sha256: str) -> ShardIndex:
    """Read and check the index of a shard.

    Raises:
        InputError: it is missing or is not the one that the manifest names.
    """
    name = index_name(shard_name)
    try:
        data = read_all(name)
    except OSError as error:
        raise InputError(f"index {name} of shard {shard_name} is missing: copy or prepare the shard again") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(f"index {name} is not the one that the manifest names: copy or prepare the shard again")
    return decode_index(data, name)


def check_image_size(manifest: Manifest, image_size: int, crop: Crop) -> None:
    """Refuse shards that cannot give images of this size.

    Raises:
        InputError: with the sizes and the remedy.
    """
    stored = manifest.image_size
    if crop == "none" and stored not in (0, image_size):
        remedy = "use data.crop=centre" if stored > image_size else "use a smaller model.image_size"
        raise InputError(
            f"{manifest.location} holds images of {stored} pixels, the model wants {image_size}: {remedy}, "
            f"or prepare shards with --image-size {image_size}"
        )
    if crop == "centre" and 0 < stored < image_size:
        raise InputError(
            f"{manifest.location} holds images of {stored} pixels, too small to cut {image_size} out of them: "
            f"prepare shards with --image-size {image_size} or more"
        )


def _centre(pixels: NDArray[np.uint8], size: tuple[int, ...]) -> NDArray[np.uint8]:
    """Cut the centre out of (c, h, w); images of exactly that size come back as they are.

    Raises:
        ImageFault: the image is smaller.
    """
    spare_rows, spare_columns = pixels.shape[1] - size[0], pixels.shape[2] - size[1]
    if spare_rows < 0 or spare_columns < 0:
        raise ImageFault(f"{pixels.shape[2]} x {pixels.shape[1]} pixels, {size[1]} x {size[0]} are wanted")
    top, left = spare_rows // 2, spare_columns // 2
    return pixels[:, top : top + size[0], left : left + size[1]]


def _fit_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Grey (1, h, w) to colour by repetition, colour to grey by luma (ITU-R 601, as PIL does)."""
    if len(pixels) == channels:
        return pixels
    if channels == 3:
        return np.broadcast_to(pixels, (3, *pixels.shape[1:]))
    luma = np.tensordot(np.array([19595, 38470, 7471], np.uint32), pixels.astype(np.uint32), 1) + 0x8000
    return (luma >> 16).astype(np.uint8)[None]
