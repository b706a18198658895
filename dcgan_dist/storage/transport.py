"""Ranges of remote files: over HTTP or whatever fsspec knows, tried again at the byte where a transfer broke."""

from __future__ import annotations

import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException
from typing import Any

import fsspec

from dcgan_dist.errors import InputError

PIECE_BYTES = 1 << 20
STREAM_BYTES = 1 << 16
ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 0.5
TIMEOUT_SECONDS = 60.0

Pieces = Callable[[str, int, int], Iterator[bytes]]
"""(address, first byte, end) -> the bytes as they come."""


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
                while left > 0 and (piece := response.read(min(left, STREAM_BYTES))):
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
