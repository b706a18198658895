"""Damage as strangers and disks do it: bytes of any file, values of JSON, arrays, and what else Python can hold."""

import copy
import io
import json
import math
import random
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

Mutator = Callable[[bytes, random.Random], bytes]

CONTROL = "\x1b[31m\r\n\0\x07"
STRANGE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 3, 2**31, 2**63, -(2**63), 10**30, 10**400, 0.5, -0.0, 1e308, math.nan, math.inf),
    *("", "x", "../../x", "/etc/passwd", "con\x00", CONTROL, "\ud800", "9" * 5000, "a" * 100_000, "1e999"),
    *([], {}, [[]], [None] * 3, {"": None}, ["x"], [0], {"a": {"a": {}}}, list(range(50))),
)
DEPTH = 100_000
LEAST_DEPTH = 3_000


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Flip bits, cut, repeat, swap or blank a piece, or put control characters or noise in its place."""
    content = bytearray(data)
    first, second = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    second = min(second, first + rng.choice((1, 4, 64, 1024, len(data))))
    match rng.randrange(7):
        case 0:
            for _ in range(rng.choice((1, 1, 2, 8))):
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        case 1:
            del content[first:]
        case 2:
            content[first:first] = content[first:second]
        case 3:
            content[first:second] = bytes(second - first)
        case 4:
            content[first:second] = content[: second - first][::-1]
        case 5:
            content[first : first + 4] = rng.choice((b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80"))
        case 6:
            content[first:second] = CONTROL.encode()
    return bytes(content)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container inside a value with each of its keys."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in list(items) for place in [(value, key), *_places(inner)]]


def mutate_value(value: Any, rng: random.Random) -> Any:
    """A copy with one value changed, gone, renamed, repeated, swapped with another one, or inside more lists."""
    value = copy.deepcopy(value)
    places = _places(value)
    if not places or rng.random() < 0.03:
        return rng.choice(STRANGE)
    holder, key = rng.choice(places)
    match rng.randrange(6):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[rng.choice(("extra", "../x", CONTROL, ""))] = holder.pop(key)
        case 2:
            other, place = rng.choice(places)
            holder[key], other[place] = copy.deepcopy(other[place]), copy.deepcopy(holder[key])
        case 3 if isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        case 4 if isinstance(holder[key], (int, float)):
            holder[key] = rng.choice((-holder[key], holder[key] * 10**9, holder[key] + 1, str(holder[key])))
        case _:
            holder[key] = rng.choice(STRANGE)
    return value


def mutate_json(data: bytes, rng: random.Random) -> bytes:
    """Bytes, or a value of the JSON text, or its depth, or a key that comes twice."""
    match rng.randrange(8):
        case 0 | 1:
            return mutate_bytes(data, rng)
        case 2 if rng.random() < 0.2:
            depth = rng.choice((LEAST_DEPTH, DEPTH))
            return rng.choice((b"[" * depth, b'{"a":' * depth, b"[" * depth + b"]" * depth))
        case 3 if data.lstrip().startswith(b"{"):
            return data.replace(b"{", b"{" + json.dumps(mutate_value(json.loads(data), rng)).encode()[1:-1] + b",", 1)
    return json.dumps(mutate_value(json.loads(data), rng)).encode()


def mutate_json_lines(data: bytes, rng: random.Random) -> bytes:
    """One of the lines, as `mutate_json`."""
    lines = data.splitlines(keepends=True)
    number = rng.randrange(len(lines))
    return b"".join([*lines[:number], mutate_json(lines[number], rng), b"\n", *lines[number + 1 :]])


def mutate_array(array: np.ndarray, rng: random.Random) -> np.ndarray:
    """Another type, shape, length or values."""
    with np.errstate(all="ignore"):
        match rng.randrange(6):
            case 0:
                kind = rng.choice(("int8", "int64", "float16", "float64", "complex64", "bool", "S3", "U3", "M8[s]"))
                return array.astype(kind) if array.dtype.kind not in "SU" else np.zeros(array.shape, kind)
            case 1:
                return array.reshape(-1)[: rng.randrange(array.size + 1)]
            case 2:
                return array[..., None]
            case 3:
                return np.concatenate([array.reshape(-1)] * 2)
            case 4 if array.dtype.kind in "iuf" and array.size:
                changed = array.copy().reshape(-1)
                places = rng.sample(range(changed.size), min(changed.size, rng.choice((1, 1, changed.size))))
                extremes = (
                    (np.nan, np.inf)
                    if array.dtype.kind == "f"
                    else (np.iinfo(array.dtype).max, np.iinfo(array.dtype).min)
                )
                changed[places] = rng.choice((*extremes, 0, 1))
                return changed.reshape(array.shape)
    return array[None]


def _header(data: bytes, rng: random.Random) -> bytes:
    """The header of an array that claims another shape or type."""
    header = rng.choice(
        (
            f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({10 ** rng.randrange(3, 25)},), }}",
            "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (-4, -2), }",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (True,), }",
            "{'descr': [('a', '<f8'), ('b', 'S99999999')], 'fortran_order': 1, 'shape': (2,), }",
            "(" * 3000,
            "{'descr': '<f8'\n    'x",
        )
    )
    packed = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(packed).to_bytes(2, "little") + packed + data[128:]


def mutate_npy(data: bytes, rng: random.Random) -> bytes:
    """Bytes, header or array of a .npy file."""
    match rng.randrange(4):
        case 0:
            return mutate_bytes(data, rng)
        case 1:
            return _header(data, rng)
    buffer = io.BytesIO()
    np.save(buffer, mutate_array(np.load(io.BytesIO(data)), rng))
    return buffer.getvalue()


def mutate_npz(data: bytes, rng: random.Random) -> bytes:
    """Bytes of a .npz file, or one of its arrays, with all checksums right."""
    if rng.randrange(4) == 0:
        return mutate_bytes(data, rng)
    with np.load(io.BytesIO(data)) as file:
        arrays = {name: file[name] for name in file.files}
    first, second = (rng.choice(list(arrays)) for _ in range(2))
    match rng.randrange(6):
        case 0:
            del arrays[first]
        case 1:
            arrays[first], arrays[second] = arrays[second], arrays[first]
        case 2:
            return _with_member(data, f"{first}.npy", rng)
        case _:
            arrays[first] = mutate_array(arrays[first], rng)
    buffer = io.BytesIO()
    rng.choice((np.savez, np.savez, np.savez_compressed))(buffer, **arrays)
    return buffer.getvalue()


def mutate_zip(data: bytes, rng: random.Random) -> bytes:
    """One member of a zip, its checksum right: as JSON or an array where it is one, else its bytes."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        name = rng.choice([info.filename for info in file.infolist() if info.file_size])
    return _with_member(data, name, rng)


def _with_member(data: bytes, name: str, rng: random.Random) -> bytes:
    """The zip with one of its members mutated."""
    mutate = {"json": mutate_json, "npy": mutate_npy}.get(name.rpartition(".")[2], mutate_bytes)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(out, "w") as after:
        for info in before.infolist():
            content = before.read(info)
            after.writestr(info.filename, mutate(content, rng) if info.filename == name else content)
    return out.getvalue()
