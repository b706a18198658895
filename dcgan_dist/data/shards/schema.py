"""The manifest: which shards make up a data set, what they hold, and how they were made."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Le

from dcgan_dist.errors import InputError
from dcgan_dist.files import content_hash, whole_file
from dcgan_dist.untrusted import Count, FileName, Name, parse_json, refusing

FORMAT = 1
MANIFEST_NAME = "manifest.json"
MOST_SIDE = 1 << 13
Layout = Literal["samples", "blocks"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One tar of a data set."""

    name: FileName
    """Beside the manifest."""
    split: Name
    """train, val or test."""
    samples: Count
    """Images in it."""
    bytes: Count
    """Size of the tar."""
    sha256: str
    """Hash of the tar's bytes, hex."""
    index_sha256: str
    """Hash of its index file's bytes, hex."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a folder of shards holds."""

    dataset: Name
    """Name of the data set, such as lsun."""
    image_size: Annotated[int, Ge(0), Le(MOST_SIDE)]
    """Pixels per side of every image; 0 where they differ."""
    image_channels: Literal[1, 3]
    """3 for colour, 1 for grey."""
    layout: Layout
    """samples: one encoded image per member; blocks: a member holds the uint8 images of many samples."""
    shards: tuple[Shard, ...]
    """In order; a sample's manifest position counts through them."""
    preprocessing: dict[str, Any] = field(default_factory=dict)
    """What was done to the images."""
    source: dict[str, Any] = field(default_factory=dict)
    """Where the images came from, without paths of the machine."""
    classes: Count = 0
    """Number of classes; 0: unlabelled."""
    class_names: tuple[Name, ...] = ()
    """Name of each class, where known."""
    location: str = field(default="", compare=False)
    """Folder or URI that the shards lie in; not part of the file."""

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON, in hex: it does not change when the folder moves."""
        return content_hash(self.to_json())

    @property
    def samples(self) -> int:
        """Images in all shards."""
        return sum(shard.samples for shard in self.shards)

    @property
    def shard_samples(self) -> tuple[int, ...]:
        """Images in each shard, as the shard plan wants them."""
        return tuple(shard.samples for shard in self.shards)

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, in order of appearance."""
        return tuple(dict.fromkeys(shard.split for shard in self.shards))

    def split(self, name: str) -> Self:
        """The same data set with only the shards of one split.

        Raises:
            InputError: there is no such split.
        """
        shards = tuple(shard for shard in self.shards if shard.split == name)
        if not shards:
            raise InputError(
                f"{self.location or self.dataset} has no split {name!r}, only {', '.join(self.splits)}: "
                "name one of these, or prepare the shards again with `val_fraction`"
            )
        return dataclasses.replace(self, shards=shards)

    def to_json(self) -> dict[str, Any]:
        """The content of the manifest file."""
        content = dataclasses.asdict(self)
        del content["location"]
        return {"format": FORMAT, **json.loads(json.dumps(content))}


def parse_manifest(text: bytes, location: str) -> Manifest:
    """Read the text of a manifest file.

    Raises:
        InputError: it is torn, of another format version, or lists no sample.
    """
    place, remedy = f"{location}/{MANIFEST_NAME}", "prepare or copy the shards again"
    with refusing(f"{place} is torn or not a manifest", remedy):
        content = parse_json(text, dict[str, Any])
        version = content.pop("format")
        if version != FORMAT:
            raise InputError(f"{place} has format {version!r}, this program reads {FORMAT}: update the program")
        manifest = parse_json(json.dumps(content | {"location": location}), Manifest)
        names = [shard.name for shard in manifest.shards]
        if len(set(names)) < len(names):
            raise ValueError("it lists a shard twice")
        if any(shard.samples > shard.bytes for shard in manifest.shards):
            raise ValueError("a shard has more samples than bytes")
    if not manifest.samples:
        raise InputError(f"{place} lists no sample: prepare the shards again from a source that has images")
    return manifest


def write_manifest(manifest: Manifest, folder: Path) -> Path:
    """Write manifest.json in one step, so that a reader finds all of it or none."""
    path = folder / MANIFEST_NAME
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(manifest.to_json(), indent=1) + "\n", encoding="utf-8")
    return path
