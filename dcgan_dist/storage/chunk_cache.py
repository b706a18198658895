"""A bounded folder of pieces of remote files."""

import os
import threading
from collections import OrderedDict
from pathlib import Path

CHUNK_BYTES = 4 << 20
"""Files are fetched and kept in pieces of this size."""


class ChunkCache:
    """Chunks of files on a local disk; the ones not used for longest go when the bound is reached."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._max_bytes = folder, max_bytes
        self._lock = threading.Lock()
        chunks = sorted(folder.glob("*.chunk"), key=lambda path: path.stat().st_mtime_ns)
        self._sizes: OrderedDict[str, int] = OrderedDict((path.name, path.stat().st_size) for path in chunks)

    def has(self, name: str, chunk: int) -> bool:
        """Whether a chunk is here."""
        return self._file_name(name, chunk) in self._sizes

    def get(self, name: str, chunk: int, first: int, size: int) -> bytes | None:
        """Part of a chunk, fewer bytes where the file ends in it; None where the chunk is not here."""
        file_name = self._file_name(name, chunk)
        with self._lock:
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
        unfinished.write_bytes(data)
        with self._lock:
            while self._sizes and sum(self._sizes.values()) + len(data) > self._max_bytes:
                (self._folder / self._sizes.popitem(last=False)[0]).unlink(missing_ok=True)
            unfinished.replace(self._folder / file_name)
            self._sizes[file_name] = len(data)

    @staticmethod
    def _file_name(name: str, chunk: int) -> str:
        return f"{name.replace('/', '%2F')}.{chunk}.chunk"
