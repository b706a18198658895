"""Where runs are kept: local disks, object stores through pyarrow, everything else through fsspec."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import fsspec.core
import pyarrow
import pyarrow.fs

from dcgan_dist.errors import InputError

T = TypeVar("T")

RETRY_AFTER_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)
OBJECT_STORES = ("s3", "gcs", "abfs")
"""Show whole objects only: a file needs no temporary name."""


class FsspecHandler(pyarrow.fs.FSSpecHandler):
    """Tells a storage that does not answer from a file that is not there.

    pyarrow's own asks fsspec's `exists` and `isfile`, which say no in both cases: an outage would read as an empty storage.
    """

    def get_file_info_selector(self, selector: Any) -> list[pyarrow.fs.FileInfo]:
        """Files and folders below a folder.

        Raises:
            FileNotFoundError: it does not exist, where the selector does not allow that.
            OSError: the storage does not answer.
        """
        depth = None if selector.recursive else 1
        try:
            found = self.fs.find(selector.base_dir, maxdepth=depth, withdirs=True, detail=True, on_error="raise")
        except FileNotFoundError:
            if selector.allow_not_found:
                return []
            raise
        base = selector.base_dir.strip("/")
        return [self._create_file_info(path, info) for path, info in found.items() if path.strip("/") != base]

    def open_input_stream(self, path: str) -> pyarrow.PythonFile:
        """A file to read; raises FileNotFoundError only where there is none."""
        return pyarrow.PythonFile(self.fs.open(path, mode="rb"), mode="r")

    open_input_file = open_input_stream


def open_storage(storage: str) -> tuple[pyarrow.fs.FileSystem, str]:
    """File system and root folder of a local path or a URI that pyarrow (s3://, gs://, file://) or fsspec understands.

    Raises:
        InputError: the storage cannot be opened.
    """
    try:
        if "://" not in storage:
            return pyarrow.fs.LocalFileSystem(), storage
        try:
            return pyarrow.fs.FileSystem.from_uri(storage)
        except pyarrow.ArrowInvalid:
            # Other processes write too, so a remembered listing would be old.
            fs, root = fsspec.core.url_to_fs(storage, use_listings_cache=False)
            return pyarrow.fs.PyFileSystem(FsspecHandler(fs)), root
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"`storage` {storage} cannot be opened ({error}): name a folder or a URI") from error


def with_retries(
    attempt: Callable[[], T],
    *,
    before_retry: Callable[[], object] = lambda: None,
    waits: Iterable[float] = RETRY_AFTER_SECONDS,
) -> T:
    """Result of `attempt`, which is called until it succeeds, at most once after each wait.

    Raises:
        OSError: the last refusal; at once where a file is not there.
    """
    for seconds in waits:
        try:
            return attempt()
        except FileNotFoundError:
            raise
        except OSError:
            time.sleep(seconds)
            before_retry()
    return attempt()
