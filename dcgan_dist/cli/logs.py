"""How a job's log reaches people: lines on standard output, as they happen.

Every module logs with `_log = logging.getLogger(__name__)` and `_log.info("run %s is finished", name)`; messages may name
fields in backticks, which are shown as flags, and warnings are shown as "warning: ...".
"""

import logging
import re
import sys

from dcgan_dist.errors import printable

LOGGER = "dcgan_dist"
JOB = re.compile(r"\bthe jobs? `([\w*]+)`")
FIELD = re.compile(r"`([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*)(?:=([^\s`]+))?`")


def render_flags(message: object) -> str:
    """A message as who types commands reads it: settings as flags, jobs as their files.

    `data.batch_size` becomes --data.batch-size, `protocol=small` becomes --protocol small, and the job `sample` becomes
    jobs/sample.py. Whatever else stands in backticks stays.

    Args:
        message: an InputError, or text that may hold the message of one.
    """
    text = JOB.sub(r"jobs/\1.py", str(message))
    return FIELD.sub(lambda field: f"--{field[1].replace('_', '-')}" + (f" {field[2]}" if field[2] else ""), text)


class ConsoleHandler(logging.Handler):
    """Prints messages as they are; warnings and errors begin with their level."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message to what is standard output now, so that redirected output is followed."""
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        print(f"{level}{printable(render_flags(record.getMessage()))}", file=sys.stdout, flush=True)


def show_logs() -> None:
    """Print what the package logs, from level INFO on, and warnings of others; calling it again changes nothing."""
    logger = logging.getLogger(LOGGER)
    if not any(isinstance(handler, ConsoleHandler) for handler in logger.handlers):
        logger.addHandler(ConsoleHandler())
    logger.setLevel(logging.INFO)
    if not logging.root.handlers:  # else a library's basicConfig adds one, which prints our messages once more
        others = logging.StreamHandler()
        others.setLevel(logging.WARNING)
        others.addFilter(lambda record: not record.name.startswith(LOGGER))
        logging.root.addHandler(others)
