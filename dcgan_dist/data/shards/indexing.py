"""Tars without a manifest, someone's own or img2dataset's: look at every member once, then they are a data set."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from filelock import FileLock

from dcgan_dist.data.shards.images import MAX_ENCODED_BYTES, ImageFault, stored_size
from dcgan_dist.data.shards.index import (
    MOST_LABEL,
    NO_LABEL,
    ShardIndex,
    TarColumns,
    decode_index,
    index_name,
    make_index,
)
from dcgan_dist.data.shards.left_out import HIDDEN, LINK, LeftOut, is_hidden
from dcgan_dist.data.shards.schema import MANIFEST_NAME, Manifest, Shard, parse_manifest, write_manifest
from dcgan_dist.data.shards.tar_members import Damage, TarFault, is_image, split_name, walk_entries
from dcgan_dist.errors import InputError, printable
from dcgan_dist.files import LOCK_NAME, private_folder, sha256_of, whole_file

MAX_LISTED = 20
SOURCE_KIND = "tars without a manifest"
"""What the manifest of indexed tars says of its source."""

_log = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class TarContents(TarColumns):
    """What a tar holds, and what is wrong with it."""

    damages: list[Damage] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)


def read_contents(path: Path) -> TarContents:
    """Find every image of a tar with its key and label, and every fault of structure and naming."""
    contents = TarContents()
    rows: dict[str, tuple[int, str]] = {}
    labels: dict[tuple[str, str], int] = {}

    def damaged(member: str, offset: int, fault: str) -> None:
        contents.damages.append(Damage(shard=path.name, member=member, offset=offset, fault=fault))

    try:
        with path.open("rb") as file:
            for _, info in walk_entries(path):
                name, offset, size = info.name, info.offset_data, info.size
                key, suffix = split_name(name)
                if not info.isfile():
                    if not info.isdir():
                        contents.left_out.add(name, LINK)
                elif is_hidden(name):  # as the resource forks of macOS, ._a.jpg
                    contents.left_out.add(name, HIDDEN)
                elif suffix == "cls" or suffix.endswith(".cls"):
                    field = key, suffix.rpartition(".")[0]
                    file.seek(offset)
                    text = file.read(min(size, 20))
                    if field in labels:
                        damaged(name, offset, f"duplicate label: {key} has one already")
                    elif text.strip().isdigit() and int(text) <= MOST_LABEL:
                        labels[field] = int(text)
                    elif suffix == "cls":
                        damaged(name, offset, f"the label is not a decimal number from 0 to {MOST_LABEL}")
                elif is_image(suffix) and key in rows:
                    kind = "dotted key: readers merge it into" if "." in suffix else "duplicate key:"
                    damaged(name, offset, f"{kind} {key}, which has an image already")
                elif is_image(suffix):
                    rows[key] = len(contents.keys), suffix.rpartition(".")[0]
                    contents.add(key, offset, size, None)
                else:
                    contents.left_out.add(name)
    except TarFault as error:
        damaged(error.member, error.offset, error.fault)
    for key, (row, name) in rows.items():  # at the end: in a tar with sorted names the label stands before its image
        contents.labels[row] = labels.get(
            (key, name), labels.get((key, ""))
        )  # KEY.large.jpg has KEY.large.cls or KEY.cls
    if not contents.keys and not contents.damages:
        damaged("", 0, "empty: no image in it")
    return contents


def shared_keys(owners: dict[str, str], shard: str, keys: Sequence[str], offsets: Sequence[int]) -> Iterator[Damage]:
    """The samples of a shard whose keys another one has too; `owners` says whose a key is, and is added to."""
    for key, offset in zip(keys, offsets, strict=True):
        if owners.setdefault(key, shard) != shard:
            fault = f"duplicate key: {owners[key]} has it too"
            yield Damage(shard=shard, member=key, offset=offset, fault=fault)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class IndexedTar:
    """A tar without a manifest after every byte of it was read."""

    index: ShardIndex | None
    """None where the tar is damaged."""
    shard: Shard
    """Its entry in a manifest."""
    image_size: int
    """Pixels per side if all its images are squares of one size, else 0."""
    mtime_ns: int
    """When it was last written, before it was read."""
    damages: list[Damage] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)


MapTars = Callable[[Callable[[Path], IndexedTar], Sequence[Path]], Iterable[IndexedTar]]
"""Applies a function to every tar, in order: `map`, or tasks on a cluster."""


def index_tars(tars: Sequence[Path], name: str, map_tars: MapTars = map) -> Manifest:
    """Make manifest and indexes of plain tars, beside them where that can be written, else in the user's cache.

    Tars that an earlier manifest there lists are not read again unless they changed.

    Args:
        tars: of one folder.
        name: of the data set, unless they have one from an earlier call.
        map_tars: by which the tars are read.

    Raises:
        InputError: a tar is damaged, or keys are twice or merge; the message lists them.
    """
    folder = _index_folder(tars)
    with FileLock(folder / LOCK_NAME):  # two jobs that open the same tars at once: the second finds what the first made
        return _index_in(folder, tars, name, map_tars)


def _index_in(folder: Path, tars: Sequence[Path], name: str, map_tars: MapTars) -> Manifest:
    earlier = _earlier_manifest(folder)
    known = _known_tars(tars, earlier, folder) if earlier else {}
    waiting = [tar for tar in tars if tar not in known]
    indexed = known | dict(zip(waiting, map_tars(index_tar, waiting), strict=True))
    parts = [indexed[tar] for tar in tars]
    _refuse_damages(parts)
    for tar in waiting:
        _write_index(tar, indexed[tar], folder)
    sizes = {part.image_size for part in parts}
    manifest = Manifest(
        dataset=earlier.dataset if earlier else printable(name),  # one name, whichever way the tars are opened
        image_size=sizes.pop() if len(sizes) == 1 else 0,
        image_channels=3,
        layout="samples",
        shards=tuple(part.shard for part in parts),
        preprocessing={"stored": "as found"},
        source={"kind": SOURCE_KIND},
        classes=_classes(parts),
        location=str(folder),
    )
    write_manifest(manifest, folder)
    return manifest


def index_tar(tar: Path) -> IndexedTar:
    """Read a tar."""
    mtime_ns = tar.stat().st_mtime_ns
    contents = read_contents(tar)
    index = None if contents.damages else make_index(tar, contents)
    index_sha256 = hashlib.sha256(index.encode()).hexdigest() if index else ""
    shard = Shard(
        name=tar.name,
        split="train",
        samples=len(contents.keys),
        bytes=tar.stat().st_size,
        sha256=sha256_of(tar),
        index_sha256=index_sha256,
    )
    return IndexedTar(
        index=index,
        shard=shard,
        image_size=_common_size(tar, contents),
        mtime_ns=mtime_ns,
        damages=contents.damages,
        left_out=contents.left_out,
    )


def _earlier_manifest(folder: Path) -> Manifest | None:
    try:
        return parse_manifest((folder / MANIFEST_NAME).read_bytes(), str(folder))
    except (OSError, InputError):
        return None


def _known_tars(tars: Sequence[Path], manifest: Manifest, folder: Path) -> dict[Path, IndexedTar]:
    """What the folder's manifest and indexes say of those tars that have not changed since."""
    shards = {shard.name: shard for shard in manifest.shards}
    known = {}
    for tar in tars:
        if (shard := shards.get(tar.name)) and is_as_indexed(tar, shard, folder):
            path = folder / index_name(tar.name)
            index, mtime_ns = decode_index(path.read_bytes(), str(path)), path.stat().st_mtime_ns
            known[tar] = IndexedTar(index=index, shard=shard, image_size=manifest.image_size, mtime_ns=mtime_ns)
    return known


