"""How many pairs of unrelated images a code and a verifier would call near duplicates, and where that stops."""

import numpy as np

from dcgan_dist.dedup.false_discoveries import MIRROR, FlipTest, flip_test, random_distances, separating_threshold
from dcgan_dist.dedup.pair_files import ScoredPairs, in_order


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
