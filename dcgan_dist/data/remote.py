"""Shards behind http(s)://, s3://, gs:// and the like: read in chunks, ahead of need, into a bounded local cache.

A broken connection is taken up again at the byte where it broke, after a growing pause. Credentials come the usual way
of each storage (environment, configuration files, instance roles); none pass through this program.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
from numpy.typing import NDArray

from dcgan_dist.config import InputError

CHUNK_BYTES = 4 << 20
PIECE_BYTES = 1 << 20
DEFAULT_CACHE_BYTES = 8 << 30
FETCHES_AT_ONCE = 8
ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 0.5
TIMEOUT_SECONDS = 60.0

Pieces = Callable[[str, int, int], Iterator[bytes]]
"""(address, first byte, end) -> the bytes as they come."""


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
        for chunk in range(offset // CHUNK_BYTES, (offset + size - 1) // CHUNK_BYTES + 1):
            first = max(offset - chunk * CHUNK_BYTES, 0)
            parts.append(self._chunk_part(name, chunk, first, offset + size - chunk * CHUNK_BYTES - first))
        return b"".join(parts)

    def read_rows(
        self, names: Sequence[str], offsets: Sequence[int], out: NDArray[np.uint8]
    ) -> Iterator[int | OSError]:
        """Fill row i with the bytes of file i from offset i on."""
        rows = out.reshape(len(out), -1)
        for name, offset, row in zip(names, offsets, rows, strict=True):
            data = np.frombuffer(self.read(name, offset, len(row)), np.uint8)
            row[: len(data)] = data
            yield len(data)

    def read_all(self, name: str) -> bytes:
        """All bytes of a small file."""
        return fetch(self._transport.pieces, self._address(name), 0, self.size(name))

    def will_need(self, name: str, offset: int, size: int) -> None:
        """Begin to fetch a range."""
        for chunk in range(offset // CHUNK_BYTES, (offset + size - 1) // CHUNK_BYTES + 1):
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
        first = chunk * CHUNK_BYTES
        self._cache.put(name, chunk, fetch(self._transport.pieces, self._address(name), first, first + CHUNK_BYTES))

    def _chunk_part(self, name: str, chunk: int, first: int, size: int) -> bytes:
        while (data := self._cache.get(name, chunk, first, size)) is None:
            self._begin(name, chunk).result()
            self._under_way.pop((name, chunk), None)
        return data


class ChunkCache:
    """Chunks of files on a local disk; the ones not used for longest go when the bound is reached."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._max_bytes = folder, max_bytes
        self._lock = threading.Lock()
        found = sorted((path for path in folder.glob("*.chunk")), key=lambda path: path.stat().st_mtime_ns)
        self._sizes: OrderedDict[str, int] = OrderedDict((path.name, path.stat().st_size) for path in found)

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


class HttpTransport:
    """Ranges over HTTP, read as a stream, so that what came before a break is kept."""

    def size(self, address: str) -> int:
        """Content length of a file."""
        with _http(urllib.request.Request(address, method="HEAD")) as response:
            return int(response.headers["Content-Length"])

    def pieces(self, address: str, first: int, end: int) -> Iterator[bytes]:
        """The bytes from `first` up to `end` or the end of the file, as they come."""
        request = urllib.request.Request(address, headers={"Range": f"bytes={first}-{end - 1}"})
        try:
            with _http(request) as response:
                if response.status != 206 and first > 0:
                    raise InputError(
                        f"{address}: the server cannot send parts of files; copy the shards to a local disk"
                    )
                left = end - first
                while left > 0 and (piece := response.read(min(left, PIECE_BYTES, 1 << 16))):
                    left -= len(piece)
                    yield piece
                if response.length:  # what the server still owes
                    raise ConnectionError(f"the connection ended {response.length} bytes early")
        except urllib.error.HTTPError as error:
            if error.code != 416:  # the range begins at the end of the file
                raise


class FsspecTransport:
    """Ranges of any storage that fsspec knows."""

    def __init__(self, location: str) -> None:
        try:
            self._files: Any = fsspec.url_to_fs(location)[0]
        except ImportError as error:
            raise InputError(f"{location} needs a package that is not installed: {error}") from error

    def size(self, address: str) -> int:
        """Bytes of a file."""
        return int(self._files.info(address)["size"])

    def pieces(self, address: str, first: int, end: int) -> Iterator[bytes]:
        """The bytes from `first` up to `end` or the end of the file, one request per piece."""
        while first < end:
            piece = self._files.cat_file(address, start=first, end=min(end, first + PIECE_BYTES))
            if not piece:
                return
            yield piece
            first += len(piece)


def _http(request: urllib.request.Request) -> Any:
    return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)


def fetch(pieces: Pieces, address: str, first: int, end: int) -> bytes:
    """Read a range; each new attempt goes on after the last byte that came.

    Raises:
        InputError: the storage stayed unreachable.
    """
    received = bytearray()

    def receive() -> bytes:
        for piece in pieces(address, first + len(received), end):
            received.extend(piece)
        return bytes(received)

    return with_retries(receive, address, progress=lambda: len(received))


def with_retries(do: Callable[[], Any], address: str, progress: Callable[[], int] = lambda: 0) -> Any:
    """Try until it works; pauses double, and begin anew whenever an attempt brought something.

    Raises:
        FileNotFoundError, PermissionError: what does not pass by waiting.
        InputError: ATTEMPTS in a row brought nothing.
    """
    failures, before = 0, progress()
    while True:
        try:
            return do()
        except (FileNotFoundError, PermissionError):
            raise
        except urllib.error.HTTPError as error:
            if error.code in (401, 403, 404, 410):
                raise FileNotFoundError(f"{address}: {error}") from error
            failure: Exception = error
        except (OSError, HTTPException, EOFError) as error:
            failure = error
        if (now := progress()) > before:
            failures, before = 0, now
        failures += 1
        if failures >= ATTEMPTS:
            raise InputError(
                f"{address} could not be read in {ATTEMPTS} attempts ({failure}): check the network and the storage, "
                "then run the same command again"
            ) from failure
        time.sleep(FIRST_PAUSE_SECONDS * 2 ** (failures - 1) * random.uniform(0.5, 1.0))
