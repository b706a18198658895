"""A full check of a data set against its manifest: every damaged shard and sample, found and named."""

import hashlib
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.data.shards.images import ImageFault, decode
from dcgan_dist.data.shards.index import NO_LABEL, ShardIndex, gaps_and_images, index_name
from dcgan_dist.data.shards.index_table import load_index
from dcgan_dist.data.shards.indexing import read_contents, shared_keys
from dcgan_dist.data.shards.schema import Manifest, Shard
from dcgan_dist.data.shards.tar_members import Damage, Member, TarFault, walk_tar
from dcgan_dist.errors import InputError
from dcgan_dist.storage.local import LocalFolder, Storage, open_storage
from dcgan_dist.storage.scratch import scratch_folder

SHEET_IMAGES = 64
COPIED_AT_ONCE = 16 << 20


@dataclass(kw_only=True, slots=True)
class Inspection:
    """What was found."""

    manifest: Manifest
    damages: list[Damage] = field(default_factory=list)
    readable: Counter[str] = field(default_factory=Counter)
    """Good samples of each split."""
    labels: Counter[int] = field(default_factory=Counter)
    """Good samples of each class."""
    sizes: Counter[str] = field(default_factory=Counter)
    """Good samples of each size, as width x height."""
    sheet: list[NDArray[np.uint8]] = field(default_factory=list)
    """Images (h, w, c) spread over the shards, for a contact sheet."""

    def to_json(self) -> dict[str, Any]:
        """The job's result."""
        return {
            "dataset": self.manifest.dataset,
            "manifest_hash": self.manifest.hash,
            "samples": self.manifest.samples,
            "readable": dict(self.readable),
            "sizes": dict(self.sizes.most_common(20)),
            "labels": {str(label): n for label, n in sorted(self.labels.items())},
            "damages": [asdict(damage) for damage in self.damages],
        }

    def __str__(self) -> str:
        lines = [
            f"{self.manifest.dataset}: {sum(self.readable.values())} of {self.manifest.samples} samples are good "
            f"({', '.join(f'{n} {split}' for split, n in self.readable.items())})",
            "sizes: " + ", ".join(f"{size} ({n})" for size, n in self.sizes.most_common(5)),
        ]
        if self.labels:
            most, least = self.labels.most_common(1)[0], self.labels.most_common()[-1]
            lines.append(
                f"{len(self.labels)} classes; the largest is {most[0]} with {most[1]}, the smallest {least[0]} with {least[1]}"
            )
        lines.append(f"{len(self.damages)} faults" if self.damages else "no fault found")
        return "\n".join(lines + [f"  {damage}" for damage in self.damages])


def inspect(manifest: Manifest, progress: Callable[[int], object] = lambda samples: None) -> Inspection:
    """Check every byte and decode every image of a data set on a local disk.

    Args:
        manifest: may be one whose shards are missing or changed (`load_manifest` with check_shards=False).
        progress: told of the samples looked at, shard by shard.

    Raises:
        InputError: a store stayed away, or refuses the credentials.
    """
    inspection = Inspection(manifest=manifest)
    owners: dict[str, str] = {}
    every = max(1, manifest.samples // SHEET_IMAGES)
    first = 0
    with closing(open_storage(manifest.location)) as storage, scratch_folder() as scratch:
        for shard in manifest.shards:
            try:
                index = load_index(storage, shard)
            except InputError as error:
                cause = error.__cause__
                if isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError):
                    raise  # the store is away, which says nothing about the data
                fault = Damage(shard=shard.name, member=index_name(shard.name), offset=0, fault=str(error))
                inspection.damages.append(fault)
            else:
                if (path := _local_shard(storage, manifest.location, shard, scratch)).is_file():
                    _check_shard(path, shard, index, inspection, range(-first % every, shard.samples, every))
                    inspection.damages += shared_keys(owners, shard.name, index.keys, index.offsets.tolist())
                else:
                    fault = f"missing, with its {shard.samples} samples"
                    inspection.damages.append(Damage(shard=shard.name, member="", offset=0, fault=fault))
            first += shard.samples
            progress(shard.samples)
    return inspection


