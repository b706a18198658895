"""Verified pairs on disk: which shards were searched against which, and every pair within the radius with its score.

What one file covers need not be searched again, whatever shards come later. Pairs that flipped images find are kept alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.dedup.corpus import Corpus
from dcgan_dist.dedup.shard_files import Damaged, damages_of, read_npz, write_npz
from dcgan_dist.files import content_hash

FORMAT = 1
GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: its multiples, modulo 2^64, fill the range evenly (Weyl's sequence)."""


class ScoredPairs(NamedTuple):
    """Pairs of rows of a corpus, ascending, each once; first < second, unless first is an image that was flipped."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    distances: NDArray[np.int16]
    """(k,) bits between the codes."""
    scores: NDArray[np.float32]
    """(k,) of the verifier; higher is more alike."""

    def where(self, chosen: NDArray) -> "ScoredPairs":
        """Some of the pairs, by mask or index."""
        return ScoredPairs(self.first[chosen], self.second[chosen], self.distances[chosen], self.scores[chosen])


class Search(NamedTuple):
    """Shards that are searched against themselves and against others that were searched before."""

    new: tuple[int, ...]
    """Numbers of shards in the corpus."""
    old: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PairRule:
    """What pairs depend on besides the shards."""

    names: tuple[str, ...]
    """One for each shard of the corpus, by its content."""
    hash: str
    """Hash of coder and verifier."""
    radius: int
    """Bits, inclusive."""
    queries: int | None = None
    """Greatest place in `spread_order` of the images that are flipped and searched for; None: images are searched as they are."""


def content_names(corpus: Corpus, hashes: Sequence[str]) -> tuple[str, ...]:
    """One name for each shard of a corpus, by its content and its thumbnails."""
    return tuple(f"{shard.name}-{digest[:16]}" for shard, digest in zip(corpus.shards, hashes, strict=True))


def spread_order(corpus: Corpus, names: Sequence[str]) -> NDArray[np.uint64]:
    """Place (n,) of every row in an order of which any beginning is a sample of the corpus.

    It spreads the rows that come first evenly over each shard and depends on the shard alone, so that more shards put few
    new rows among them.

    Args:
        corpus: of the rows.
        names: of its shards, as `content_names` gives them.
    """
    orders = [
        np.arange(shard.entry.samples, dtype=np.uint64) * GOLDEN_RATIO + np.uint64(int(content_hash(name)[:16], 16))
        for name, shard in zip(names, corpus.shards, strict=True)
    ]
    return np.concatenate([np.zeros(0, np.uint64), *orders])


def file_name(search: Search, rule: PairRule) -> str:
    """Name of a search: by what was searched, and how."""
    names = [[rule.names[number] for number in numbers] for numbers in search]
    queries = [] if rule.queries is None else [rule.queries]
    return content_hash([names, rule.hash, rule.radius, FORMAT, *queries])[:16]


def write_pairs(path: Path, corpus: Corpus, search: Search, rule: PairRule, pairs: ScoredPairs) -> None:
    """Write what a search found; `pairs` are rows of the corpus."""
    numbers = [*search.new, *search.old]
    local = np.zeros(len(corpus.shards), np.int64)
    lengths = [corpus.shards[number].entry.samples for number in numbers]
    local[numbers] = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    first, second, shift = pairs.first, pairs.second, local - corpus.starts[:-1]
    if shift[numbers].any():  # else the shards lie in the file as in the corpus
        shards = (np.searchsorted(corpus.starts, rows, side="right") - 1 for rows in (first, second))
        first, second = (rows + shift[of] for rows, of in zip((first, second), shards, strict=True))
    write_npz(
        path,
        format=FORMAT,
        shards=np.array([rule.names[number] for number in numbers]),
        samples=np.array(lengths, np.int64),
        new=len(search.new),
        rule=rule.hash,
        radius=rule.radius,
        **({} if rule.queries is None else {"queries": np.uint64(rule.queries)}),
        first=first,
        second=second,
        distances=pairs.distances,
        scores=pairs.scores,
    )


def known_pairs(folder: Path, corpus: Corpus, rule: PairRule) -> tuple[ScoredPairs, NDArray[np.bool_], list[str]]:
    """Everything that earlier searches found about a corpus.

    Returns:
        The pairs, for every two shards whether their pairs are all known, (shards, shards), and what is damaged.
    """
    covered = np.zeros((len(corpus.shards),) * 2, bool)
    found: list[ScoredPairs] = []
    damages: list[str] = []
    for path in sorted(folder.glob("*.npz")):
        try:
            content = read_npz(path)
            with damages_of(path):
                same = (str(content["rule"]), int(content["format"])) == (rule.hash, FORMAT)
                enough = rule.queries is None or int(content["queries"]) >= rule.queries
                if same and enough and int(content["radius"]) >= rule.radius:
                    found.append(_rows_of_corpus(corpus, content, covered, rule))
        except Damaged as error:
            damages.append(str(error))
    known = in_order(found)
    if rule.queries is not None:
        known = known.where(spread_order(corpus, rule.names)[known.first] <= rule.queries)
    return known, covered, damages


def _rows_of_corpus(
    corpus: Corpus, content: dict[str, NDArray], covered: NDArray[np.bool_], rule: PairRule
) -> ScoredPairs:
    """The pairs of one file whose shards are in the corpus; marks what it covers."""
    numbers = {name: number for number, name in enumerate(rule.names)}
    here = np.array([numbers.get(str(name), -1) for name in content["shards"]], np.int64)
    samples = content["samples"]
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(samples)])
    known = here >= 0
    if (samples[known] != [corpus.shards[number].entry.samples for number in here[known]]).any():
        raise ValueError("it counts other samples than the shards have")
    columns = [content[name] for name in ("first", "second", "distances", "scores")]
    if len({column.shape for column in columns}) != 1 or columns[0].ndim != 1:
        raise ValueError("columns of unequal length")
    rows_fit = all(column.dtype == np.int64 and ((column >= 0) & (column < starts[-1])).all() for column in columns[:2])
    if not rows_fit or (columns[2] < 0).any() or not np.isfinite(columns[3]).all():
        raise ValueError("rows, distances or scores that no search finds")

    rows = columns[:2]
    if (here < 0).any() or (corpus.starts[here] != starts[:-1]).any():  # else they count as the corpus does
        shards = [np.searchsorted(starts, column, side="right") - 1 for column in rows]
        places = corpus.starts[here] - starts[:-1]
        rows = [np.where(known[shard], column + places[shard], -1) for shard, column in zip(shards, rows, strict=True)]
    inside = (rows[0] >= 0) & (rows[1] >= 0) & (columns[2] <= rule.radius)
    ends = rows if rule.queries is not None else (np.minimum(*rows), np.maximum(*rows))
    first, second = (end[inside] for end in ends)
    new = np.arange(len(here)) < int(content["new"])
    covered[np.ix_(here[known & new], here[known])] = True
    covered[np.ix_(here[known], here[known & new])] = True
    return ScoredPairs(first, second, columns[2][inside].astype(np.int16), columns[3][inside].astype(np.float32))


def in_order(blocks: Sequence[ScoredPairs]) -> ScoredPairs:
    """Blocks of pairs as one, ascending, each pair once."""
    if not blocks:
        nothing = np.zeros(0, np.int64)
        return ScoredPairs(nothing, nothing, nothing.astype(np.int16), nothing.astype(np.float32))
    joined = ScoredPairs(*map(np.concatenate, zip(*blocks, strict=True)))  # pyright: ignore[reportArgumentType]
    joined = joined.where(np.argsort(joined.first << 32 | joined.second, kind="stable"))  # sorted runs are only merged
    again = (np.diff(joined.first, prepend=-1) == 0) & (np.diff(joined.second, prepend=-1) == 0)
    return joined.where(~again)


def missing_search(covered: NDArray[np.bool_]) -> Search | None:
    """What has to be searched so that the pairs of all shards are known; None where they are."""
    new: list[int] = []
    old: list[int] = []
    for shard in np.argsort(
        -covered.sum(1), kind="stable"
    ).tolist():  # those that most is known of, whatever their place
        (old if covered[shard, [*old, shard]].all() else new).append(shard)
    return Search(tuple(sorted(new)), tuple(sorted(old))) if new else None
