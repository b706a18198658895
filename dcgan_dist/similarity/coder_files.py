"""A coder on disk: arrays in `coder.npz` without pickles, settings and the hash of the arrays in `coder.json`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.errors import InputError
from dcgan_dist.untrusted import Name, parse_json, read_arrays, read_file, refusing

ARRAYS, SETTINGS = "coder.npz", "coder.json"

Arrays = dict[str, NDArray[Any]]


def write_coder(folder: Path, name: str, settings: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a coder; the settings last, so that a folder without them holds none.

    Args:
        folder: made where it is missing; what it holds under these names is replaced.
        name: of the kind of coder.
        settings: what JSON can hold.
        arrays: by name, none of objects.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SETTINGS).unlink(missing_ok=True)
    np.savez(folder / ARRAYS, allow_pickle=False, **arrays)  # pyright: ignore[reportArgumentType]
    about = {"name": name, "settings": dict(settings), "sha256": _sha256(folder / ARRAYS)}
    draft = folder / (SETTINGS + ".tmp")
    draft.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    draft.replace(folder / SETTINGS)


def read_coder(folder: Path) -> tuple[str, dict[str, Any], Arrays]:
    """Name, settings and arrays of a coder.

    Raises:
        InputError: the folder holds no coder, or a damaged one; nothing in it is ever unpickled.
    """
    with refusing(f"{folder} holds no readable coder", "fit it again"):
        about = parse_json(read_file(folder / SETTINGS), _About, more=True)
        if about.sha256 != _sha256(folder / ARRAYS):
            raise InputError(f"{folder / ARRAYS} does not match its hash in {SETTINGS}: fit the coder again")
        return about.name, about.settings, read_arrays(folder / ARRAYS)


@dataclass(frozen=True, slots=True)
class _About:
    """The content of coder.json."""

    name: Name
    settings: dict[str, Any]
    sha256: str


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pack_signs(embedding: NDArray[np.float32]) -> NDArray[np.uint8]:
    """One bit per coordinate, set where it is positive; the first is the highest bit of the first byte.

    Args:
        embedding: (n, code_bits), code_bits a multiple of 8.

    Returns:
        (n, code_bits / 8).
    """
    assert embedding.shape[1] % 8 == 0, embedding.shape
    return np.packbits(embedding > 0, axis=1)
