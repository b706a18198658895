"""SIGINT and SIGTERM while the driver of a run or a search works."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def listening_to_signals(handler: Callable[[int, object], None]) -> Iterator[None]:
    """Call a handler with (signal number, frame) for both signals while the block runs."""
    # Only the main thread may set handlers; elsewhere (in a sweep) the caller has its own.
    main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM) if main else ()
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
