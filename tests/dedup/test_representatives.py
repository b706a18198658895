"""What stays: resolution first, then key, never what is protected; with the reason for what goes."""

import numpy as np

from dcgan_dist.data.shards.schema import Manifest, Shard
from dcgan_dist.dedup.corpus import Corpus, Part
from dcgan_dist.dedup.make_shards import Originals
from dcgan_dist.dedup.pair_files import ScoredPairs
from dcgan_dist.dedup.representatives import choose_representatives, keep_lists, number_removed, ranked


def part(label: str, samples: int, *, protected: bool = False) -> Part:
    shard = Shard(name=f"{label}.tar", split="train", samples=samples, bytes=1, sha256=label, index_sha256="")
    manifest = Manifest(dataset=label, image_size=8, image_channels=3, layout="samples", shards=(shard,))
    return Part(label=label, manifest=manifest, protected=protected, from_shards=not protected)


def pairs(*triples: tuple[int, int, int]) -> ScoredPairs:
    first, second, distances = np.array(triples, np.int64).reshape(-1, 3).T
    return ScoredPairs(first, second, distances.astype(np.int16), (1 - distances / 100).astype(np.float32))


CORPUS = Corpus(parts=(part("a", 4), part("b", 2), part("test", 2, protected=True)))
KEYS = np.array([b"d", b"c", b"b", b"a", b"f", b"e", b"t0", b"t1"])


def originals(*resolution: int, **faults: str) -> Originals:
    return Originals(
        resolution=np.array(resolution), faults={int(row[1:]): fault for row, fault in faults.items()}, hashes=()
    )


def test_the_largest_stays_and_of_equals_the_first_key() -> None:
    near = pairs((0, 1, 2), (2, 3, 2), (4, 5, 2))

    chosen = choose_representatives(CORPUS, KEYS, originals(9, 1, 1, 1, 5, 5, 5, 5), near)

    assert chosen.leaders.tolist() == [0, 0, 3, 3, 5, 5, 6, 7]
    assert chosen.stays.tolist() == [True, False, False, True, False, True, True, True]


def test_protected_samples_stay_however_small_and_the_others_go_for_them() -> None:
    near = pairs((0, 1, 2), (0, 6, 3), (6, 7, 0))

    chosen = choose_representatives(CORPUS, KEYS, originals(9, 9, 9, 9, 9, 9, 1, 1), near)

    assert chosen.leaders.tolist() == [6, 1, 2, 3, 4, 5, 6, 7]


def test_every_data_set_gets_its_list_with_reasons() -> None:
    near = pairs((0, 1, 2), (1, 5, 7), (5, 6, 4))
    chosen = choose_representatives(CORPUS, KEYS, originals(*[1] * 8, _2="torn"), near)

    a, b = keep_lists(
        CORPUS,
        chosen,
        near,
        keys=KEYS,
        names=KEYS,
        faults={2: "torn"},
        radius=9,
        rule={"codes": "recommended"},
    )

    assert (a.manifest_hash, b.manifest_hash) == tuple(part.manifest.hash for part in CORPUS.parts[:2])
    assert (a.positions.tolist(), b.positions.tolist()) == ([1, 3], [0])
    assert [tuple(dropped) for dropped in a.dropped] == [
        (0, "d", "near duplicate", "c", 2, 0.98),
        (2, "b", "unreadable: torn", "", None, None),
    ]
    assert [tuple(dropped) for dropped in b.dropped] == [(1, "e", "near duplicate", "t0", 4, 0.96)]
    assert a.counts == {"samples": 4, "kept": 2, "near duplicates": 1, "unreadable": 1, "codes": "recommended"}


def test_more_go_the_larger_the_radius() -> None:
    near, sizes = pairs((0, 1, 2), (1, 5, 7), (5, 6, 4)), originals(*[1] * 8)

    chosen = [choose_representatives(CORPUS, KEYS, sizes, near.where(near.distances <= bits)) for bits in (0, 2, 4, 9)]

    numbers = [int(fewer.near_duplicates.sum()) for fewer in chosen]
    assert numbers == [0, 1, 2, 2]
    all_ranked = ranked(KEYS, sizes, near)
    assert numbers == [number_removed(all_ranked, CORPUS.protected, near.distances <= bits) for bits in (0, 2, 4, 9)]


def test_keys_that_two_data_sets_share_are_told_apart() -> None:
    keys = np.array([b"d", b"c", b"b", b"a", b"d", b"e", b"t0", b"t1"])

    assert (CORPUS.unique_keys(KEYS) == KEYS).all()
    assert CORPUS.unique_keys(keys).tolist() == [
        b"a/d", b"a/c", b"a/b", b"a/a", b"b/d", b"b/e", b"test/t0", b"test/t1",
    ]  # fmt: skip
