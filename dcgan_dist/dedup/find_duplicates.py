"""Near duplicates of a folder of images, of tars or of shards, as a value: no result is written."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dcgan_dist.cluster.stage_seconds import StageSeconds
from dcgan_dist.data.shards.schema import MANIFEST_NAME
from dcgan_dist.dedup.corpus import open_corpus
from dcgan_dist.dedup.encode_corpus import encode_corpus
from dcgan_dist.dedup.groups import members
from dcgan_dist.dedup.options import DedupOptions
from dcgan_dist.dedup.representatives import choose_representatives
from dcgan_dist.dedup.verify_pairs import verify_pairs
from dcgan_dist.prepare.preparations import ShardOptions
from dcgan_dist.prepare.sources.folder import FolderSource
from dcgan_dist.prepare.write_shards import prepare
from dcgan_dist.storage.uri import is_uri

PREPARED_SIZE = 64
"""Pixels per side at which files are compared that are not shards yet."""


class Pair(NamedTuple):
    """Two images whose codes are near."""

    key_a: str
    key_b: str
    distance: int
    """Hamming distance of the codes, bits."""
    score: float
    """Score of the verifier; higher is more alike."""
    duplicate: bool
    """Whether both show the same photograph."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Duplicates:
    """What was found among the images."""

    pairs: tuple[Pair, ...]
    """Every candidate, duplicate or not."""
    groups: tuple[tuple[str, ...], ...]
    """Keys of images that show the same photograph; the first of each is the one to keep."""
    unreadable: tuple[tuple[str, str], ...] = ()
    """Images that were not compared, by file or key, and why."""


def find_duplicates(source: str | Sequence[str], *, radius: int | None = None) -> Duplicates:
    """Find the images that show the same photograph, in this process.

    >>> from dcgan_dist import find_duplicates
    >>> duplicates = find_duplicates("photos/")
    >>> assert all(len(keys) > 1 for keys in duplicates.groups)

    Args:
        source: folders, tars or zips of images, or shards (a folder with a manifest, or a URI).
        radius: bits within which the codes of two images make them a candidate; None: as many as the codes bear.

    Raises:
        InputError: a path is missing or unreadable, or there are fewer than 256 images, too few to learn a code from.
    """
    paths = [source] if isinstance(source, str) else list(source)
    shards = [path for path in paths if is_uri(path) or (Path(path) / MANIFEST_NAME).is_file()]
    files = tuple(path for path in paths if path not in shards)
    unreadable: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory(prefix="dcgan-dist-duplicates-") as scratch:
        if files:
            shards.append(f"{scratch}/shards")
            written = prepare(FolderSource(paths=files, image_size=PREPARED_SIZE), ShardOptions(out=shards[-1], cpus=1))
            unreadable += [(rejected.key, rejected.reason) for rejected in written.rejected]
        options = DedupOptions(shards=shards, out=f"{scratch}/out", radius=radius, cpus=1)
        options.folder.mkdir()
        encoded = encode_corpus(options, open_corpus(shards, ()), StageSeconds())
        verified = verify_pairs(options, encoded, StageSeconds())
        chosen = choose_representatives(encoded.corpus, encoded.keys, encoded.originals, verified.duplicates)
    names = [bytes(name).decode() for name in encoded.names]
    unreadable += [(names[row], fault) for row, fault in sorted(encoded.originals.faults.items())]
    columns = (column.tolist() for column in (*verified.pairs, verified.accepted))
    clusters = members(chosen.leaders)
    return Duplicates(
        pairs=tuple(Pair(names[a], names[b], *figures) for a, b, *figures in zip(*columns, strict=True)),
        unreadable=tuple(unreadable),
        groups=tuple(
            tuple(names[row] for row in sorted(rows, key=lambda row: row != chosen.leaders[row])) for rows in clusters
        ),
    )
