"""A bounded folder of pieces of remote files."""

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

CHUNK_BYTES = 4 << 20
"""Files are fetched and kept in pieces of this size."""


SHARE_EVERY = 16
"""The cache's share of the machine's bound is worked out again after so many chunks."""
MEMORY_CHUNKS = 16
"""So many are kept in memory where the disk takes none."""

_log = logging.getLogger(__name__)


class ChunkCache:
    """Chunks of files on a local disk; the ones not used for longest go when the bound is reached.

    A disk that is full or cannot be written is no fault of the files: then a few chunks are kept in memory instead.
    """

    def __init__(self, folder: Path, max_bytes: int, sharers: Callable[[], int] = lambda: 1) -> None:
        """Open a cache.

        Args:
            folder: is made.
            max_bytes: that all caches of the machine may hold together.
            sharers: tells how many caches these are now, as processes come and go.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._max_bytes, self._sharers = folder, max_bytes, sharers
        self._share, self._written = max_bytes, 0
        self._lock = threading.Lock()
        chunks = sorted(folder.glob("*.chunk"), key=lambda path: path.stat().st_mtime_ns)
        self._sizes: OrderedDict[str, int] = OrderedDict((path.name, path.stat().st_size) for path in chunks)
        self._in_memory: OrderedDict[str, bytes] = OrderedDict()

    def has(self, name: str, chunk: int) -> bool:
        """Whether a chunk is here."""
        file_name = self._file_name(name, chunk)
        return file_name in self._sizes or file_name in self._in_memory

    def get(self, name: str, chunk: int, first: int, size: int) -> bytes | None:
        """Part of a chunk, fewer bytes where the file ends in it; None where the chunk is not here."""
        file_name = self._file_name(name, chunk)
        with self._lock:
            if (data := self._in_memory.get(file_name)) is not None:
                return data[first : first + size]
            if file_name not in self._sizes:
                return None
            self._sizes.move_to_end(file_name)
        try:
            with open(self._folder / file_name, "rb", buffering=0) as file:
                return os.pread(file.fileno(), min(size, CHUNK_BYTES - first), first)
        except FileNotFoundError:  # another process that shares the cache made room
            with self._lock:
                self._sizes.pop(file_name, None)
            return None

    def put(self, name: str, chunk: int, data: bytes) -> None:
        """Keep a chunk, and make room for it."""
        file_name = self._file_name(name, chunk)
        unfinished = self._folder / f".{file_name}.{os.getpid()}"
        try:
            unfinished.write_bytes(data)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            self._keep_in_memory(file_name, data, error)
            return
        with self._lock:
            if self._written % SHARE_EVERY == 0:
                self._share = self._max_bytes // max(1, self._sharers())
            self._written += 1
            while self._sizes and sum(self._sizes.values()) + len(data) > self._share:
                (self._folder / self._sizes.popitem(last=False)[0]).unlink(missing_ok=True)
            unfinished.replace(self._folder / file_name)
            self._sizes[file_name] = len(data)

    def forget(self, name: str, chunk: int) -> None:
        """Remove a chunk, so that it is fetched again."""
        file_name = self._file_name(name, chunk)
        with self._lock:
            self._in_memory.pop(file_name, None)
            self._sizes.pop(file_name, None)
            (self._folder / file_name).unlink(missing_ok=True)

    def _keep_in_memory(self, file_name: str, data: bytes, error: OSError) -> None:
        with self._lock:
            if not self._in_memory:
                _log.warning("the cache %s cannot be written (%s): chunks stay in memory", self._folder, error.strerror)
            self._in_memory[file_name] = data
            if len(self._in_memory) > MEMORY_CHUNKS:
                self._in_memory.popitem(last=False)

    @staticmethod
    def _file_name(name: str, chunk: int) -> str:
        return f"{name.replace('/', '%2F')}.{chunk}.chunk"
