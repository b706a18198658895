"""Which samples stay: of near duplicates the one of highest resolution, then the one with the first key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.data.shards.keep_list import Dropped, KeepList
from dcgan_dist.dedup.corpus import Corpus
from dcgan_dist.dedup.groups import Rows, components, leader_clusters
from dcgan_dist.dedup.pair_files import ScoredPairs


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Choice:
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
    def kept(self) -> NDArray[np.bool_]:
        """(n,) rows that stay."""
        return ~(self.near_duplicates | self.unreadable)


def choose(
    corpus: Corpus,
    duplicates: ScoredPairs,
    *,
    keys: NDArray[np.bytes_],
    resolution: Rows,
    unreadable: NDArray[np.bool_],
) -> Choice:
    """Group near duplicates and let the best of each group stay; protected rows always stay.

    Args:
        corpus: the data sets.
        duplicates: pairs that show the same.
        keys: (n,) of all rows.
        resolution: (n,) pixels of the originals.
        unreadable: (n,) rows that cannot be used; no pair has one.
    """
    n = len(corpus)
    rows = np.unique(np.concatenate([duplicates.first, duplicates.second]))
    order = rows[np.lexsort((rows, keys[rows], -resolution[rows]))]
    return Choice(
        leaders=leader_clusters(n, duplicates.first, duplicates.second, order, corpus.protected),
        components=components(n, duplicates.first, duplicates.second),
        unreadable=unreadable & ~corpus.protected,
    )


def removed_by_radius(
    corpus: Corpus, duplicates: ScoredPairs, radii: list[int], *, keys: NDArray[np.bytes_], resolution: Rows
) -> list[int]:
    """How many near duplicates would go at each radius."""
    nothing = np.zeros(len(corpus), bool)
    counts = []
    for radius in radii:
        near = duplicates.where(duplicates.distances <= radius)
        choice = choose(corpus, near, keys=keys, resolution=resolution, unreadable=nothing)
        counts.append(int(choice.near_duplicates.sum()))
    return counts


def keep_lists(
    corpus: Corpus,
    choice: Choice,
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
        choice: what stays.
        duplicates: pairs that show the same.
        keys: (n,) as they are in the shards.
        names: (n,) keys that no other sample of the corpus has.
        faults: row -> why it could not be read.
        radius: bits.
        rule: what else decides: names and hashes, for the counts.
    """
    lists, kept, starts = [], choice.kept, corpus.part_starts
    for part, first, end in zip(corpus.parts, starts, starts[1:], strict=False):
        if part.protected:
            continue
        gone = choice.near_duplicates[first:end]
        counts = {
            "samples": int(end - first),
            "kept": int(kept[first:end].sum()),
            "near duplicates": int(gone.sum()),
            "unreadable": int(choice.unreadable[first:end].sum()),
        }
        dropped = sorted(_dropped(choice, duplicates, keys, names, faults, int(first), int(end)))
        positions = np.flatnonzero(kept[first:end])
        lists.append(
            KeepList(
                manifest_hash=part.manifest.hash,
                positions=positions,
                radius=radius,
                counts=counts | rule,
                dropped=dropped,
            )
        )
    return lists


def _dropped(
    choice: Choice,
    duplicates: ScoredPairs,
    keys: NDArray[np.bytes_],
    names: NDArray[np.bytes_],
    faults: dict[int, str],
    first: int,
    end: int,
) -> Iterator[Dropped]:
    rows = first + np.flatnonzero(choice.near_duplicates[first:end])
    leaders = choice.leaders[rows]
    at = find_pairs(duplicates, np.minimum(rows, leaders), np.maximum(rows, leaders), len(keys))
    for row, leader, pair in zip(rows.tolist(), leaders.tolist(), at.tolist(), strict=True):
        yield Dropped(
            position=row - first,
            key=bytes(keys[row]).decode(),
            reason="near duplicate",
            kept=bytes(names[leader]).decode(),
            distance=int(duplicates.distances[pair]),
            score=round(float(duplicates.scores[pair]), 3),
        )
    for row in np.flatnonzero(choice.unreadable[first:end]).tolist():
        yield Dropped(position=row, key=bytes(keys[first + row]).decode(), reason=f"unreadable: {faults[first + row]}")


def find_pairs(pairs: ScoredPairs, first: Rows, second: Rows, n: int) -> Rows:
    """Where each of some pairs lies among ordered pairs of n rows, all of which are there."""
    return np.searchsorted(pairs.first * n + pairs.second, first * n + second)