def _local_shard(storage: Storage, location: str, shard: Shard, scratch: Path) -> Path:
    """Where a shard lies, or is copied to in the place of the one before; no file where it is missing."""
    if isinstance(storage, LocalFolder):
        return Path(location) / shard.name
    path = scratch / "shard.tar"
    path.unlink(missing_ok=True)
    try:
        size = storage.size(shard.name)
    except FileNotFoundError:
        return path
    with path.open("wb") as file:
        for offset in range(0, size, COPIED_AT_ONCE):
            file.write(storage.read(shard.name, offset, min(COPIED_AT_ONCE, size - offset)))
    return path


def _check_shard(path: Path, shard: Shard, index: ShardIndex, inspection: Inspection, pictured: range) -> None:
    """Compare every image and everything between images with the index, and decode the images."""
    faults = _Faults(path, shard.name, index)
    if len(index) != shard.samples or not len(index):
        faults.add(0, f"the index lists {len(index)} samples, the manifest {shard.samples}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        pairs = gaps_and_images(file, index.offsets.tolist(), index.sizes.tolist())
        for sample, (gap, data) in enumerate(pairs):
            offset = int(index.offsets[sample])
            if len(data) < index.sizes[sample]:
                faults.add(offset, f"cut: the shard ends at byte {file.tell()}; {len(index) - sample} samples are lost")
                break
            if zlib.crc32(gap) != index.gap_crc32[sample]:
                faults.add_between(offset - len(gap), offset)
            if zlib.crc32(data) != index.crc32[sample]:
                faults.add(offset, "bytes changed (crc32 differs)")
                continue
            try:
                pixels = _pixels(data, inspection.manifest)
            except ImageFault as error:
                faults.add(offset, str(error))
                continue
            _count(inspection, shard, int(index.labels[sample]), pixels)
            if sample in pictured:
                inspection.sheet.append(pixels)
        else:
            last = file.tell()
            if zlib.crc32(file.read()) != index.gap_crc32[-1]:
                faults.add_between(last, max(file.tell(), last + 1))
    if digest != shard.sha256 and not faults.damages:
        faults.add(0, "changed (sha256 differs), though its images are those of the index")
    if not faults.damages and inspection.manifest.layout == "samples":
        faults.damages += read_contents(path).damages
    inspection.damages += faults.damages


class _Faults:
    """Faults of one shard; the tar is walked for the members' names only when there is one."""

    def __init__(self, path: Path, shard: str, index: ShardIndex) -> None:
        self.damages: list[Damage] = []
        self._path, self._shard, self._index = path, shard, index

    def add(self, offset: int, fault: str, member: str = "") -> None:
        """Note a fault in the member, or else the sample, that begins at an offset."""
        sample = np.flatnonzero(self._index.offsets == offset)
        key = self._index.key(int(sample[0])) if len(sample) else ""
        member = member or next((file.name for file in self._walked[0] if file.offset == offset), key)
        self.damages.append(Damage(shard=self._shard, member=member, offset=offset, fault=fault))

    def add_between(self, first: int, end: int) -> None:
        """Note changed bytes outside the images: a broken header, or one of the other members there."""
        members, broken = self._walked
        if broken is not None and first <= broken.offset < end:
            return self.add(broken.offset, broken.fault, broken.member)
        inside = [member for member in members if first <= member.header < end] or [
            member for member in members if member.offset <= first
        ][-1:]
        names = ", ".join(member.name for member in inside)
        return self.add(inside[0].header if inside else first, "bytes changed in a header, label or detail", names)

    @cached_property
    def _walked(self) -> tuple[list[Member], TarFault | None]:
        members: list[Member] = []
        try:
            members.extend(walk_tar(self._path))  # keeps the members before a fault
        except TarFault as error:
            return members, error
        return members, None


def _pixels(data: bytes, manifest: Manifest) -> NDArray[np.uint8]:
    if manifest.layout == "samples":
        return decode(data, 3)
    shape = manifest.image_channels, manifest.image_size, manifest.image_size
    return np.frombuffer(data, np.uint8).reshape(shape).transpose(1, 2, 0)


def _count(inspection: Inspection, shard: Shard, label: int, pixels: NDArray[np.uint8]) -> None:
    inspection.readable[shard.split] += 1
    inspection.sizes[f"{pixels.shape[1]}x{pixels.shape[0]}"] += 1
    if label != NO_LABEL:
        inspection.labels[label] += 1
