"""Results of jobs as JSON: result.json in the folder of --out, or the file of --json."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dcgan_dist.errors import InputError
from dcgan_dist.files import LOCK_NAME, whole_file
from dcgan_dist.storage.copies import local_output

RESULT_NAME = "result.json"


def write_result(folder: Path, result: dict[str, Any]) -> Path:
    """Write result.json in one step and return its path; the folder is made.

    Raises:
        InputError: the folder cannot be written.
    """
    with writing(f"`out` {folder}", "choose another folder"):
        folder.mkdir(parents=True, exist_ok=True)
        return _write(folder / RESULT_NAME, result)


def write_json(path: str, content: Any) -> None:
    """Write JSON values to the file of --json in one step; without a path, nothing.

    Raises:
        InputError: the file cannot be written.
    """
    if path:
        with local_output(path, "json") as file, writing(f"`json` {path}", "name another file"):
            _write(file, content)


@contextmanager
def writing(place: str, remedy: str) -> Iterator[None]:
    """Raise InputError, which names the place and the remedy, where something cannot be written in the block."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{place} cannot be written ({error.strerror}): {remedy}") from error


@contextmanager
def only_job(folder: Path, *, tidy: bool = False) -> Iterator[None]:
    """Let no other job work in the folder, which is made, while the block runs; a killed process leaves nothing locked.

    Args:
        folder: of results.
        tidy: the file that was locked goes at the end, from a folder that others read.

    Raises:
        InputError: another job works there, or the folder cannot be written.
    """
    with writing(f"`out` {folder}", "choose another folder"):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK_NAME)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise InputError(
                f"`out` {folder} is in use by another job: wait for it, or choose another folder"
            ) from error
    try:
        yield
    finally:
        if tidy:
            (folder / LOCK_NAME).unlink(missing_ok=True)
        lock.release()


def _write(path: Path, content: Any) -> Path:
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path
