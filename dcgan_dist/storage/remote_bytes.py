"""Ranges of files of a remote folder, as streams: what came before a connection broke is kept."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from dcgan_dist.errors import InputError, require
from dcgan_dist.storage.filesystems import open_filesystem

REQUEST_BYTES = 1 << 20
STREAM_BYTES = 1 << 16
MOST_SKIPPED_BYTES = 4 << 20
TIMEOUT_SECONDS = 60.0


class HttpFiles:
    """Files behind http(s)://. fsspec's own client gives a range whole or not at all, so a break would cost all of it."""

    def __init__(self, location: str) -> None:
        self._location = location.rstrip("/")

    def size(self, name: str) -> int:
        """Content length of a file."""
        with self._open(name, method="HEAD") as response:
            length = response.headers["Content-Length"]
        require(
            length is not None, f"{self._location}/{name}: the server tells no size; copy the shards to a local disk"
        )
        return int(length)

    def stream(self, name: str, first: int, end: int) -> Iterator[bytes]:
        """The bytes from `first` up to `end`, which is not beyond the end of the file, as they come."""
        with self._open(name, headers={"Range": f"bytes={first}-{end - 1}"}) as response:
            skipped = (
                0 if response.status == 206 else first
            )  # a server without ranges sends the file from its beginning
            if skipped > MOST_SKIPPED_BYTES:
                raise InputError(
                    f"{self._location}/{name}: the server cannot send parts of files; copy the shards to a local disk"
                )
            while skipped > 0 and (piece := response.read(min(skipped, STREAM_BYTES))):
                skipped -= len(piece)
            missing = end - first
            while missing > 0 and (piece := response.read(min(missing, STREAM_BYTES))):
                missing -= len(piece)
                yield piece
            if missing > 0:
                raise ConnectionError(f"the connection ended {missing} bytes early")

    def _open(self, name: str, **request: Any) -> Any:
        address = f"{self._location}/{quote(name)}"
        return urllib.request.urlopen(urllib.request.Request(address, **request), timeout=TIMEOUT_SECONDS)


class FsspecFiles:
    """Files of any store that fsspec knows."""

    def __init__(self, location: str) -> None:
        self._files, self._root = open_filesystem(location)

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return int(self._files.info(f"{self._root}/{name}")["size"])

    def stream(self, name: str, first: int, end: int) -> Iterator[bytes]:
        """The bytes from `first` up to `end`, which is not beyond the end of the file, one request per piece."""
        path = f"{self._root}/{name}"
        for start in range(first, end, REQUEST_BYTES):
            stop = min(end, start + REQUEST_BYTES)
            piece = self._files.cat_file(path, start=start, end=stop)
            if len(piece) != stop - start:
                raise ConnectionError(f"the store sent {len(piece)} of {stop - start} bytes")
            yield bytes(piece)  # pyright: ignore[reportArgumentType]  # fsspec says text or bytes
