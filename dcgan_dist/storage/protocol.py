"""Bytes of shards, wherever they lie: any range of any file, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

CHANGED_BYTES = "bytes changed since the index was made (crc32 differs)"


def short_fault(read: int, size: int) -> str:
    """The fault of a read that met the end of its file."""
    return f"the shard ends after {read} of the image's {size} bytes"


def error_fault(error: OSError) -> str:
    """The fault of a read that failed."""
    return f"unreadable: {error.strerror or error}"


class Storage(Protocol):
    """A folder of files that can be read in ranges."""

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Up to `size` bytes of a file from `offset`; fewer where the file ends."""
        ...

    def size(self, name: str) -> int:
        """Bytes of a file."""
        ...

    def read_rows(
        self, names: Sequence[str], offsets: Sequence[int], checksums: Sequence[int], out: NDArray[np.uint8]
    ) -> list[tuple[int, str]]:
        """Fill row i of a contiguous `out` with the bytes of file i from offset i on, and compare their crc32.

        Returns:
            (row, fault) for the rows that could not be read whole and unchanged.
        """
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
