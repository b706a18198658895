"""Shards behind http(s)://, s3://, gs:// and the like: read in chunks, ahead of need, into a bounded local cache.

A broken connection is taken up again at the byte where it broke, after a growing pause. Credentials come the usual way
of each storage (environment, configuration files, instance roles); none pass through this program.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from isal.isal_zlib import crc32
from numpy.typing import NDArray

from dcgan_dist.storage import chunk_cache
from dcgan_dist.storage.chunk_cache import ChunkCache
from dcgan_dist.storage.protocol import CHANGED_BYTES, short_fault
from dcgan_dist.storage.transport import FsspecTransport, HttpTransport, fetch, with_retries

DEFAULT_CACHE_BYTES = 8 << 30
FETCHES_AT_ONCE = 8


class RemoteFolder:
    """A folder behind a URI. Several threads may fetch; one reads."""

    def __init__(self, location: str, *, cache_folder: str = "", cache_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self._location = location.rstrip("/")
        self._transport = HttpTransport() if location.startswith("http") else FsspecTransport(self._location)
        self._private = None if cache_folder else tempfile.mkdtemp(prefix="dcgan-dist-cache-")
        name = hashlib.sha256(self._location.encode()).hexdigest()[:16]
        self._cache = ChunkCache(Path(self._private or Path(cache_folder).expanduser() / name), cache_bytes)
        self._threads = ThreadPoolExecutor(FETCHES_AT_ONCE, thread_name_prefix="shard fetch")
        self._under_way: dict[tuple[str, int], Future[None]] = {}

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return with_retries(lambda: self._transport.size(self._address(name)), self._address(name))

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer where the file ends.

        Raises:
            InputError: the storage stayed unreachable.
        """
        parts = []
        for chunk in range(offset // chunk_cache.CHUNK_BYTES, (offset + size - 1) // chunk_cache.CHUNK_BYTES + 1):
            first = max(offset - chunk * chunk_cache.CHUNK_BYTES, 0)
            parts.append(self._chunk_part(name, chunk, first, offset + size - chunk * chunk_cache.CHUNK_BYTES - first))
        return b"".join(parts)

    def read_rows(
        self, names: Sequence[str], offsets: Sequence[int], checksums: Sequence[int], out: NDArray[np.uint8]
    ) -> list[tuple[int, str]]:
        """Fill and check row after row.

        Raises:
            InputError: the storage stayed unreachable.
        """
        size, faults = out[0].nbytes, []
        for row, (name, offset, checksum) in enumerate(zip(names, offsets, checksums, strict=True)):
            data = self.read(name, offset, size)
            if len(data) < size:
                faults.append((row, short_fault(len(data), size)))
            elif crc32(data) != checksum:
                faults.append((row, CHANGED_BYTES))
            else:
                out[row] = np.frombuffer(data, np.uint8).reshape(out.shape[1:])
        return faults

    def read_all(self, name: str) -> bytes:
        """All bytes of a small file."""
        return fetch(self._transport.pieces, self._address(name), 0, self.size(name))

    def will_need(self, name: str, offset: int, size: int) -> None:
        """Begin to fetch a range."""
        for chunk in range(offset // chunk_cache.CHUNK_BYTES, (offset + size - 1) // chunk_cache.CHUNK_BYTES + 1):
            if not self._cache.has(name, chunk):
                self._begin(name, chunk)

    def close(self) -> None:
        """Stop fetching, and remove the private cache."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        if self._private is not None:
            shutil.rmtree(self._private, ignore_errors=True)

    def _address(self, name: str) -> str:
        return f"{self._location}/{name}"

    def _begin(self, name: str, chunk: int) -> Future[None]:
        key = name, chunk
        if key not in self._under_way:
            self._under_way[key] = self._threads.submit(self._fetch_chunk, name, chunk)
        return self._under_way[key]

    def _fetch_chunk(self, name: str, chunk: int) -> None:
        first = chunk * chunk_cache.CHUNK_BYTES
        self._cache.put(
            name, chunk, fetch(self._transport.pieces, self._address(name), first, first + chunk_cache.CHUNK_BYTES)
        )

    def _chunk_part(self, name: str, chunk: int, first: int, size: int) -> bytes:
        while (data := self._cache.get(name, chunk, first, size)) is None:
            self._begin(name, chunk).result()
            self._under_way.pop((name, chunk), None)
        return data
