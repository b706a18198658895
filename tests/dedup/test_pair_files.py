"""Pairs kept from search to search: whatever comes when, what is known is what one search of everything would find."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan_dist.data.shards.schema import Manifest, Shard
from dcgan_dist.dedup.corpus import Corpus, Part
from dcgan_dist.dedup.pair_files import (
    PairRule,
    ScoredPairs,
    file_name,
    in_order,
    known_pairs,
    missing_search,
    spread_order,
    write_pairs,
)

SHARDS, MOST = 6, 4


def corpus_of(shards: Sequence[int], samples: int = 0) -> Corpus:
    """Shard number i has so many samples, or i mod MOST + 1."""
    entries = tuple(
        Shard(name=f"{i}.tar", split="train", samples=count, bytes=1, sha256=f"{i:064}", index_sha256="")
        for i in shards
        for count in [samples or i % MOST + 1]
    )
    manifest = Manifest(dataset="t", image_size=8, image_channels=3, layout="samples", shards=entries)
    return Corpus(parts=(Part(label="t", manifest=manifest, protected=False, from_shards=True),))


def rule_of(corpus: Corpus, radius: int = 9) -> PairRule:
    return PairRule(names=tuple(shard.name for shard in corpus.shards), hash="h", radius=radius)


def truth(corpus: Corpus, shards: Sequence[int], radius: int = 9) -> list[tuple[int, int, int]]:
    """Row, row and distance of every pair: the distance depends on the two samples alone."""
    samples = [(shard, sample) for shard in shards for sample in range(shard % MOST + 1)]
    found = []
    for a in range(len(samples)):
        for b in range(a + 1, len(samples)):
            first, second = sorted((samples[a], samples[b]))
            distance = (7 * first[0] + 3 * first[1] + 5 * second[0] + second[1]) % 20
            if distance <= radius:
                found.append((a, b, distance))
    assert len(samples) == len(corpus)
    return found


def search_what_is_missing(folder: Path, shards: Sequence[int], radius: int = 9) -> tuple[ScoredPairs, int]:
    """What is known after a search of what was missing, and how many rows that compared anew."""
    corpus, rule = corpus_of(shards), rule_of(corpus_of(shards), radius)
    known, covered, damages = known_pairs(folder, corpus, rule)
    assert not damages
    search = missing_search(covered)
    if search is None:
        return known, 0
    new = np.zeros(len(corpus.shards), bool)
    new[list(search.new)] = True
    of_row = np.repeat(new, [shard.entry.samples for shard in corpus.shards])
    found = [pair for pair in truth(corpus, shards, radius) if of_row[pair[0]] or of_row[pair[1]]]
    columns = np.array(found, np.int64).reshape(-1, 3).T
    pairs = ScoredPairs(columns[0], columns[1], columns[2].astype(np.int16), columns[2].astype(np.float32))
    write_pairs(folder / f"{file_name(search, rule)}.npz", corpus, search, rule, pairs)
    return in_order([known, pairs]), int(of_row.sum())


def as_list(pairs: ScoredPairs) -> list[tuple[int, int, int]]:
    return list(zip(pairs.first.tolist(), pairs.second.tolist(), pairs.distances.tolist(), strict=True))


orders = st.lists(st.integers(0, SHARDS - 1), min_size=1, max_size=SHARDS, unique=True)


@settings(max_examples=60, deadline=None)
@given(st.lists(orders, min_size=1, max_size=4))
def test_what_is_known_is_what_one_search_of_everything_would_find(
    tmp_path_factory: pytest.TempPathFactory, steps: list[list[int]]
) -> None:
    folder = tmp_path_factory.mktemp("pairs")

    for shards in steps:
        found, _ = search_what_is_missing(folder, shards)

        assert as_list(found) == truth(corpus_of(shards), shards)
        assert missing_search(known_pairs(folder, corpus_of(shards), rule_of(corpus_of(shards)))[1]) is None


def test_only_new_shards_are_searched(tmp_path: Path) -> None:
    search_what_is_missing(tmp_path, [0, 1, 2, 3])

    assert search_what_is_missing(tmp_path, [3, 5, 1, 0, 2])[1] == 2  # the samples of shard 5
    assert search_what_is_missing(tmp_path, [5, 0])[1] == 0


def test_of_sets_searched_apart_the_smaller_is_searched_with_the_larger_whatever_their_order(tmp_path: Path) -> None:
    search_what_is_missing(tmp_path, [0])
    search_what_is_missing(tmp_path, [1, 2, 3])

    assert search_what_is_missing(tmp_path, [0, 1, 2, 3])[1] == 1  # the sample of shard 0


def test_a_smaller_radius_is_known_and_a_larger_one_is_not(tmp_path: Path) -> None:
    shards = [0, 1, 2]
    search_what_is_missing(tmp_path, shards, 9)

    smaller, searched = search_what_is_missing(tmp_path, shards, 4)

    assert (as_list(smaller), searched) == (truth(corpus_of(shards), shards, 4), 0)
    assert search_what_is_missing(tmp_path, shards, 12)[1] == 6


def test_pairs_of_another_coder_are_not_taken(tmp_path: Path) -> None:
    corpus = corpus_of([0, 1])
    search_what_is_missing(tmp_path, [0, 1])

    _, covered, damages = known_pairs(tmp_path, corpus, PairRule(names=rule_of(corpus).names, hash="other", radius=9))

    assert not covered.any()
    assert not damages


def test_a_torn_file_is_named_and_covers_nothing(tmp_path: Path) -> None:
    search_what_is_missing(tmp_path, [0, 1])
    (path,) = tmp_path.glob("*.npz")
    path.write_bytes(path.read_bytes()[:-40])

    known, covered, damages = known_pairs(tmp_path, corpus_of([0, 1]), rule_of(corpus_of([0, 1])))

    assert len(known.first) == 0
    assert not covered.any()
    assert str(path) in damages[0]


def test_two_copies_of_one_shard_are_compared_with_each_other() -> None:
    corpus = corpus_of([2, 2])

    assert len({shard.name for shard in corpus.shards}) == 2


@given(st.integers(1, 20), st.integers(1, 4), st.integers(50, 400))
def test_a_sample_in_spread_order_keeps_its_rows_when_shards_come_and_takes_as_many_from_each(
    old: int, more: int, samples: int
) -> None:
    size = old * samples // 4
    before, after = (
        set(np.argsort(spread_order(corpus, rule_of(corpus).names))[:size].tolist())
        for corpus in (corpus_of(range(old), samples), corpus_of(range(old + more), samples))
    )

    assert {row for row in after if row < old * samples} <= before
    per_shard = np.bincount(np.array(sorted(after)) // samples, minlength=old + more)
    assert np.abs(per_shard - size / (old + more)).max() <= 4, per_shard
