"""A call in a thread that the main thread does not wait for."""

import threading
from collections.abc import Callable
from typing import Any


class InThread:
    """A call in a daemon thread, so that the main thread stays free for signals and does not wait for it at exit."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(call,), name="fit", daemon=True)
        self._thread.start()

    def _run(self, call: Callable[[], Any]) -> None:
        try:
            call()
        except BaseException as error:
            self.error = error

    def done(self) -> bool:
        """Whether the call has ended."""
        return not self._thread.is_alive()
