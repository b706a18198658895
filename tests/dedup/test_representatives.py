"""What stays: resolution first, then key, never what is protected; with the reason for what goes."""

import numpy as np

from dcgan_dist.data.shards.schema import Manifest, Shard
from dcgan_dist.dedup.corpus import Corpus, Part
from dcgan_dist.dedup.false_discoveries import MIRROR, FlipTest, flip_test, random_distances, separating_threshold
from dcgan_dist.dedup.pair_files import ScoredPairs, in_order
from dcgan_dist.dedup.representatives import choose_representatives, keep_lists, removed_by_radius


def part(label: str, samples: int, *, protected: bool = False) -> Part:
    shard = Shard(name=f"{label}.tar", split="train", samples=samples, bytes=1, sha256=label, index_sha256="")
    manifest = Manifest(dataset=label, image_size=8, image_channels=3, layout="samples", shards=(shard,))
    return Part(label=label, manifest=manifest, protected=protected, from_shards=not protected)


def pairs(*triples: tuple[int, int, int]) -> ScoredPairs:
    first, second, distances = np.array(triples, np.int64).reshape(-1, 3).T
    return ScoredPairs(first, second, distances.astype(np.int16), (1 - distances / 100).astype(np.float32))


CORPUS = Corpus(parts=(part("a", 4), part("b", 2), part("test", 2, protected=True)))
KEYS = np.array([b"d", b"c", b"b", b"a", b"f", b"e", b"t0", b"t1"])
NOTHING = np.zeros(8, bool)


def test_the_largest_stays_and_of_equals_the_first_key() -> None:
    resolution = np.array([9, 1, 1, 1, 5, 5, 5, 5])

    chosen = choose_representatives(
        CORPUS, pairs((0, 1, 2), (2, 3, 2), (4, 5, 2)), keys=KEYS, resolution=resolution, unreadable=NOTHING
    )

    assert chosen.leaders.tolist() == [0, 0, 3, 3, 5, 5, 6, 7]
    assert chosen.stays.tolist() == [True, False, False, True, False, True, True, True]


def test_protected_samples_stay_however_small_and_the_others_go_for_them() -> None:
    resolution = np.array([9, 9, 9, 9, 9, 9, 1, 1])

    chosen = choose_representatives(
        CORPUS, pairs((0, 1, 2), (0, 6, 3), (6, 7, 0)), keys=KEYS, resolution=resolution, unreadable=NOTHING
    )

    assert chosen.leaders.tolist() == [6, 1, 2, 3, 4, 5, 6, 7]


def test_every_data_set_gets_its_list_with_reasons() -> None:
    unreadable = NOTHING.copy()
    unreadable[2] = True
    found = pairs((0, 1, 2), (1, 5, 7), (5, 6, 4))
    chosen = choose_representatives(CORPUS, found, keys=KEYS, resolution=np.ones(8, np.int64), unreadable=unreadable)

    a, b = keep_lists(
        CORPUS,
        chosen,
        found,
        keys=KEYS,
        names=KEYS,
        faults={2: "torn"},
        radius=9,
        rule={"codes": "recommended"},
    )

    assert (a.manifest_hash, b.manifest_hash) == tuple(part.manifest.hash for part in CORPUS.parts[:2])
    assert (a.positions.tolist(), b.positions.tolist()) == ([1, 3], [0])
    assert [tuple(one) for one in a.dropped] == [
        (0, "d", "near duplicate", "c", 2, 0.98),
        (2, "b", "unreadable: torn", "", None, None),
    ]
    assert [tuple(one) for one in b.dropped] == [(1, "e", "near duplicate", "t0", 4, 0.96)]
    assert a.counts == {"samples": 4, "kept": 2, "near duplicates": 1, "unreadable": 1, "codes": "recommended"}


def test_more_go_the_larger_the_radius() -> None:
    found = pairs((0, 1, 2), (1, 5, 7), (5, 6, 4))

    counts = removed_by_radius(CORPUS, found, [0, 2, 4, 9], keys=KEYS, resolution=np.ones(8, np.int64))

    assert counts == [0, 1, 2, 2]


