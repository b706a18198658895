"""A storage that fails for a while: a folder of this machine behind fsspec as faulty:///PATH.

As long as a file named `fault` lies in a folder above what is asked for, it fails in the way that this file's content names;
`refused.txt` beside it lists what was refused.
"""

import errno
import os
import time
from pathlib import Path
from typing import Any

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

SLOW_SECONDS = 0.1
FAULTS = ("503", "slow", "full", "read-only")


class FaultyFileSystem(LocalFileSystem):
    """Local files whose every request may be refused (503), late (slow), cut in its middle (full) or unwelcome (read-only)."""

    protocol = "faulty"
    local_file = False
    # As file systems behind a network have them, not as a local disk does.
    exists, isfile, isdir = AbstractFileSystem.exists, AbstractFileSystem.isfile, AbstractFileSystem.isdir

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return LocalFileSystem._strip_protocol(os.fspath(path).removeprefix("faulty://"))

    def info(self, path: Any, **more: Any) -> Any:
        self._fail(path, "info")
        return super().info(path, **more)

    def ls(self, path: str, detail: bool = False, **more: Any) -> Any:
        self._fail(path, "ls")
        return super().ls(path, detail=detail, **more)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        if not Path(self._strip_protocol(path)).is_dir():
            self._fail(path, "makedirs", writes=True)
        super().makedirs(path, exist_ok=exist_ok)

    def mv(self, path1: str, path2: str, recursive: bool = True, **more: Any) -> None:
        self._fail(path1, "mv", writes=True)
        super().mv(path1, path2, recursive=recursive, **more)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        self._fail(path, "rm", writes=True)
        super().rm(path, recursive=recursive, maxdepth=maxdepth)

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **more: Any) -> Any:
        writes = mode != "rb"
        fault = self._fail(path, "write" if writes else "read", writes=writes)
        file = super()._open(path, mode, block_size, **more)
        if fault == "full" and writes:
            real = file.write

            def write_a_half(content: Any) -> None:
                real(bytes(content)[: len(content) // 2])
                refuse(path, "write", errno.ENOSPC)

            file.write = write_a_half
        return file

    def _fail(self, path: Any, request: str, *, writes: bool = False) -> str:
        fault = present_fault(self._strip_protocol(path))
        if fault == "503":
            refuse(path, request, errno.EBUSY)
        if fault == "read-only" and writes:
            refuse(path, request, errno.EROFS)
        if fault == "slow":
            time.sleep(SLOW_SECONDS)
            note(path, request)
        return fault


def register() -> None:
    """Make faulty:// known to this process."""
    fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)


def present_fault(path: str) -> str:
    """The fault that a path suffers from now; empty if none."""
    control = control_file(path)
    try:
        return control.read_text() if control else ""
    except FileNotFoundError:
        return ""


def control_file(path: str) -> Path | None:
    return next((file for folder in Path(path).parents if (file := folder / "fault").exists()), None)


def note(path: Any, request: str) -> None:
    """Write down that a request met a fault."""
    path = FaultyFileSystem._strip_protocol(path)
    if control := control_file(path):
        with control.with_name("refused.txt").open("a") as file:
            file.write(f"{present_fault(path)} {request} {path}\n")


def refuse(path: Any, request: str, number: int) -> None:
    note(path, request)
    raise OSError(number, "503 Slow Down" if number == errno.EBUSY else os.strerror(number))
