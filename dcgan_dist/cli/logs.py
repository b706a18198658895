"""How a job's log reaches people: lines on standard output, as they happen."""

from __future__ import annotations

import logging
import sys

LOGGER = "dcgan_dist"


class ConsoleHandler(logging.Handler):
    """Prints messages as they are; warnings and errors begin with their level."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message to what is standard output now, so that redirected output is followed."""
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        print(f"{level}{record.getMessage()}", file=sys.stdout, flush=True)


def show_logs() -> None:
    """Print what the package logs, from level INFO on; calling it again changes nothing."""
    logger = logging.getLogger(LOGGER)
    if not any(isinstance(handler, ConsoleHandler) for handler in logger.handlers):
        logger.addHandler(ConsoleHandler())
    logger.setLevel(logging.INFO)
    logger.propagate = False