def test_keys_that_two_data_sets_share_are_told_apart() -> None:
    keys = np.array([b"d", b"c", b"b", b"a", b"d", b"e", b"t0", b"t1"])

    assert (CORPUS.unique_keys(KEYS) == KEYS).all()
    assert CORPUS.unique_keys(keys).tolist() == [
        b"a/d", b"a/c", b"a/b", b"a/a", b"b/d", b"b/e", b"test/t0", b"test/t1",
    ]  # fmt: skip


def test_mirrored_images_find_unrelated_pairs_as_often_as_images_do() -> None:
    # Left-right symmetric statistics, a code of few bits: many unrelated pairs are within the radius.
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (300, 3, 32, 32), dtype=np.uint8)

    def encode(images: np.ndarray) -> np.ndarray:
        """Whether a corner is bright, of the four corners and a few columns."""
        return np.packbits(images[:, 0, ::8, ::16].reshape(len(images), 8) > 127, axis=1)

    codes = encode(pictures)
    rows = np.arange(300)
    differing = np.bitwise_count(codes[:, 0][:, None] ^ codes[:, 0][None])
    really = int((np.triu(differing <= 1, 1)).sum())

    test = flip_test(
        codes, rows, radius=1, gather=lambda rows: pictures[rows], encode=encode, related=rows, axis=MIRROR
    )

    assert test.queries == 300
    assert (test.found.first != test.found.second).all()
    assert abs(test.expected(len(test.found.first)) / really - 1) < 0.15


def test_a_bound_lies_above_the_estimate_also_where_nothing_was_found() -> None:
    test = FlipTest(queries=100, rows=1000, found=in_order([]))

    assert test.expected(0) == 0
    assert test.expected(3) == 15
    assert abs(test.expected(0, confidence=0.95) - 5 * 2.996) < 0.01  # the rule of three


def test_random_pairs_of_fair_bits_differ_in_half_of_them() -> None:
    codes = np.random.default_rng(0).integers(0, 256, (2000, 4), dtype=np.uint8)

    counts = random_distances(codes, np.arange(2000))

    assert counts.sum() == 10_000_000
    assert abs((counts * np.arange(33)).sum() / 10_000_000 - 16) < 0.05
    assert random_distances(codes, np.arange(1)).sum() == 0


def mirrored(scores: list[float], *, queries: int, rows: int) -> FlipTest:
    rows_ = np.arange(len(scores))
    found = ScoredPairs(rows_, rows_, rows_.astype(np.int16), np.array(scores, np.float32))
    return FlipTest(queries=queries, rows=rows, found=found)


def test_the_threshold_lies_above_what_mirrored_images_find_as_often_as_images_do() -> None:
    scores = np.concatenate([np.linspace(0.8, 0.9, 50), np.linspace(0.95, 1, 30)]).astype(np.float32)
    alike_by_nature = mirrored(np.linspace(0.8, 0.9, 100).tolist(), queries=1000, rows=1000)

    threshold = separating_threshold(scores, alike_by_nature, 0.8)

    assert 0.9 < threshold < 0.95


def test_a_few_really_mirrored_copies_leave_the_threshold_where_it_is() -> None:
    scores = np.linspace(0.8, 1, 500).astype(np.float32)
    copies = mirrored(np.linspace(0.81, 1, 50).tolist(), queries=1000, rows=1000)

    assert separating_threshold(scores, copies, 0.8) == 0.8
    assert separating_threshold(scores, mirrored([], queries=10, rows=10), 0.8) == 0.8


def test_a_mirrored_copy_of_everything_does_not_forbid_everything() -> None:
    scores = np.linspace(0.8, 1, 100).astype(np.float32)
    threshold = separating_threshold(scores, mirrored(np.linspace(0.8, 1, 1000).tolist(), queries=10, rows=1000), 0.8)

    assert threshold <= 0.951
