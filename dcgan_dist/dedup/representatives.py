"""Which samples stay: the representative of each cluster of near duplicates has the highest resolution, then the first key."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.data.shards.keep_list import Dropped, KeepList
from dcgan_dist.dedup.corpus import Corpus
from dcgan_dist.dedup.groups import Rows, components, leader_clusters
from dcgan_dist.dedup.make_shards import Originals
from dcgan_dist.dedup.pair_files import ScoredPairs


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Representatives:
    """What stays of a corpus, and why the rest goes."""

    leaders: Rows
    """(n,) the row that stays in each row's place: itself where it stays or could not be read."""
    components: Rows
    """(n,) smallest row of each row's connected component."""
    unreadable: NDArray[np.bool_]
    """(n,) rows that go because they could not be read."""

    @property
    def near_duplicates(self) -> NDArray[np.bool_]:
        """(n,) rows that go because another stays."""
        return self.leaders != np.arange(len(self.leaders))

    @property
    def stays(self) -> NDArray[np.bool_]:
        """(n,) rows that stay."""
        return ~(self.near_duplicates | self.unreadable)


def choose_representatives(
    corpus: Corpus, keys: NDArray[np.bytes_], originals: Originals, duplicates: ScoredPairs
) -> Representatives:
    """Cluster near duplicates and let the best of each cluster stay; protected rows always stay.

    Args:
        corpus: the data sets.
        keys: (n,) of all rows.
        originals: with the resolution of each, and which cannot be read; no pair has one of these.
        duplicates: pairs that show the same.
    """
    rows, first, second, order = ranked(keys, originals, duplicates)
    leaders, groups = np.arange(len(corpus)), np.arange(len(corpus))
    leaders[rows] = rows[leader_clusters(len(rows), first, second, order, corpus.protected[rows])]
    groups[rows] = rows[components(len(rows), first, second)]
    return Representatives(
        leaders=leaders,
        components=groups,
        unreadable=originals.unreadable & ~corpus.protected,
    )


class Ranked(NamedTuple):
    """The few rows that have a near duplicate, as these alone need be looked at."""

    rows: Rows
    """(m,) of the corpus."""
    first: Rows
    """(k,) place in `rows` of one end of every pair."""
    second: Rows
    """(k,) of the other."""
    order: Rows
    """(m,) places in `rows`, the best row first."""


def ranked(keys: NDArray[np.bytes_], originals: Originals, duplicates: ScoredPairs) -> Ranked:
    """Which rows have a near duplicate, by resolution and key."""
    rows, places = np.unique(np.concatenate([duplicates.first, duplicates.second]), return_inverse=True)
    first, second = np.split(places, 2)
    return Ranked(rows, first, second, np.lexsort((rows, keys[rows], -originals.resolution[rows])))


def number_removed(near: Ranked, protected: NDArray[np.bool_], counted: NDArray[np.bool_]) -> int:
    """How many images would go if only some of the pairs counted.

    Args:
        near: the rows with their pairs.
        protected: (n,) rows of the corpus that always stay.
        counted: (k,) which pairs count.
    """
    first, second = near.first[counted], near.second[counted]
    leaders = leader_clusters(len(near.rows), first, second, near.order, protected[near.rows])
    return int((leaders != np.arange(len(leaders))).sum())


def keep_lists(
    corpus: Corpus,
    chosen: Representatives,
    duplicates: ScoredPairs,
    *,
    keys: NDArray[np.bytes_],
    names: NDArray[np.bytes_],
    faults: dict[int, str],
    radius: int,
    rule: dict[str, Any],
) -> list[KeepList]:
    """One keep list for each part that is thinned out.

    Args:
        corpus: the data sets.
        chosen: what stays.
        duplicates: pairs that show the same, ascending.
        keys: (n,) as they are in the shards.
        names: (n,) keys that no other sample of the corpus has.
        faults: row -> why it could not be read.
        radius: bits.
        rule: what else decides: names and hashes, for the counts.
    """
    lists, starts = [], corpus.part_starts.tolist()
    for part, first, end in zip(corpus.parts, starts, starts[1:], strict=False):
        if part.protected:
            continue
        positions = np.flatnonzero(chosen.stays[first:end])
        counts = {
            "samples": end - first,
            "kept": len(positions),
            "near duplicates": int(chosen.near_duplicates[first:end].sum()),
            "unreadable": int(chosen.unreadable[first:end].sum()),
        }
        lists.append(
            KeepList(
                manifest_hash=part.manifest.hash,
                positions=positions,
                radius=radius,
                counts=counts | rule,
                dropped=sorted(_dropped(chosen, duplicates, keys, names, faults, first, end)),
            )
        )
    return lists


def _dropped(
    chosen: Representatives,
    duplicates: ScoredPairs,
    keys: NDArray[np.bytes_],
    names: NDArray[np.bytes_],
    faults: dict[int, str],
    first: int,
    end: int,
) -> Iterator[Dropped]:
    rows = first + np.flatnonzero(chosen.near_duplicates[first:end])
    leaders = chosen.leaders[rows]
    numbers = np.minimum(rows, leaders) * len(keys) + np.maximum(rows, leaders)
    pairs = duplicates.where(np.searchsorted(duplicates.first * len(keys) + duplicates.second, numbers))
    columns = (rows - first, keys[rows], names[leaders], pairs.distances, pairs.scores)
    for position, key, kept, distance, score in zip(*(column.tolist() for column in columns), strict=True):
        yield Dropped(position, key.decode(), "near duplicate", kept.decode(), distance, round(score, 3))
    for row in (first + np.flatnonzero(chosen.unreadable[first:end])).tolist():
        yield Dropped(position=row - first, key=bytes(keys[row]).decode(), reason=f"unreadable: {faults[row]}")
