"""What the package logs in this process, line by line as people see it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _Listener(logging.Handler):
    def __init__(self, listen: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._listen = listen

    def emit(self, record: logging.LogRecord) -> None:
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        for line in record.getMessage().splitlines():
            self._listen(level + line)


@contextmanager
def listening(listen: Callable[[str], None]) -> Iterator[None]:
    """Call `listen` with every line that is logged inside the `with`, from whatever thread."""
    logger, handler = logging.getLogger("dcgan_dist"), _Listener(listen)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
