"""Tars as strangers make them."""

import io
import tarfile
from collections.abc import Iterable


def tar_of(members: Iterable[tuple[str, bytes]]) -> bytes:
    """A tar of files, given by name and content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()
