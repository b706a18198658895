"""Matrices of numbers in .mat files of version 5 to 7; scipy's reader of them crashes the process on damaged ones.

Source: "MAT-File Format", The MathWorks: a header of 128 bytes, then elements of (type, size, bytes).
"""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.errors import InputError
from dcgan_dist.untrusted import read_file

HEADER_BYTES = 128
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
MOST_BYTES = 4 << 30
MATRIX, COMPRESSED = 14, 15
TYPES = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}


def read_matrices(path: Path) -> dict[str, NDArray]:
    """The real matrices of a file by name.

    Raises:
        InputError: it is of version 7.3.
        ValueError, struct.error, zlib.error, KeyError, OSError: it is none, damaged, or unpacks to more than 4 GiB.
    """
    data = memoryview(read_file(path, MOST_BYTES))
    if HDF5_MAGIC in bytes(data[: HEADER_BYTES * 5]):
        raise InputError(
            f"{path} is a .mat file of version 7.3, which is not read: load it in MATLAB, and save it with -v7"
        )
    if bytes(data[126:128]) != b"IM":
        raise ValueError("it is not a little-endian .mat file of version 5 to 7")
    matrices: dict[str, NDArray] = {}
    for kind, content in _elements(data[HEADER_BYTES:]):
        if kind == COMPRESSED:
            unpacker = zlib.decompressobj()
            unpacked = unpacker.decompress(content, MOST_BYTES)
            if not unpacker.eof:
                raise ValueError("a matrix is cut, or unpacks to more than 4 GiB")
            ((kind, content),) = _elements(memoryview(unpacked))
        if kind == MATRIX:
            matrices |= [_matrix(content)]
    return matrices


def _matrix(content: memoryview) -> tuple[str, NDArray]:
    (_, _), (_, dimensions), (_, name), (kind, numbers), *_ = _elements(content)
    shape, values = np.frombuffer(dimensions, "<i4").tolist(), np.frombuffer(numbers, TYPES[kind])
    if min(shape) < 0 or math.prod(shape) != len(values):
        raise ValueError(f"a matrix of shape {shape} has {len(values)} values")
    return bytes(name).decode(), values.reshape(shape, order="F")


def _elements(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Type and bytes of each element."""
    while data:
        kind, size = struct.unpack_from("<II", data)
        first = 8
        if small := kind >> 16:  # up to four bytes stand in the place of the size
            kind, size, first = kind & 0xFFFF, small, 4
        if first + size > len(data) or (small and size > 4):
            raise ValueError("an element is cut")
        yield kind, data[first : first + size]
        data = data[8 if small else first + size + (0 if kind == COMPRESSED else -size % 8) :]
