"""What every source offers to the preparation of shards."""

import dataclasses
import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from dcgan_dist.data.shards.writer import Encoding, Sample
from dcgan_dist.prepare.sources.image_files import walk_links


class Item(NamedTuple):
    """One thing that a source can read: an image, or a photograph that may hold several."""

    key: str
    """Unique and escaped."""
    ref: Any
    """Where it is, in a form that its source understands."""
    split: str = ""
    """Official split; empty: the held-out share decides."""
    label: int | None = None
    """Class number from 0, where the listing knows it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """An item that gave no sample, and why."""

    key: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Source(ABC):
    """A form in which people have images. Instances travel to other processes, without what they have read."""

    dataset: str
    """Name of the data set."""
    image_size: int
    """Pixels per side of the images; 0 where they differ."""
    image_channels: Literal[1, 3] = 3
    """1 or 3."""
    encoding: Encoding = "jpeg"
    """How images are stored in the samples layout."""

    def class_names(self) -> tuple[str, ...]:
        """Names of the classes; empty where there are none."""
        return ()

    def classes(self) -> int:
        """How many classes there are; 0: no labels."""
        return len(self.class_names())

    def state(self) -> str:
        """Hash over names, sizes and times of the files that the images come from: another one where a file has changed."""
        digest = hashlib.sha256()
        for path in (
            *getattr(self, "paths", ()),
            *getattr(self, "files", ()),
            *filter(None, [getattr(self, "path", "")]),
        ):
            root = Path(path).expanduser()
            walked = walk_links(root) if root.is_dir() else [(str(root.parent), [], [root.name])]
            for folder, _, names in walked:
                for name in names:
                    try:
                        status = os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118  millions of files
                    except OSError:  # what cannot be read is refused where it is
                        continue
                    digest.update(os.fsencode(f"{name}\0{status.st_size} {status.st_mtime_ns}\n"))
        return digest.hexdigest()

    @abstractmethod
    def items(self) -> Sequence[Item]:
        """Everything there is, always in the same order.

        Raises:
            InputError: there is nothing, or it cannot be read.
        """

    @abstractmethod
    def read(self, item: Item) -> Iterator[Sample | Rejected]:
        """The samples of one item, or why there is none."""

    @abstractmethod
    def describe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Preprocessing and origin for the manifest, without paths of this machine."""

    def __getstate__(self) -> dict[str, Any]:
        """The fields only: what has been read stays behind."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
