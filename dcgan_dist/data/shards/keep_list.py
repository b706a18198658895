"""The keep list: which samples of a data set are left after near duplicates are removed."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, Le, MinLen
from numpy.typing import NDArray

from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.errors import InputError
from dcgan_dist.files import whole_file
from dcgan_dist.storage.local import read_place
from dcgan_dist.untrusted import Count, Name, parse_json, refusing


class Dropped(NamedTuple):
    """A sample that does not stay, and why."""

    position: Count
    """In the manifest."""
    key: Name
    reason: Name
    """Such as "near duplicate"."""
    kept: Name = ""
    """Key of the sample that stays in its place."""
    distance: int | None = None
    """Bits between the codes of the two."""
    score: float | None = None
    """How alike the verifier finds them; higher is more alike."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class KeepList:
    """The samples of one manifest that stay."""

    manifest_hash: str
    """Hash of the manifest that the positions count through."""
    positions: NDArray[np.int64]
    """Manifest positions kept, ascending, no two equal."""
    radius: int | None = None
    """Bits within which two codes were taken for the same picture; None where another rule chose."""
    counts: dict[str, Any] = field(default_factory=dict)
    """What the report tells: samples, kept, removed and the like."""
    dropped: Sequence[Dropped] = ()
    """Why each of the others is not kept, where that is known; changes nothing, so not part of the hash."""

    @property
    def hash(self) -> str:
        """SHA-256 over parent and positions, in hex."""
        return hashlib.sha256(self.manifest_hash.encode() + self.positions.astype("<i8").tobytes()).hexdigest()


def write_keep_list(keep_list: KeepList | Sequence[KeepList], path: Path) -> None:
    """Write keep_list.json in one step; several data sets, each with its own, go into one file.

    Positions are stored as runs (first, length), which stay short.
    """
    if isinstance(keep_list, KeepList):
        content = _to_json(keep_list)
    else:
        content = {"keep_lists": [_to_json(item) for item in keep_list]}
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(content) + "\n", encoding="utf-8")


def _to_json(keep_list: KeepList) -> dict[str, Any]:
    positions = keep_list.positions
    starts = np.flatnonzero(np.diff(positions, prepend=-2) != 1)
    lengths = np.diff(starts, append=len(positions))
    content = {
        "manifest_hash": keep_list.manifest_hash,
        "radius": keep_list.radius,
        "counts": keep_list.counts,
        "kept_runs": np.stack([positions[starts], lengths], axis=1).tolist(),
    }
    if keep_list.dropped:
        content["dropped"] = [
            {name: value for name, value in dropped._asdict().items() if value not in ("", None)}
            for dropped in keep_list.dropped
        ]
    return content


@dataclass(frozen=True, slots=True)
class _StoredList:
    """A keep list as its file holds it."""

    manifest_hash: Name
    radius: Count | None
    counts: dict[str, Any]
    kept_runs: list[tuple[Count, Annotated[int, Ge(1), Le(2**53)]]]
    dropped: list[Dropped] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _StoredLists:
    keep_lists: Annotated[list[_StoredList], MinLen(1)]


def load_keep_list(path: str, manifest: Manifest) -> KeepList:
    """Read a keep list for the manifest that it was made for.

    Raises:
        InputError: the file is missing or torn, belongs to another manifest, or names positions that are not there.
    """
    with refusing(f"{path} is torn or not a keep list", "make it again"):
        try:
            text = read_place(path)
        except OSError as error:
            raise InputError(
                f"keep list {path} cannot be read ({error.strerror or error}): check `keep_list`"
            ) from error
        several = "keep_lists" in parse_json(text, dict[str, Any])
        content = parse_json(text, _StoredLists if several else _StoredList, more=True)
        lists = content.keep_lists if isinstance(content, _StoredLists) else [content]
        stored = next((item for item in lists if item.manifest_hash == manifest.hash), lists[0])
    if stored.manifest_hash != manifest.hash:
        raise InputError(
            f"keep list {path} was made for manifest {stored.manifest_hash[:12]}, these shards are "
            f"{manifest.hash[:12]}: use its own shards, or make a keep list for these"
        )
    firsts, lengths = np.array(stored.kept_runs, np.int64).reshape(-1, 2).T
    ends = np.concatenate([[0], firsts + lengths])
    if (firsts < ends[:-1]).any() or ends[-1] > manifest.samples:
        raise InputError(f"keep list {path} names a position twice or outside 0..{manifest.samples - 1}: make it again")
    return KeepList(
        manifest_hash=stored.manifest_hash,
        positions=np.concatenate(
            [np.arange(first, end) for first, end in zip(firsts, ends[1:], strict=True)] or [firsts]
        ),
        radius=stored.radius,
        counts=stored.counts,
        dropped=stored.dropped,
    )
