"""Shards behind http(s)://, s3://, gs:// and the like: read in chunks, ahead of need, into a bounded local cache.

A broken connection is taken up again at the byte where it broke, after a growing pause.
"""

import hashlib
import shutil
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from dcgan_dist.errors import InputError
from dcgan_dist.storage import chunk_cache
from dcgan_dist.storage.chunk_cache import ChunkCache
from dcgan_dist.storage.filesystems import CredentialsError, default_patience, with_retries
from dcgan_dist.storage.remote_bytes import FsspecFiles, HttpFiles
from dcgan_dist.storage.scratch import caches_in_use, new_cache

T = TypeVar("T")

DEFAULT_CACHE_BYTES = 8 << 30
"""For all reading processes of a machine together."""
FETCHES_AT_ONCE = 8


class RemoteFolder:
    """A folder behind a URI. Several threads may fetch; one reads."""

    def __init__(
        self,
        location: str,
        *,
        cache_folder: str = "",
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        patience_minutes: float | None = None,
    ) -> None:
        self._location = location.rstrip("/")
        self._patience_minutes = default_patience() if patience_minutes is None else patience_minutes
        make = HttpFiles if location.startswith(("http://", "https://")) else FsspecFiles
        self._files = make(self._location)
        self._sizes: dict[str, int] = {}
        self._private = None if cache_folder else new_cache()
        if self._private:  # also where the process ends without `close`
            weakref.finalize(self, shutil.rmtree, self._private, ignore_errors=True)
        name = hashlib.sha256(self._location.encode()).hexdigest()[:16]
        folder = self._private or Path(cache_folder).expanduser() / name
        self._cache = ChunkCache(folder, cache_bytes, caches_in_use if self._private else lambda: 1)
        self._threads = ThreadPoolExecutor(FETCHES_AT_ONCE, thread_name_prefix="shard fetch")
        self._under_way: dict[tuple[str, int], Future[None]] = {}

    def size(self, name: str) -> int:
        """Bytes of a file; the store is asked once."""
        if name not in self._sizes:
            self._sizes[name] = self._ask(name, lambda: self._files.size(name))
        return self._sizes[name]

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer where the file ends.

        Raises:
            InputError: the storage stayed unreachable.
        """
        pieces = []
        for chunk in _chunks(offset, size):
            begin = chunk * chunk_cache.CHUNK_BYTES
            first = max(offset - begin, 0)
            pieces.append(self._chunk_range(name, chunk, first, offset + size - begin - first))
        return b"".join(pieces)

    def read_all(self, name: str) -> bytes:
        """All bytes of a small file."""
        return self._fetch(name, 0, self.size(name))

    def read_again(self, name: str, offset: int, size: int) -> bytes:
        """As `read`, from the store and not from the cache: for bytes that were changed on their way or in the cache."""
        for chunk in _chunks(offset, size):
            self._under_way.pop((name, chunk), None)
            self._cache.forget(name, chunk)
        return self.read(name, offset, size)

    def will_need(self, name: str, offset: int, size: int) -> None:
        """Begin to fetch a range."""
        for chunk in _chunks(offset, size):
            if not self._cache.has(name, chunk):
                self._begin(name, chunk)

    def close(self) -> None:
        """Stop fetching, and remove the private cache."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        if self._private is not None:
            shutil.rmtree(self._private, ignore_errors=True)

    def _begin(self, name: str, chunk: int) -> Future[None]:
        key = name, chunk
        future = self._under_way.get(key)
        if future is None or future.done():  # it failed, or what it fetched has had to leave the cache
            future = self._under_way[key] = self._threads.submit(self._fetch_chunk, name, chunk)
        return future

    def _fetch_chunk(self, name: str, chunk: int) -> None:
        first = chunk * chunk_cache.CHUNK_BYTES
        end = min(first + chunk_cache.CHUNK_BYTES, self.size(name))  # S3 refuses a range that begins at the end
        self._cache.put(name, chunk, self._fetch(name, first, end))

    def _fetch(self, name: str, first: int, end: int) -> bytes:
        """Read a range; each new attempt goes on after the last byte that came. Nothing is asked for an empty one."""
        received = bytearray()

        def receive() -> bytes:
            if first + len(received) < end:
                for piece in self._files.stream(name, first + len(received), end):
                    received.extend(piece)
            return bytes(received)

        return self._ask(name, receive, lambda: len(received))

    def _ask(self, name: str, request: Callable[[], T], progress: Callable[[], int] = lambda: 0) -> T:
        """Result of a request about a file.

        Raises:
            FileNotFoundError: there is no such file.
            InputError: the store stayed unreachable, or refuses the credentials.
        """
        try:
            return with_retries(request, progress=progress, patience_minutes=self._patience_minutes)
        except FileNotFoundError:
            raise
        except CredentialsError as error:
            raise InputError(
                f"{self._location}/{name} cannot be read ({error}): check the store's credentials"
            ) from error
        except OSError as error:
            raise InputError(
                f"{self._location}/{name} could not be read for {self._patience_minutes:g} minutes ({error}): check the "
                "network and the storage, then run the same command again"
            ) from error

    def _chunk_range(self, name: str, chunk: int, first: int, size: int) -> bytes:
        while (data := self._cache.get(name, chunk, first, size)) is None:
            try:
                self._begin(name, chunk).result()
            finally:  # one that failed is asked for again
                self._under_way.pop((name, chunk), None)
        return data


def _chunks(offset: int, size: int) -> range:
    """Numbers of the chunks that a range lies in."""
    return range(offset // chunk_cache.CHUNK_BYTES, (offset + size - 1) // chunk_cache.CHUNK_BYTES + 1)
