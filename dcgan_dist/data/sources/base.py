"""What every source offers to the preparation of shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from dcgan_dist.data.writer import Encoding, Sample


class Item(NamedTuple):
    """One thing that a source can read: an image, or a photograph that may hold several."""

    key: str
    """Unique and escaped."""
    ref: int
    """The source's own number for it."""
    split: str = ""
    """Official split; empty: the held-out share decides."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """An item that gave no sample, and why."""

    key: str
    reason: str


class Source(Protocol):
    """A form in which people have images. Instances travel to other processes."""

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

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes; empty where there are none."""
        ...

    def items(self) -> Sequence[Item]:
        """Everything there is, always in the same order.

        Raises:
            InputError: there is nothing, or it cannot be read.
        """
        ...

    def read(self, items: Sequence[Item]) -> Iterator[Sample | Rejected]:
        """The samples of these items, in order."""
        ...

    def describe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Preprocessing and origin for the manifest, without paths of this machine."""
        ...
