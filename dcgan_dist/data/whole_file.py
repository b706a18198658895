"""Files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Lend another name to write under; when the block ends the file has its own, so a reader finds the old one or all of it.

    One writer at a time. Where the block raises the file stays as it was, and what was written stays until the next attempt writes over it.

    Args:
        path: of the file; its folder exists.
    """
    unfinished = path.with_name(f".{path.name}.part")
    yield unfinished
    unfinished.replace(path)
