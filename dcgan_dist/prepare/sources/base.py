"""What every source offers to the preparation of shards."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from dcgan_dist.data.shards.writer import Encoding, Sample


class Item(NamedTuple):
    """One thing that a source can read: an image, or a photograph that may hold several."""

    key: str
    """Unique and escaped."""
    ref: Any
    """The source's own word for where it is."""
    split: str = ""
    """Official split; empty: the held-out share decides."""
    label: int | None = None
    """Class number from 0, where the listing knows it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """An item that gave no sample, and why."""

    key: str
    reason: str


class Source(Protocol):
    """A form in which people have images. Instances travel to other processes, without what they have read."""

    @property
    def dataset(self) -> str:
        """Name of the data set."""
        ...

    @property
    def image_size(self) -> int:
        """Pixels per side of what it gives."""
        ...

    @property
    def image_channels(self) -> int:
        """1 or 3."""
        ...

    @property
    def encoding(self) -> Encoding:
        """How its images are stored in the samples layout."""
        ...

    def class_names(self) -> tuple[str, ...]:
        """Names of the classes; empty where there are none."""
        ...

    def items(self) -> Sequence[Item]:
        """Everything there is, always in the same order.

        Raises:
            InputError: there is nothing, or it cannot be read.
        """
        ...

    def read(self, item: Item) -> Iterator[Sample | Rejected]:
        """The samples of one item, or why there is none."""
        ...

    def describe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Preprocessing and origin for the manifest, without paths of this machine."""
        ...


class TravelsLight:
    """A dataclass that leaves what it has read behind when it goes to another process."""

    def __getstate__(self) -> dict[str, Any]:
        """Its fields only."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class UnlabelledSource(TravelsLight):
    """Images in colour without labels, stored as JPEG."""

    image_channels: int = 3
    encoding: Encoding = "jpeg"

    def class_names(self) -> tuple[str, ...]:
        """None."""
        return ()
