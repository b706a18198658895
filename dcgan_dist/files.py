"""Files that appear whole or not at all."""

import atexit
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

LOCK_NAME = ".lock"
"""File that is locked while one process works in a folder."""


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


def is_own(path: Path) -> bool:
    """Whether a folder, which is no link, is this user's, and nobody else may write into it."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022


def private_folder(path: Path) -> Path:
    """The folder, made where it is missing; where it is not this user's alone, a new one that goes with the process."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    if is_own(path):
        return path
    folder = tempfile.mkdtemp(prefix="dcgan-dist-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def content_hash(value: Any) -> str:
    """SHA-256 in hex of a JSON value in canonical form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
