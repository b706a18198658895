"""How many pairs of unrelated images a code and a verifier would call near duplicates, and where that stops."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dcgan_dist.cluster.stage_seconds import StageSeconds
from dcgan_dist.dedup import find_pairs
from dcgan_dist.dedup.false_discoveries import FLIPS, FlipTest, separating_threshold
from dcgan_dist.dedup.find_pairs import CodedImages, Flip, all_pairs, flip_rule
from dcgan_dist.dedup.pair_files import PairRule, ScoredPairs, in_order
from dcgan_dist.dedup.thumbnail_table import ThumbnailTable
from dcgan_dist.similarity.verifier import score_rows
from tests.dedup.test_pair_files import corpus_of


def noise(shards: Sequence[int], folder: Path) -> CodedImages:
    """100 images of noise in each shard; their codes tell which of four corners and a few columns are bright."""
    corpus = corpus_of(shards, samples=100)
    pictures = [np.random.default_rng(shard).integers(0, 256, (100, 3, 32, 32), dtype=np.uint8) for shard in shards]
    (folder / "thumbnails").mkdir(parents=True, exist_ok=True)
    for shard, images in zip(corpus.shards, pictures, strict=True):
        np.save(folder / "thumbnails" / f"{shard.name}.npy", images)
    codes, table = encode(np.concatenate(pictures)), ThumbnailTable.of(corpus, folder)
    return CodedImages(corpus=corpus, codes=codes, usable=np.ones(len(codes), bool), table=table)


def encode(images: np.ndarray) -> np.ndarray:
    return np.packbits(images[:, 0, ::8, ::16].reshape(len(images), 8) > 127, axis=1)


def mirrored_pairs(
    images: CodedImages, folder: Path, most: int, encode: Callable[[np.ndarray], np.ndarray] = encode
) -> ScoredPairs:
    rule = PairRule(names=tuple(shard.name for shard in images.corpus.shards), hash="h", radius=1)
    flip = Flip(axis=FLIPS["mirror"], encode=encode)
    return all_pairs(images, folder / "flips", flip_rule(rule, images, flip.axis, most), 1, StageSeconds(), flip)


def test_mirrored_images_find_unrelated_pairs_as_often_as_images_do(tmp_path: Path) -> None:
    # Left-right symmetric statistics, a code of few bits: many unrelated pairs are within the radius.
    images = noise(range(3), tmp_path)
    differing = np.bitwise_count(images.codes[:, 0][:, None] ^ images.codes[:, 0][None])
    really = int((np.triu(differing <= 1, 1)).sum())

    found = mirrored_pairs(images, tmp_path, 300)

    test = FlipTest(queries=300, rows=300, found=found.where(found.first != found.second))
    assert len(np.unique(found.first)) == 300
    assert abs(test.expected(len(test.found.first)) / really - 1) < 0.15


def test_shards_that_come_later_give_what_all_at_once_give_and_few_new_queries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = []

    def counted(first: np.ndarray, *rest: Any, **options: Any) -> np.ndarray:
        scored.append(len(first))
        return score_rows(first, *rest, **options)

    monkeypatch.setattr(find_pairs, "score_rows", counted)
    at_once = mirrored_pairs(noise([4, 0, 1, 2, 3], tmp_path / "once"), tmp_path / "once", 100)
    mirrored_pairs(noise([0, 1, 2, 3], tmp_path), tmp_path, 100)
    all_of_them = sum(scored)
    later = mirrored_pairs(noise([4, 0, 1, 2, 3], tmp_path), tmp_path, 100)
    again = mirrored_pairs(noise([4, 0, 1, 2, 3], tmp_path), tmp_path, 100)

    for column, repeated, expected in zip(later, again, at_once, strict=True):
        np.testing.assert_array_equal(column, expected)
        np.testing.assert_array_equal(repeated, expected)
    assert len(np.unique(at_once.first)) == 100
    assert sum(scored) - all_of_them < 0.5 * scored[0]  # a fifth of the queries and of the rows


@pytest.mark.parametrize("torn", [False, True])
def test_flipped_images_are_encoded_once_unless_what_was_kept_of_them_is_torn(
    torn: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    encoded = []

    def counted(images: np.ndarray) -> np.ndarray:
        encoded.append(len(images))
        return encode(images)

    mirrored_pairs(noise([0, 1, 2, 3], tmp_path), tmp_path, 100, counted)
    if torn:
        (kept,) = (tmp_path / "flips" / "queries").iterdir()
        kept.write_bytes(kept.read_bytes()[:-500])
    later = mirrored_pairs(noise([4, 0, 1, 2, 3], tmp_path), tmp_path, 100, counted)

    expected = mirrored_pairs(noise([4, 0, 1, 2, 3], tmp_path / "once"), tmp_path / "once", 100)
    np.testing.assert_array_equal(later.first, expected.first)
    np.testing.assert_array_equal(later.second, expected.second)
    assert ("it is made again" in caplog.text) == torn
    assert encoded[0] == 100
    assert encoded[1] == 100 if torn else 10 <= encoded[1] <= 30  # those of the new shard, a fifth


def test_fewer_images_need_queries_that_more_did_not(tmp_path: Path) -> None:
    mirrored_pairs(noise([0, 1, 2, 3], tmp_path), tmp_path, 100)

    fewer = mirrored_pairs(noise([3, 1], tmp_path), tmp_path, 100)

    fresh = mirrored_pairs(noise([3, 1], tmp_path / "fresh"), tmp_path / "fresh", 100)
    assert len(np.unique(fewer.first)) == 100
    for column, expected in zip(fewer, fresh, strict=True):
        np.testing.assert_array_equal(column, expected)


def test_a_bound_lies_above_the_estimate_also_where_nothing_was_found() -> None:
    test = FlipTest(queries=100, rows=1000, found=in_order([]))

    assert test.expected(0) == 0
    assert test.expected(3) == 15
    assert abs(test.expected(0, confidence=0.95) - 5 * 2.996) < 0.01  # the rule of three


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
