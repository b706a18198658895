"""How a job's log reaches people: lines on standard output, as they happen.

Every module logs with `_log = logging.getLogger(__name__)` and `_log.info("run %s is finished", name)`; messages may name
fields in backticks, which are shown as flags, and warnings are shown as "warning: ...".
"""

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from dcgan_dist.cli.progress import duration
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


CALM = {"calm": True}
"""`extra` of a message after which silence is no riddle: it says when the next one comes, or that nothing more will."""
LONGEST_SILENCE = 10.0
"""Seconds without a message or a bar, after which a job says that it still works."""
QUIET = "DCGAN_DIST_QUIET"
"""Variable that, where it is not empty, stops that: for programs that read what a job writes."""


class ConsoleHandler(logging.Handler):
    """Prints messages as they are, above open bars; warnings and errors begin with their level."""

    since, shown, calm = 0.0, 0.0, False
    """When the last message came, when something was last shown, and whether the last message was a calm one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message to what is standard output now, so that redirected output is followed."""
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        tqdm.write(f"{level}{printable(render_flags(record.getMessage()))}", file=sys.stdout)
        sys.stdout.flush()
        self.since = self.shown = time.monotonic()
        self.calm = getattr(record, "calm", False)

    def break_silence(self) -> None:
        """Say on standard error that the job still works, where nothing else has been shown for too long."""
        now = time.monotonic()
        if self.calm or now - self.shown < LONGEST_SILENCE or os.environ.get(QUIET):
            return
        self.shown = now
        if not list(tqdm._instances):  # pyright: ignore[reportAttributeAccessIssue]  an open bar says it
            print(f"  still working, {duration(now - self.since)} since the last message", file=sys.stderr, flush=True)


class OthersHandler(logging.StreamHandler):
    """Warnings of libraries on standard error, above open bars."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        tqdm.write(self.format(record), file=sys.stderr)


@contextmanager
def no_long_silence() -> Iterator[None]:
    """While the block runs, say from time to time that the job still works, where it shows nothing else."""
    handler, ended = console(), threading.Event()
    handler.since = handler.shown = time.monotonic()

    def watch() -> None:
        while not ended.wait(LONGEST_SILENCE / 10):
            handler.break_silence()

    watcher = threading.Thread(target=watch, name="silence", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def console() -> ConsoleHandler:
    """The one handler that prints what the package logs."""
    logger = logging.getLogger(LOGGER)
    for handler in logger.handlers:
        if isinstance(handler, ConsoleHandler):
            return handler
    handler = ConsoleHandler()
    logger.addHandler(handler)
    return handler


def show_logs() -> None:
    """Print what the package logs, from level INFO on, and warnings of others; calling it again changes nothing."""
    console()
    logging.getLogger(LOGGER).setLevel(logging.INFO)
    if not logging.root.handlers:  # else a library's basicConfig adds one, which prints our messages once more
        others = OthersHandler()
        others.setLevel(logging.WARNING)
        others.addFilter(lambda record: not record.name.startswith(LOGGER))
        logging.root.addHandler(others)
