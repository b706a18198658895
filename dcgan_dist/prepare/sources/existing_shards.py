"""Samples of existing shards, byte for byte: those that a keep list leaves."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.data.shards.images import SUFFIXES_BY_FORMAT, ImageFault, read_header
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.data.shards.stored_samples import ShardSamples, StoredSample
from dcgan_dist.data.shards.writer import Sample
from dcgan_dist.errors import require
from dcgan_dist.prepare.sources.base import Item, Rejected, Source

_OPEN_SHARDS = 4


@dataclass(frozen=True, kw_only=True)
class ShardSource(Source):
    """Chosen samples of some manifests, in order."""

    manifests: tuple[Manifest, ...]
    """Data sets of one layout, number of channels and list of classes; each a split."""
    positions: tuple[NDArray[np.int64], ...]
    """Manifest positions of each that stay, ascending."""
    keys: tuple[NDArray[np.bytes_], ...]
    """Keys of those, no two equal."""
    origin: dict[str, Any]
    """Why these, for the new manifest: hashes and the like."""

    def __post_init__(self) -> None:
        check_alike(self.manifests)

    def class_names(self) -> tuple[str, ...]:
        """As in the first manifest."""
        return self.manifests[0].class_names

    def classes(self) -> int:
        """As many as the manifest with the most has, named or not; 0 where one has no labels."""
        numbers = [manifest.classes for manifest in self.manifests]
        return max(numbers) if min(numbers) else 0

    def items(self) -> Sequence[Item]:
        """One item per sample that stays."""
        items: list[Item] = []
        for number, manifest in enumerate(self.manifests):
            ends = np.cumsum(manifest.shard_samples)
            starts = ends - manifest.shard_samples
            shards = np.searchsorted(ends, self.positions[number], side="right")
            rows = self.positions[number] - starts[shards]
            for key, shard, row in zip(self.keys[number].tolist(), shards.tolist(), rows.tolist(), strict=True):
                items.append(Item(key.decode(), (number, shard, row), manifest.shards[shard].split))
        return items

    def read(self, item: Item) -> Iterator[Sample | Rejected]:
        """Copy one sample with its label and details."""
        number, shard, row = item.ref
        samples = self._opened(number, shard)
        try:
            stored = samples.read(row)
            yield _copy(stored, item.key, next(samples.details([row])))
        except ImageFault as error:
            yield Rejected(key=item.key, reason=str(error))

    def describe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Preprocessing of the first manifest; origin: the parents."""
        parents = [manifest.hash for manifest in self.manifests]
        return self.manifests[0].preprocessing, {"kind": "shards", "parents": parents, **self.origin}

    @cached_property
    def _shards(self) -> dict[tuple[int, int], ShardSamples]:
        return {}

    def _opened(self, number: int, shard: int) -> ShardSamples:
        if (number, shard) not in self._shards:
            if len(self._shards) >= _OPEN_SHARDS:
                self._shards.pop(next(iter(self._shards))).__exit__()
            self._shards[number, shard] = ShardSamples(self.manifests[number], shard)
        return self._shards[number, shard]


def check_alike(manifests: Iterable[Manifest]) -> None:
    """Refuse data sets whose samples cannot be in one.

    Raises:
        InputError: they differ in layout, channels, classes, or size of their blocks.
    """
    forms = {
        (data.layout, data.image_channels, data.class_names, data.image_size if data.layout == "blocks" else 0)
        for data in manifests
    }
    require(
        len(forms) == 1,
        "`rewrite`: data sets of different layout, channels, classes or block size cannot become one: rewrite each by "
        "itself, or leave `rewrite` out",
    )


def _copy(stored: StoredSample, key: str, details: dict[str, Any] | None) -> Sample:
    if stored.shape is not None:
        return Sample(key=key, pixels=stored.pixels().transpose(1, 2, 0), label=stored.label, details=details)
    with read_header(stored.data) as image:
        suffix = SUFFIXES_BY_FORMAT[image.format or ""][0]
    nothing = np.zeros((0, 0, 3), np.uint8)
    return Sample(key=key, pixels=nothing, label=stored.label, details=details, encoded=(suffix, stored.data))
