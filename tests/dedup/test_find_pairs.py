"""By what verified pairs are known again."""

import pytest

from dcgan_dist.dedup.corpus import Corpus
from dcgan_dist.dedup.find_pairs import pair_rule
from dcgan_dist.files import content_hash
from dcgan_dist.similarity import verifier

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
