"""C++ parts, that of the search among them, built on first use with the compiler at hand; everything works without, only slower."""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from dcgan_dist.files import private_folder

SOURCE = Path(__file__).with_name("hamming.cpp")
FLAGS = ("-O3", "-march=native", "-ffp-contract=off", "-Wno-psabi", "-std=c++17", "-shared", "-fPIC")
CACHE = Path(".cache", "dcgan_dist", "native")
"""Folder of what was built, in the home folder."""

log = logging.getLogger(__name__)


@cache
def library() -> ctypes.CDLL | None:
    """The functions of hamming.cpp, or None with one warning where they cannot be built."""
    functions = built(SOURCE, "searching codes with FAISS")
    return functions and _declare(functions)


def built(source: Path, without: str) -> ctypes.CDLL | None:
    """The functions of a source; None, with a warning that says what is done without them, where they cannot be built."""
    try:
        return load(private_folder(Path.home() / CACHE), source=source)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        log.warning("%s, which is slower: %s", without, " ".join(str(error).split())[:300])
        return None


def load(folder: Path, compiler: str | None = None, *, source: Path | None = None) -> ctypes.CDLL:
    """Build a source, by default that of the search, in a folder, unless it is there, and load it.

    Its file is named after source, compiler and processor, and appears whole or not at all: processes may build at once,
    and a folder shared by different machines serves each its own.

    Raises:
        RuntimeError: no compiler.
        OSError, subprocess.SubprocessError: the folder is not writable, the compiler failed, the file does not load.
    """
    compiler = compiler or shutil.which("g++") or shutil.which("clang++") or shutil.which("c++")
    if compiler is None:
        raise RuntimeError("no C++ compiler (g++ or clang++) on the path")
    source = source or SOURCE
    parts = (source.read_text(encoding="ascii"), compiler, *FLAGS, platform.machine(), _processor_features())
    file = folder / f"{source.stem}-{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:16]}.so"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, unfinished = tempfile.mkstemp(suffix=".so", dir=folder)
        os.close(handle)
        try:
            command = [compiler, *FLAGS, str(source), "-o", unfinished]
            built = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
            if built.returncode:
                raise RuntimeError(f"{compiler} failed: {built.stderr}")
            os.replace(unfinished, file)  # noqa: PTH105  one call, atomic
        finally:
            Path(unfinished).unlink(missing_ok=True)
    return ctypes.CDLL(str(file))


def _processor_features() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else [platform.processor()]
    return next((line for line in lines if line.startswith(("flags", "Features"))), lines[0])


def _declare(functions: ctypes.CDLL) -> ctypes.CDLL:
    pointer, i64, i32 = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32
    out = [pointer, pointer, pointer, pointer, i64]  # cursor, first, second, distances, room
    functions.tile_pairs.argtypes, functions.tile_pairs.restype = [], i64
    functions.sort_rows.argtypes = [pointer, i64, i32, pointer, i32, pointer, pointer, pointer]
    functions.sort_rows.restype = None
    functions.search_buckets.argtypes = [pointer, pointer, i64, i32, i64, pointer, pointer, i32, i32, *out]
    functions.search_buckets.restype = i64
    functions.search_stripe.argtypes = [pointer, i64, i32, i64, i64, i64, i32, *out]
    functions.search_stripe.restype = i64
    return functions
