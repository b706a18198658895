"""What is prepared: one task per output shard and its result; all of it is known before any image is read."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dcgan_dist.data.shards.images import DARK, FRAMES
from dcgan_dist.data.shards.keys import held_out
from dcgan_dist.data.shards.schema import MANIFEST_NAME, Manifest, Shard
from dcgan_dist.errors import require
from dcgan_dist.prepare.preparations import ShardOptions
from dcgan_dist.prepare.sources.base import Item, Rejected, Source

REJECTED_NAME = "rejected.json"
REMARKS_NAME = "remarks.json"
REMARKS = {
    DARK: "images of 16 bits a pixel have no value above 4095, as images of 12 bits have, and came out nearly black: if so, "
    "convert them to 8 bits, or write their depth into them (PNG: sBIT, TIFF: BitsPerSample)",
    FRAMES: "images are the first of several pages or frames in their files; the others were left out",
}
"""What the summary says after the number of samples that have each remark."""
SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardTask:
    """One output shard and the items that it is made of."""

    name: str
    split: str
    items: Sequence[Item]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardResult:
    """What became of one output shard."""

    shard: Shard | None
    """None where no item gave a sample."""
    rejected: tuple[Rejected, ...]
    items_by_samples: dict[str, int]
    """How many items gave 0, 1, 2, ... samples."""
    remarks: dict[str, int] = field(default_factory=dict)
    """How many samples have each remark."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A finished preparation."""

    manifest: Manifest
    rejected: tuple[Rejected, ...]
    items_by_samples: dict[str, int]
    remarks: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """What the job writes as result.json."""
        manifest = self.manifest
        return {
            "manifest": f"{manifest.location}/{MANIFEST_NAME}",
            "manifest_hash": manifest.hash,
            "samples": {split: manifest.split(split).samples for split in manifest.splits},
            "shards": len(manifest.shards),
            "bytes": sum(shard.bytes for shard in manifest.shards),
            "image_size": manifest.image_size,
            "layout": manifest.layout,
            "classes": manifest.classes,
            "items_by_samples": self.items_by_samples,
            "rejected": len(self.rejected),
            **{name: self.remarks.get(name, 0) for name in REMARKS},
        }

    def __str__(self) -> str:
        manifest = self.manifest
        counts = ", ".join(f"{manifest.split(split).samples} {split}" for split in manifest.splits)
        megabytes = sum(shard.bytes for shard in manifest.shards) / 1e6
        # Training reads one split, and names that one's hash.
        of_train = f", of its train split {manifest.split('train').hash[:12]}" if "train" in manifest.splits else ""
        lines = [
            f"{manifest.dataset}: {counts} images of {manifest.image_size} pixels in {len(manifest.shards)} shards "
            f"({manifest.layout}, {megabytes:.1f} MB)",
            f"manifest {manifest.location}/{MANIFEST_NAME}, hash {manifest.hash[:12]}{of_train}",
        ]
        if set(self.items_by_samples) - {"0", "1"}:
            per_item = ", ".join(f"{k}: {n}" for k, n in sorted(self.items_by_samples.items(), key=lambda x: int(x[0])))
            lines.append(f"images found per photograph: {per_item}")
        if self.rejected:
            first = self.rejected[0]
            lines.append(
                f"{len(self.rejected)} items gave no image, listed in {REJECTED_NAME}; {first.key}: {first.reason}"
            )
        lines += [f"{self.remarks[name]} {meaning}" for name, meaning in REMARKS.items() if self.remarks.get(name)]
        return "\n".join(lines)


def plan_shards(source: Source, options: ShardOptions) -> list[ShardTask]:
    """Deal a source's items to output shards: each split in source order, `shard_samples` items per shard.

    Raises:
        InputError: there is no item, or none can be listed.
    """
    splits: dict[str, list[Item]] = {}
    items = source.items()
    require(bool(items), f"the files of {source.dataset} hold no image: fetch them again")
    for item in items:
        split = item.split or ("val" if held_out(item.key, options.val_fraction) else "train")
        splits.setdefault(split, []).append(item)
    size = options.shard_samples
    return [
        ShardTask(
            name=f"{source.dataset}-{split}-{first // size:06d}.tar",
            split=split,
            items=splits[split][first : first + size],
        )
        for split in sorted(splits, key=SPLITS.index)
        for first in range(0, len(splits[split]), size)
    ]


def fingerprint(source: Source, options: ShardOptions, tasks: Sequence[ShardTask]) -> str:
    """Hash of everything that decides what the shards hold; part of the manifest."""
    digest = hashlib.sha256()
    settings = [source.dataset, source.encoding, source.class_names(), options.layout, *source.describe()]
    digest.update(json.dumps(settings, sort_keys=True).encode())
    for task in tasks:
        digest.update(f"\n{task.name}\n".encode())
        digest.update("\n".join(f"{item.key} {item.label}" for item in task.items).encode())
    return digest.hexdigest()
