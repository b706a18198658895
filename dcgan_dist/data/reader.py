"""Samples by manifest position: read, checked against their crc32, decoded, cropped."""

from collections.abc import Iterator
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.data.shards.images import ImageFault, decode
from dcgan_dist.data.shards.index_table import BadSample, IndexTable, Places
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.data.shards.stored_samples import read_checked
from dcgan_dist.errors import InputError
from dcgan_dist.storage.local import LocalFolder, error_fault, open_storage

Crop = Literal["none", "centre"]
CHUNK = 256
"""Images read with one look at the index; bounds the files that must be open at once."""


class SampleReader:
    """Random access to the samples of a manifest, many at a time.

    Not for several threads at once. Knows no rank, step or epoch.
    """

    def __init__(
        self,
        manifest: Manifest,
        *,
        image_size: int,
        image_channels: int,
        crop: Crop = "none",
        mapped: bool = False,
        cache_folder: str = "",
    ) -> None:
        """Open a data set for images of one size; `mapped` and `cache_folder` as in open_storage.

        Raises:
            InputError: the shards hold images of another size.
        """
        check_image_size(manifest, image_size, crop)
        self.image_shape = (image_channels, image_size, image_size)
        self.samples = manifest.samples
        self.labelled = manifest.classes > 0
        self._manifest = manifest
        self._stored_shape = (manifest.image_channels, manifest.image_size, manifest.image_size)
        self._storage = open_storage(manifest.location, mapped=mapped, cache_folder=cache_folder)
        self._table = IndexTable(manifest, self._storage)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the shards."""
        self._storage.close()

    def labels(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Class numbers (n,), -1 where a sample has none."""
        self._table.load(positions)
        return self._table.labels[positions].astype(np.int64)

    def will_need(self, positions: NDArray[np.int64]) -> None:
        """Tell the storage that these samples are read next, so that it can fetch them in long runs."""
        for shard, first, last in self._table.byte_ranges(positions):
            self._storage.will_need(self._manifest.shards[shard].name, first, last - first)

    def read(self, positions: NDArray[np.int64], out: NDArray[np.uint8]) -> list[tuple[int, BadSample]]:
        """Read images into `out` (n, c, s, s) uint8.

        Returns:
            (row, what is wrong) for every sample whose bytes are not those of the index or are no image of the right
            size; those rows are undefined.
        """
        self._table.load(positions)
        in_place = self._manifest.layout == "blocks" and out.shape[1:] == self._stored_shape
        bad: list[tuple[int, str]] = []
        for first in range(0, len(positions), CHUNK):
            part = slice(first, first + CHUNK)
            places = self._table.places(positions[part])
            if in_place and isinstance(self._storage, LocalFolder):
                faults = self._storage.read_rows(places.shards, places.offsets, places.crc32, out[part])
            else:
                faults = self._read_and_decode(places, out[part])
            bad += [(first + row, fault) for row, fault in faults]
        return [(row, self._table.describe(int(positions[row]), fault)) for row, fault in bad]

    def _read_and_decode(self, places: Places, out: NDArray[np.uint8]) -> Iterator[tuple[int, str]]:
        decode_one = self._decode_image if self._manifest.layout == "samples" else self._decode_raw
        for row, place in enumerate(zip(*places, strict=True)):
            try:
                decode_one(read_checked(self._storage, *place), out[row])
            except ImageFault as error:
                yield row, str(error)
            except OSError as error:
                yield row, error_fault(error)

    def _decode_image(self, data: bytes, out: NDArray[np.uint8]) -> None:
        out[:] = _centre(decode(data, len(out)).transpose(2, 0, 1), out.shape[1:])

    def _decode_raw(self, data: bytes, out: NDArray[np.uint8]) -> None:
        pixels = np.frombuffer(data, np.uint8).reshape(self._stored_shape)
        out[:] = _fit_channels(_centre(pixels, out.shape[1:]), len(out))


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
            f"or prepare shards with `image_size` {image_size}"
        )
    if crop == "centre" and 0 < stored < image_size:
        raise InputError(
            f"{manifest.location} holds images of {stored} pixels, too small to cut {image_size} out of them: "
            f"prepare shards with `image_size` {image_size} or more"
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
