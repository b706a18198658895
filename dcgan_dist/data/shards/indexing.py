"""Tars without a manifest, someone's own or img2dataset's: look at every member once, then they are a data set."""

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dcgan_dist.data.shards.images import MAX_ENCODED_BYTES, ImageFault, read_header
from dcgan_dist.data.shards.index import MOST_LABEL, TarColumns, index_name, make_index
from dcgan_dist.data.shards.left_out import HIDDEN, LINK, LeftOut, is_hidden
from dcgan_dist.data.shards.schema import Manifest, Shard, write_manifest
from dcgan_dist.data.shards.tar_members import Damage, TarFault, is_image, split_name, walk_entries
from dcgan_dist.data.shards.writer import describe_shard
from dcgan_dist.errors import InputError
from dcgan_dist.files import private_folder

MAX_LISTED = 20

_log = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class TarContents(TarColumns):
    """What a tar holds, and what is wrong with it."""

    damages: list[Damage] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)


def read_contents(path: Path) -> TarContents:
    """Find every image of a tar with its key and label, and every fault of structure and naming."""
    contents = TarContents()
    rows: dict[str, int] = {}
    labels: dict[str, int] = {}

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
                elif suffix == "cls":
                    file.seek(offset)
                    text = file.read(min(size, 20))
                    if text.strip().isdigit() and int(text) <= MOST_LABEL:
                        labels[key] = int(text)
                    else:
                        damaged(name, offset, f"the label is not a decimal number from 0 to {MOST_LABEL}")
                elif is_image(suffix) and key in rows:
                    kind = "dotted key: readers merge it into" if "." in suffix else "duplicate key:"
                    damaged(name, offset, f"{kind} {key}, which has an image already")
                elif is_image(suffix):
                    rows[key] = len(contents.keys)
                    contents.add(key, offset, size, None)
                else:
                    contents.left_out.add(name)
    except TarFault as error:
        damaged(error.member, error.offset, error.fault)
    for key, row in rows.items():  # at the end: in a tar with sorted names the label stands before its image
        contents.labels[row] = labels.get(key)
    if not contents.keys and not contents.damages:
        damaged("", 0, "empty: no image in it")
    return contents


def shared_keys(owners: dict[str, str], shard: str, keys: Sequence[str], offsets: Sequence[int]) -> Iterator[Damage]:
    """The samples of a shard whose keys another one has too; `owners` says whose a key is, and is added to."""
    for key, offset in zip(keys, offsets, strict=True):
        if owners.setdefault(key, shard) != shard:
            fault = f"duplicate key: {owners[key]} has it too"
            yield Damage(shard=shard, member=key, offset=offset, fault=fault)


def index_tars(tars: Sequence[Path], name: str) -> Manifest:
    """Make manifest and indexes of plain tars, beside them where that can be written, else in the user's cache.

    Raises:
        InputError: a tar is damaged, or keys are twice or merge; the message lists them.
    """
    contents_of_tars = [(tar, read_contents(tar)) for tar in tars]
    damages = [damage for _, contents in contents_of_tars for damage in contents.damages]
    owners: dict[str, str] = {}
    for tar, contents in contents_of_tars:
        damages += shared_keys(owners, tar.name, contents.keys, contents.offsets)
    if damages:
        listed = "; ".join(str(damage) for damage in damages[:MAX_LISTED])
        raise InputError(f"{len(damages)} faults in tars without a manifest: {listed}. Mend or leave out these tars")

    folder = _index_folder(tars)
    shards = [_index_tar(tar, contents, folder) for tar, contents in contents_of_tars]
    labels = [label for _, contents in contents_of_tars for label in contents.labels]
    for tar, contents in contents_of_tars:
        if contents.left_out:
            _log.warning("left out of %s: %s", tar.name, contents.left_out)
    without = labels.count(None)
    labelled = without == 0
    if 0 < without < len(labels):
        _log.warning("%d of %d images have no label, so these count as unlabelled", without, len(labels))
    manifest = Manifest(
        dataset=name,
        image_size=_common_size(contents_of_tars),
        image_channels=3,
        layout="samples",
        shards=tuple(shards),
        preprocessing={"stored": "as found"},
        source={"kind": "tars without a manifest"},
        classes=1 + max(label for label in labels if label is not None) if labelled else 0,
        location=str(folder),
    )
    write_manifest(manifest, folder)
    return manifest


def _index_tar(tar: Path, contents: TarContents, folder: Path) -> Shard:
    (folder / index_name(tar.name)).write_bytes(make_index(tar, contents).encode())
    if folder != tar.parent:
        link = folder / tar.name
        link.unlink(missing_ok=True)
        link.symlink_to(tar)
    return describe_shard(folder / tar.name, "train", len(contents.keys))


def _index_folder(tars: Sequence[Path]) -> Path:
    """The tars' own folder, or for folders of others a cache folder that belongs to these very files."""
    folder = tars[0].parent
    alone = {path.name for path in folder.glob("*.tar")} == {tar.name for tar in tars}
    if alone and os.access(folder, os.W_OK):
        return folder
    stats = [(str(tar), tar.stat().st_size, tar.stat().st_mtime_ns) for tar in tars]
    name = hashlib.sha256(repr(stats).encode()).hexdigest()[:16]
    return private_folder(Path("~/.cache/dcgan_dist/indexes").expanduser() / name)


def _common_size(contents_of_tars: Sequence[tuple[Path, TarContents]]) -> int:
    """Pixels per side if all images are squares of one size, else 0; only headers are read."""
    sizes: set[tuple[int, int]] = set()
    for tar, contents in contents_of_tars:
        with tar.open("rb") as file:
            for offset, size in zip(contents.offsets, contents.sizes, strict=True):
                file.seek(offset)
                try:
                    with read_header(file.read(min(size, MAX_ENCODED_BYTES))) as image:
                        sizes.add(image.size)
                except ImageFault:
                    continue  # the stream and the inspection name it
                if len(sizes) > 1:
                    return 0
    return next(iter(sizes))[0] if len(sizes) == 1 and len(set(*sizes)) == 1 else 0
