"""Bytes of shards, wherever they lie: any range of any file, by name."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

OPEN_FILES = 256


class Storage(Protocol):
    """A folder of files that can be read in ranges."""

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Up to `size` bytes of a file from `offset`; fewer where the file ends."""
        ...

    def read_rows(
        self, names: Sequence[str], offsets: Sequence[int], out: NDArray[np.uint8]
    ) -> Iterator[int | OSError]:
        """Fill row i of `out` with the bytes of file i from offset i on; gives the bytes read, or the error, of each."""
        ...

    def read_all(self, name: str) -> bytes:
        """All bytes of a (small) file."""
        ...

    def will_need(self, name: str, offset: int, size: int) -> None:
        """Hint that a range is read soon."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class LocalFolder:
    """Files of a local folder, kept open and read without moving a file position.

    Positioned reads are used instead of a memory map, because a file cut while it is mapped kills the process.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._open: OrderedDict[str, int] = OrderedDict()

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer where the file ends."""
        return os.pread(self._descriptor(name), size, offset)

    def read_rows(
        self, names: Sequence[str], offsets: Sequence[int], out: NDArray[np.uint8]
    ) -> Iterator[int | OSError]:
        """Read straight into the rows: the only copy on the way from the page cache."""
        descriptors: dict[str, int] = {}
        for name, offset, row in zip(names, offsets, out, strict=True):
            try:
                if name not in descriptors:
                    descriptors[name] = self._descriptor(name)
                yield os.preadv(descriptors[name], [row], offset)  # type: ignore[list-item]  # an array is a buffer
            except OSError as error:
                yield error

    def will_need(self, name: str, offset: int, size: int) -> None:
        """Ask the kernel to read ahead, which turns shuffled reads of a cold disk into sequential ones."""
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._descriptor(name), offset, size, os.POSIX_FADV_WILLNEED)

    def read_all(self, name: str) -> bytes:
        """All bytes of a file."""
        return (self._folder / name).read_bytes()

    def close(self) -> None:
        """Close every open file."""
        while self._open:
            os.close(self._open.popitem()[1])

    def _descriptor(self, name: str) -> int:
        if name in self._open:
            self._open.move_to_end(name)
            return self._open[name]
        if len(self._open) >= OPEN_FILES:
            os.close(self._open.popitem(last=False)[1])
        self._open[name] = os.open(self._folder / name, os.O_RDONLY)
        return self._open[name]


def open_storage(location: str) -> Storage:
    """The storage of a manifest's location."""
    return LocalFolder(location)
