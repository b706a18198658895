"""Keys: unique names of samples that every tar and WebDataset reader gives back unchanged."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from urllib.parse import quote

_SAFE = "/ ()+,=@~"  # besides letters, digits, _ . - ; a dot would end the key, so it is escaped below


def escape(name: str) -> str:
    """Turn any name into a key: `%xx` for what a tar reader could cut, split or refuse.

    A reader takes the member path up to the first dot of its last part for the key, so every dot is escaped; so are
    control characters, percent signs, what is not ASCII, and slashes that would make an empty or absolute part.
    Different names give different keys.
    """
    parts = quote(os.fsencode(name), safe=_SAFE).replace(".", "%2E").split("/")
    return "/".join(parts) if all(parts) else "%2F".join(parts)


def keys_of_paths(paths: Sequence[str]) -> list[str]:
    """One key per path: the path without its last suffix, or with it where two paths would share a key."""
    stems = [str(PurePosixPath(path).with_suffix("")) if PurePosixPath(path).name else path for path in paths]
    times = Counter(stems)
    names = [stem if times[stem] == 1 else path for path, stem in zip(paths, stems, strict=True)]
    if len(set(names)) < len(names):  # a.jpg, a.png and a.jpg.png: only whole paths are sure to differ
        names = list(paths)
    return [escape(name) for name in names]


def held_out(key: str, fraction: float) -> bool:
    """Whether a key belongs to the held-out split: by its own hash, whatever else the data set holds."""
    first_word = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    return first_word < fraction * 2.0**64
