"""Near duplicates planted into any source, with the truth about each in its .json member: to measure what is found."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dcgan_dist.data.shards.writer import Sample
from dcgan_dist.errors import InputError
from dcgan_dist.prepare.attacks import ATTACKS, attack
from dcgan_dist.prepare.sources.base import Item, Rejected, Source


class Planted(NamedTuple):
    """Where a near duplicate comes from."""

    original: Item
    attack: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class PlantedSource(Source):
    """A source of which some items are near duplicates of others instead of what they were, by all attacks in turn.

    No image has two copies, and no copy is copied. Details of a copy: `copy_of` (a key) and `attack`.
    """

    inner: Source
    share: float
    """Share of the items that become copies, 0 to 0.5."""

    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.inner.class_names()

    def items(self) -> Sequence[Item]:
        """The inner source's items, some of them planted."""
        if not 0 <= self.share <= 0.5:
            raise InputError(f"`duplicates` {self.share} must lie between 0 and 0.5: every copy needs an original")
        items = list(self.inner.items())
        order = np.random.default_rng(0).permutation(len(items)).tolist()
        copies = int(len(items) * self.share)
        for number, (copy, original) in enumerate(zip(order[:copies], order[copies:], strict=False)):
            name = list(ATTACKS)[number % len(ATTACKS)]
            place = Planted(original=items[original], attack=name, seed=number)
            items[copy] = items[copy]._replace(ref=place, label=items[original].label)
        return items

    def read(self, item: Item) -> Iterator[Sample | Rejected]:
        """One item of the inner source, or a near duplicate of one."""
        if not isinstance(item.ref, Planted):
            yield from self.inner.read(item)
            return
        original, name, seed = item.ref
        for sample in self.inner.read(original):
            if isinstance(sample, Rejected):
                yield Rejected(key=item.key, reason=sample.reason)
                continue
            truth = (sample.details or {}) | {"copy_of": original.key, "attack": name}
            yield dataclasses.replace(sample, key=item.key, pixels=attack(name, sample.pixels, seed), details=truth)

    def describe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Preprocessing and origin."""
        preprocessing, origin = self.inner.describe()
        return preprocessing, origin | {"near_duplicates_planted": self.share}


def plant_duplicates(source: Source, share: float) -> Source:
    """The source with that share (0 to 0.5) of near duplicates; itself where the share is 0."""
    if not share:
        return source
    fields = {name: getattr(source, name) for name in ("dataset", "image_size", "image_channels", "encoding")}
    return PlantedSource(inner=source, share=share, **fields)
