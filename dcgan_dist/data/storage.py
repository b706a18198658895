"""Bytes of shards on a local disk, and the choice between local and remote ones."""

from __future__ import annotations

import mmap
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.data.remote import DEFAULT_CACHE_BYTES, RemoteFolder
from dcgan_dist.data.storage_protocol import Storage
from dcgan_dist.data.uri import is_uri

OPEN_FILES = 256


class LocalFolder:
    """Files of a local folder, kept open.

    Raw images are copied out of a memory map where `mapped` is set, which halves the cost of an image; but a file that
    is cut while it is mapped kills the process, so only loader processes do this. Else reads are positioned ones.
    """

    def __init__(self, folder: str, *, mapped: bool = False) -> None:
        self._folder = Path(folder)
        self._mapped = mapped
        self._open: OrderedDict[str, _OpenFile] = OrderedDict()

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer where the file ends."""
        return os.pread(self._file(name).descriptor, size, offset)

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return (self._folder / name).stat().st_size

    def read_rows(
        self, names: Sequence[str], offsets: Sequence[int], out: NDArray[np.uint8]
    ) -> Iterator[int | OSError]:
        """Copy straight into the rows."""
        rows = out.reshape(len(out), -1)
        size = rows.shape[1]
        files: dict[str, _OpenFile] = {}
        for name, offset, row in zip(names, offsets, rows, strict=True):
            try:
                if (file := files.get(name)) is None:
                    file = files[name] = self._file(name)
                if self._mapped and offset + size <= len(file.bytes):
                    row[:] = file.bytes[offset : offset + size]
                    yield size
                else:
                    yield os.preadv(file.descriptor, [row.data], offset)
            except OSError as error:
                yield error

    def will_need(self, name: str, offset: int, size: int) -> None:
        """Ask the kernel to read ahead, which turns shuffled reads of a cold disk into sequential ones."""
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file(name).descriptor, offset, size, os.POSIX_FADV_WILLNEED)

    def read_all(self, name: str) -> bytes:
        """All bytes of a file."""
        return (self._folder / name).read_bytes()

    def close(self) -> None:
        """Close every open file."""
        while self._open:
            self._open.popitem()[1].close()

    def _file(self, name: str) -> _OpenFile:
        if name in self._open:
            self._open.move_to_end(name)
            return self._open[name]
        if len(self._open) >= OPEN_FILES:
            self._open.popitem(last=False)[1].close()
        self._open[name] = _OpenFile(self._folder / name, self._mapped)
        return self._open[name]


class _OpenFile:
    """A descriptor, and the file's bytes where it is mapped."""

    def __init__(self, path: Path, mapped: bool) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)
        self.bytes = np.empty(0, np.uint8)
        if mapped and os.fstat(self.descriptor).st_size:
            self.bytes = np.frombuffer(mmap.mmap(self.descriptor, 0, access=mmap.ACCESS_READ), np.uint8)

    def close(self) -> None:
        """Close the descriptor; the map goes with its last view."""
        os.close(self.descriptor)
        self.bytes = np.empty(0, np.uint8)


def open_storage(
    location: str, *, mapped: bool = False, cache_folder: str = "", cache_bytes: int = DEFAULT_CACHE_BYTES
) -> Storage:
    """The storage of a manifest's location.

    Args:
        location: local folder or URI.
        mapped: see LocalFolder; only where the process may be lost if a file is cut meanwhile.
        cache_folder: where parts of remote files are kept; empty: a private folder that goes with the process.
        cache_bytes: how much of them at most.

    Raises:
        InputError: a URI that is refused.
    """
    if is_uri(location):
        return RemoteFolder(location, cache_folder=cache_folder, cache_bytes=cache_bytes)
    return LocalFolder(location, mapped=mapped)
