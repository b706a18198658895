"""Generators that run in threads of their own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
_END = object()


def interleave(generators: Sequence[Iterator[T]], ahead: int = 2) -> Iterator[T]:
    """Run each generator in a thread and yield their items in turns, so that the order is always the same.

    Args:
        generators: each ends by itself; what one raises is raised here, and all others stop at their next item.
        ahead: items that each may be ahead of the caller.
    """
    closed = threading.Event()
    queues: list[queue.Queue[Any]] = [queue.Queue(maxsize=ahead) for _ in generators]

    def put(line: queue.Queue[Any], item: Any) -> bool:
        while not closed.is_set():
            try:
                line.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def run(generator: Iterator[T], line: queue.Queue[Any]) -> None:
        try:
            for item in generator:
                if not put(line, item):
                    return
            put(line, _END)
        except BaseException as error:
            put(line, error)

    threads = [
        threading.Thread(target=run, args=pair, daemon=True, name="neighbors")
        for pair in zip(generators, queues, strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        running = list(queues)
        while running:
            for line in list(running):
                item = line.get()
                if item is _END:
                    running.remove(line)
                elif isinstance(item, BaseException):
                    raise item
                else:
                    yield item
    finally:
        closed.set()
        for thread in threads:
            thread.join()
