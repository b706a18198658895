"""Reading files that strangers may have written: values have the types that are wanted, memory is bounded, faults are sentences."""

import errno
import functools
import io
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import unquote

import numpy as np
from annotated_types import Ge, Le, Predicate
from numpy.typing import NDArray

from dcgan_dist.errors import InputError, printable, require

T = TypeVar("T")

Count = Annotated[int, Ge(0), Le(2**53)]
"""A number of things, or of bytes."""
Name = Annotated[str, Predicate(str.isprintable)]
"""What is shown: without control characters."""
LONGEST_NAME = 200
"""Bytes; file systems take 255, and names are made longer."""


def is_file_name(name: str) -> bool:
    """Whether a name, whoever gave it, can only be that of a file or folder right below another folder."""
    fits = name.isprintable() and 0 < len(name.encode()) <= LONGEST_NAME
    return fits and name not in (".", "..") and not {"/", "\\"} & {*name}


def require_name(name: str, field: str) -> None:
    """Raise InputError unless a setting is the name of a folder, and of none elsewhere; empty stands for the default."""
    require(
        not name
        or (is_file_name(name) and is_file_name(unquote(name))),  # as it is read where the folder lies in a store
        f"`{field}` {name[:LONGEST_NAME]!r} cannot be the name of a folder: give one of at most {LONGEST_NAME} bytes without /, "
        "backslash and control characters",
    )


FileName = Annotated[str, Predicate(is_file_name)]
"""A file of the folder that names it, and of no other."""
LONGEST_REASON = 300
MOST_TEXT_BYTES = 1 << 30
MOST_UNPACKED_BYTES = 1 << 30
MOST_RATIO = 20
"""Arrays of more than MOST_UNPACKED_BYTES may be packed so many times."""


def is_plain_path(name: str) -> bool:
    """Whether a path can be shown, and leads out of no folder that it is unpacked to."""
    return name.isprintable() and not name.startswith("/") and ".." not in name.split("/")


@contextmanager
def refusing(fault: str, remedy: str) -> Iterator[None]:
    """Raise InputError for whatever a decoder of foreign bytes raises inside the `with`, InputError apart.

    Damaged files make decoders raise anything: zlib.error, struct.error, TokenError, RecursionError, MemoryError.

    Args:
        fault: which file, and what it is not.
        remedy: what to do about it.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{fault} ({reason(error)}): {remedy}") from error


def reason(error: Exception) -> str:
    """What a decoder or a schema found wrong, in a few words that can be printed."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, KeyError):
        return f"no {printable(str(error))}"
    if errors := getattr(error, "errors", None):  # of a schema: where the first one lies
        first = errors()[0]
        place = ".".join(map(str, first["loc"]))
        fault = first["msg"] if first["type"] != "predicate_failed" else f"{first['input']!r} is no plain name"
        return printable(f"{place}: {fault}" if place else fault)[:LONGEST_REASON]
    return printable((str(error) or type(error).__name__)[:LONGEST_REASON])


def read_file(path: Path, most: int = MOST_TEXT_BYTES) -> bytes:
    """All bytes of a file.

    Raises:
        OSError: as `size_of_file` says.
    """
    size_of_file(path, most)
    return path.read_bytes()


def size_of_file(path: Path, most: int = 2**63) -> int:
    """Bytes of an ordinary file.

    Raises:
        OSError: there is none, it is larger than `most`, or it is a folder, or a pipe or device, which may never end.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        is_folder = stat.S_ISDIR(status.st_mode)
        raise OSError(
            errno.EISDIR if is_folder else errno.EINVAL, "it is a folder" if is_folder else "it is no file", str(path)
        )
    if status.st_size > most:
        raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes, more than the limit of {most:,}", str(path))
    return status.st_size


@functools.cache
def _adapter(schema: Any) -> Any:
    from pydantic import TypeAdapter  # here, as jobs that only show their help need none

    return TypeAdapter(schema)


def parse_json(text: bytes | str, schema: type[T], *, strict: bool = True, more: bool = False) -> T:
    """The value of a JSON text, which has exactly the types and ranges of a dataclass or another type.

    Not strict, texts that are numbers count as these. With `more`, keys that a dataclass does not have are left out.

    Raises:
        ValueError: it has not; `reason` says where.
    """
    return _adapter(schema).validate_json(text, strict=strict, extra="ignore" if more else "forbid")


def parse_value(value: Any, schema: type[T]) -> T:
    """As `parse_json`, of a value."""
    return _adapter(schema).validate_python(value, strict=True, extra="forbid")


def read_arrays(source: Path | bytes, *, mapped: bool = False) -> dict[str, NDArray[Any]]:
    """The arrays of a .npz file by name, or the one of a .npy file under the name ""; nothing is unpickled.

    With `mapped`, that of a .npy file stays there and is read where it is looked at; numpy refuses a shape that its bytes do not fill.

    Raises:
        Exception: of any kind, where it is no such file, or unpacks to much more than it has.
    """
    packed = size_of_file(source) if isinstance(source, Path) else len(source)
    file = source if isinstance(source, Path) else io.BytesIO(source)
    loaded = np.load(file, mmap_mode="r" if mapped else None, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return {"": loaded}
    with loaded:
        unpacked = sum(member.file_size for member in loaded.zip.infolist())
        if unpacked > max(MOST_UNPACKED_BYTES, MOST_RATIO * packed):
            raise ValueError(f"its {packed:,} bytes would unpack to {unpacked:,}")
        arrays = {name: loaded[name] for name in loaded.files}
    if strange := [
        name for name, array in arrays.items() if not isinstance(array, np.ndarray)
    ]:  # numpy gives its bytes
        raise ValueError(f"{strange[0]} is no array")
    return arrays
