"""Bytes of shards, wherever they lie: any range of any file, by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Storage(Protocol):
    """A folder of files that can be read in ranges."""

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Up to `size` bytes of a file from `offset`; fewer where the file ends."""
        ...

    def size(self, name: str) -> int:
        """Bytes of a file."""
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
