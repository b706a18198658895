"""Bytes of shards on a local disk, and the choice between local and remote ones."""

from __future__ import annotations

import mmap
import os
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from isal.isal_zlib import crc32
from numpy.typing import NDArray

from dcgan_dist.storage.read_ahead import RemoteFolder
from dcgan_dist.storage.uri import is_uri
from dcgan_dist.untrusted import read_file

OPEN_FILES = 256
CHANGED_BYTES = "bytes changed since the index was made (crc32 differs)"


def short_fault(read: int, size: int) -> str:
    """The fault of a read that met the end of its file."""
    return f"the shard ends after {read} of the image's {size} bytes"


def error_fault(error: OSError) -> str:
    """The fault of a read that failed."""
    return f"unreadable: {error.strerror or error}"


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
        self, names: Sequence[str], offsets: Sequence[int], checksums: Sequence[int], out: NDArray[np.uint8]
    ) -> list[tuple[int, str]]:
        """Fill row i of a contiguous `out` with the bytes of file i from offset i on, and compare their crc32.

        For images that are stored as the rows want them: at this speed every call per image counts.

        Returns:
            (row, fault) for the rows that could not be read whole and unchanged.
        """
        size, rows = out[0].nbytes, out.data.cast("B")
        files: dict[str, _OpenFile] = {}
        faults = []
        for row, (name, offset, checksum) in enumerate(zip(names, offsets, checksums, strict=True)):
            image = rows[row * size : (row + 1) * size]
            try:
                if (file := files.get(name)) is None:
                    file = files[name] = self._file(name)
                if offset + size <= len(file.mapped):
                    image[:] = file.mapped[offset : offset + size]
                elif (read := os.preadv(file.descriptor, [image], offset)) < size:
                    faults.append((row, short_fault(read, size)))
                    continue
            except OSError as error:
                faults.append((row, error_fault(error)))
                continue
            if crc32(image) != checksum:
                faults.append((row, CHANGED_BYTES))
        return faults

    def will_need(self, name: str, offset: int, size: int) -> None:
        """Ask the kernel to read ahead, which turns shuffled reads of a cold disk into sequential ones."""
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file(name).descriptor, offset, size, os.POSIX_FADV_WILLNEED)

    def read_all(self, name: str) -> bytes:
        """All bytes of a file."""
        return read_file(self._folder / name)

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
        self.mapped = memoryview(b"")
        if mapped and os.fstat(self.descriptor).st_size:
            self.mapped = memoryview(mmap.mmap(self.descriptor, 0, access=mmap.ACCESS_READ))

    def close(self) -> None:
        """Close the descriptor; the map goes with its last view."""
        os.close(self.descriptor)
        self.mapped = memoryview(b"")


Storage = LocalFolder | RemoteFolder


def read_place(place: str) -> bytes:
    """Content of a small file at a local path or a URI.

    Raises:
        OSError: it is not there, or cannot be read.
        InputError: the store stayed away, or refuses the credentials.
    """
    if not is_uri(place):
        return read_file(Path(place).expanduser())
    folder, _, name = place.rpartition("/")
    with closing(open_storage(folder)) as storage:
        return storage.read_all(unquote(name))


def open_storage(location: str, *, mapped: bool = False, cache_folder: str = "") -> Storage:
    """The storage of a manifest's location.

    Args:
        location: local folder or URI.
        mapped: see LocalFolder; only where the process may be lost if a file is cut meanwhile.
        cache_folder: where parts of remote files are kept; empty: a private folder that goes with the process.

    Raises:
        InputError: a URI that is refused.
    """
    if is_uri(location):
        return RemoteFolder(location, cache_folder=cache_folder)
    return LocalFolder(location, mapped=mapped)
