"""Files that appear whole or not at all."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


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


def content_hash(value: Any) -> str:
    """SHA-256 in hex of a JSON value in canonical form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
