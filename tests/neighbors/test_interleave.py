"""Generators in threads."""

import threading
import time
from collections.abc import Iterator

import pytest

from dcgan_dist.neighbors.interleave import interleave


def slow(items: list[int], delay: float) -> Iterator[int]:
    for item in items:
        time.sleep(delay)
        yield item


def test_items_come_in_turns_however_fast_each_thread_is() -> None:
    assert list(interleave([slow([1, 2, 3], 0.02), slow([10], 0), slow([100, 200], 0.01)])) == [1, 10, 100, 2, 200, 3]


def test_an_error_is_raised_and_the_other_threads_stop() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise MemoryError("too many codes")

    search = interleave([broken(), iter(range(10**9))])

    with pytest.raises(MemoryError, match="too many codes"):
        for _ in search:
            pass

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("neighbors")]


def test_a_thread_runs_ahead_by_a_bounded_number_of_items() -> None:
    made: list[int] = []

    def counting() -> Iterator[int]:
        for item in range(1000):
            made.append(item)
            yield item

    search = interleave([counting()])
    next(search)
    time.sleep(0.2)

    assert len(made) == 2
    search.close()  # type: ignore[attr-defined]