def is_as_indexed(tar: Path, shard: Shard, folder: Path) -> bool:
    """Whether a tar, and its index in a folder, are those that the folder's manifest means.

    An index bears the time of its tar. At another time, as in a copy, the tar's hash decides, and the index gets its time; where
    nothing can be written the size must do.
    """
    index, found = folder / index_name(tar.name), tar.stat()
    if found.st_size != shard.bytes or not index.exists() or sha256_of(index) != shard.index_sha256:
        return False
    beside = folder == tar.parent and os.access(folder, os.W_OK)  # a cache folder is named by the times of its tars
    if beside and found.st_mtime_ns != index.stat().st_mtime_ns:
        if sha256_of(tar) != shard.sha256:
            return False
        with suppress(PermissionError):  # another user's index: the hash decides the next time too
            os.utime(index, ns=(found.st_atime_ns, found.st_mtime_ns))
    return True


def _refuse_damages(parts: Sequence[IndexedTar]) -> None:
    """Raise InputError where one is damaged, or two share a key."""
    damages = [damage for part in parts for damage in part.damages]
    indexes = [(part.shard.name, part.index) for part in parts if part.index]
    if not _all_different([index for _, index in indexes]):
        owners: dict[str, str] = {}
        for name, index in indexes:
            damages += shared_keys(owners, name, index.keys, index.offsets.tolist())
    if damages:
        listed = "; ".join(str(damage) for damage in damages[:MAX_LISTED])
        raise InputError(f"{len(damages)} faults in tars without a manifest: {listed}. Mend or leave out these tars")


