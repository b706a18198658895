"""Rows in a file against the same rows in an array, and a disk that is full."""

import resource
import signal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan_dist.errors import InputError
from dcgan_dist.memorization import row_file
from dcgan_dist.memorization.row_file import RowFile, blocks


def rows_of(file: RowFile[np.float32], counts: list[int], seed: int = 0) -> np.ndarray:
    """Append random rows, so many at a time; all of them."""
    parts = [
        np.random.default_rng((seed, n)).random((count, *file.shape[1:]), np.float32) for n, count in enumerate(counts)
    ]
    for part in parts:
        file.append(part)
    return np.concatenate([file[:0], *parts])


@given(counts=st.lists(st.integers(0, 9), max_size=4), data=st.data())
@settings(max_examples=50, deadline=None)
def test_a_file_is_indexed_as_an_array_is(counts: list[int], data: st.DataObject) -> None:
    file = RowFile((3, 2), np.float32)
    array = rows_of(file, counts)
    first, last = data.draw(st.integers(0, 50)), data.draw(st.integers(0, 50))
    chosen = data.draw(st.lists(st.integers(0, len(array) - 1), max_size=20)) if len(array) else []

    assert (len(file), file.shape) == (len(array), array.shape)
    assert np.array_equal(file[:], array)
    assert np.array_equal(file[first:last], array[first:last])
    assert np.array_equal(file[chosen], array[np.array(chosen, int)])
    for outside in (-1, len(array)):
        with pytest.raises(IndexError):
            file[[*chosen, outside]]


def test_blocks_are_all_rows_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_file, "BLOCK", 4)
    file = RowFile((5,), np.float32)
    array = rows_of(file, [9, 0, 2])

    assert [len(block) for block in blocks(file)] == [4, 4, 3]
    assert np.array_equal(np.concatenate([*blocks(file)]), np.concatenate([*blocks(array)]))


def test_a_full_disk_is_said_and_how_to_go_on() -> None:
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        file = RowFile((100,), np.float32)
        with pytest.raises(InputError, match="make room, or set TMPDIR"):
            rows_of(file, [10] * 30)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
