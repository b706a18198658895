"""By what verified pairs are known again."""

from pathlib import Path

import pytest

from dcgan_dist.cluster.stage_seconds import StageSeconds
from dcgan_dist.dedup import find_pairs
from dcgan_dist.dedup.corpus import Corpus
from dcgan_dist.dedup.find_pairs import all_pairs, pair_rule
from dcgan_dist.dedup.pair_files import PairRule
from dcgan_dist.errors import InputError
from dcgan_dist.files import content_hash
from dcgan_dist.similarity import verifier
from tests.dedup.test_false_discoveries import noise

KEPT = "7de252d03d3cfba20fffbbb3e05b57b914ee2bc89049e6c3bf24711b2d0e69c5"
"""Hash of the verifier's source, as folders hold it from before the verifier had versions."""


def rule(coder: str = "coder") -> str:
    return pair_rule(Corpus(parts=()), [], coder, 9).hash


def test_pairs_kept_before_the_verifier_had_versions_count_as_those_of_version_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(verifier, "VERSION", 1)

    assert rule() == content_hash(["coder", KEPT])


def test_pairs_of_another_version_or_coder_are_other_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = {rule("a"), rule("b")}
    for version in (2, 3):
        monkeypatch.setattr(verifier, "VERSION", version)
        rules |= {rule("a"), rule("b")}

    assert len(rules) == 6


def test_more_pairs_than_fit_are_refused_before_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = noise(range(3), tmp_path)
    rule = PairRule(names=tuple(shard.name for shard in images.corpus.shards), hash="h", radius=1)
    number = len(all_pairs(images, tmp_path / "pairs", rule, 1, StageSeconds()).first)
    monkeypatch.setattr(find_pairs, "MOST_PAIRS", number // 2)
    monkeypatch.setattr(find_pairs, "COUNTED", 250)

    with pytest.raises(InputError, match=r"about .* pairs within 1 bits are to be expected .* smaller `radius`"):
        all_pairs(images, tmp_path / "refused", rule, 1, StageSeconds())

    assert not list((tmp_path / "refused").iterdir())


def test_many_duplicates_among_the_known_images_do_not_forbid_more_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, all_images = (noise(range(number), tmp_path) for number in (1, 10))
    few.codes[:], all_images.codes[:100] = 0, 0  # one photograph a hundred times
    monkeypatch.setattr(find_pairs, "COUNTED", 50)
    rules = [
        PairRule(names=tuple(shard.name for shard in images.corpus.shards), hash="h", radius=0)
        for images in (few, all_images)
    ]
    known = len(all_pairs(few, tmp_path / "pairs", rules[0], 1, StageSeconds()).first)
    found = len(all_pairs(all_images, tmp_path / "all", rules[1], 1, StageSeconds()).first)
    monkeypatch.setattr(find_pairs, "MOST_PAIRS", 2 * found)

    assert known * 100 > 2 * found  # as many pairs for every two images would not fit
    assert len(all_pairs(all_images, tmp_path / "pairs", rules[1], 1, StageSeconds()).first) == found