def _all_different(indexes: Sequence[ShardIndex]) -> bool:
    """Whether no key is in two of them; told fast, as millions of keys are looked at."""
    hashes = np.sort(np.concatenate([np.zeros(0, np.uint64), *(index.key_hashes for index in indexes)]))
    if (hashes[1:] != hashes[:-1]).all():
        return True
    keys: set[str] = set()
    for index in indexes:
        keys.update(index.keys)
    return len(keys) == sum(map(len, indexes))


def _write_index(tar: Path, indexed: IndexedTar, folder: Path) -> None:
    assert indexed.index is not None, tar
    if indexed.left_out:
        _log.warning("left out of %s: %s", tar.name, indexed.left_out)
    path = folder / index_name(tar.name)
    with whole_file(path) as unfinished:  # other jobs may read the one that it replaces
        unfinished.write_bytes(indexed.index.encode())
    os.utime(path, ns=(indexed.mtime_ns, indexed.mtime_ns))
    if folder != tar.parent:
        link = folder / tar.name
        link.unlink(missing_ok=True)
        link.symlink_to(tar)


def _classes(parts: Sequence[IndexedTar]) -> int:
    """Number of classes; 0 where an image has no label."""
    labels = np.concatenate([part.index.labels for part in parts if part.index])
    without = int((labels == NO_LABEL).sum())
    if 0 < without < len(labels):
        _log.warning("%d of %d images have no label, so these count as unlabelled", without, len(labels))
    return 0 if without else 1 + int(labels.max())


def _index_folder(tars: Sequence[Path]) -> Path:
    """The tars' own folder, or for folders of others a cache folder that belongs to these very files."""
    folder = tars[0].parent
    alone = {path.name for path in folder.glob("*.tar")} == {tar.name for tar in tars}
    if alone and os.access(folder, os.W_OK):
        return folder
    stats = [(str(tar), tar.stat().st_size, tar.stat().st_mtime_ns) for tar in tars]
    name = hashlib.sha256(repr(stats).encode()).hexdigest()[:16]
    return private_folder(Path("~/.cache/dcgan_dist/indexes").expanduser() / name)


def _common_size(tar: Path, contents: TarContents) -> int:
    """Pixels per side if all images are squares of one size, else 0; only headers are read."""
    sizes: set[tuple[int, int]] = set()
    with tar.open("rb") as file:
        for offset, size in zip(contents.offsets, contents.sizes, strict=True):
            file.seek(offset)
            try:
                sizes.add(stored_size(file.read(min(size, MAX_ENCODED_BYTES))))
            except ImageFault:
                continue  # the stream and the inspection name it
            if len(sizes) > 1:
                return 0
    return next(iter(sizes))[0] if len(sizes) == 1 and len(set(*sizes)) == 1 else 0
