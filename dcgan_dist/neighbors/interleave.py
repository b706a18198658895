"""Generators that run in threads of their own."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
_END: Any = object()


def interleave(generators: Sequence[Iterator[T]]) -> Iterator[T]:
    """Run each generator in a thread and yield their items in turns, so that the order is always the same.

    Each is one item ahead of the caller; what one raises is raised here, and the others stop after their current item.
    """
    with ThreadPoolExecutor(len(generators), thread_name_prefix="neighbors") as pool:
        running = deque((generator, pool.submit(next, generator, _END)) for generator in generators)
        while running:
            generator, future = running.popleft()
            item = future.result()
            if item is not _END:
                running.append((generator, pool.submit(next, generator, _END)))
                yield item
