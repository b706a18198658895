"""Rows of an array in a file without a name: memory holds those that are asked for, however many there are."""

import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.errors import InputError

BLOCK = 8192
"""Rows that are in memory at once where all are looked at."""
T = TypeVar("T", np.uint8, np.float32)


class RowFile(Generic[T]):
    """An array that grows by rows, and is indexed by them, as a numpy array is.

    It is read, not mapped: pages of a mapped file count as memory of the process, and single rows from all over it would bring
    nearly all of them in.
    """

    def __init__(self, row: tuple[int, ...], dtype: type[T]) -> None:
        """An empty one, of rows of one shape."""
        self.dtype = np.dtype(dtype)
        self._row, self._count = row, 0
        self._row_bytes = math.prod(row) * self.dtype.itemsize
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as this object

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return self._count, *self._row

    def __len__(self) -> int:
        return self._count

    def append(self, rows: NDArray[T]) -> None:
        """Add rows at the end.

        Raises:
            InputError: the disk is full.
        """
        assert rows.dtype == self.dtype, rows.dtype
        assert rows.shape[1:] == self._row, rows.shape
        try:
            self._file.write(rows.tobytes())
            self._file.flush()
        except OSError as error:
            raise InputError(
                f"{tempfile.gettempdir()} cannot take the thumbnails and their features, 4 kB an image ({error.strerror}): "
                "make room, or set TMPDIR to another folder"
            ) from error
        self._count += len(rows)

    def __getitem__(self, rows: slice | NDArray[np.int64] | Sequence[int]) -> NDArray[T]:
        """Some rows, in their order; those of a slice follow each other.

        Raises:
            IndexError: there is no such row.
        """
        if isinstance(rows, slice):
            start, stop, step = rows.indices(self._count)
            assert step == 1, rows
            found = np.empty((max(0, stop - start), *self._row), self.dtype)
            self._fill(found, start)
            return found
        numbers = np.asarray(rows, np.int64)
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < self._count:
            raise IndexError(f"rows {numbers.min()} to {numbers.max()} of {self._count}")
        found = np.empty((len(numbers), *self._row), self.dtype)
        for place, number in enumerate(numbers.tolist()):
            self._fill(found[place : place + 1], number)
        return found

    def _fill(self, rows: NDArray[T], first: int) -> None:
        """Read so many rows from one on."""
        if not rows.size:
            return
        left, at = rows.data.cast("B"), first * self._row_bytes
        while left:
            count = os.preadv(self._file.fileno(), [left], at)  # at most 2 GB at once
            if not count:
                raise EOFError(f"a file of {self._count} rows ends before row {first + len(rows)}")
            left, at = left[count:], at + count


ArrayOrFile = NDArray[T] | RowFile[T]


def blocks(rows: ArrayOrFile[T]) -> Iterator[NDArray[T]]:
    """All rows, BLOCK at a time."""
    return (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))
