"""Second stage of de-duplication: which pairs of images within the radius show the same photograph."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.cluster.stage_seconds import StageSeconds, timed
from dcgan_dist.dedup.encode_corpus import EncodedCorpus
from dcgan_dist.dedup.false_discoveries import FLIPS, QUERIES, FlipTest, separating_threshold
from dcgan_dist.dedup.find_pairs import Flip, all_pairs, flip_rule, pair_rule
from dcgan_dist.dedup.groups import components
from dcgan_dist.dedup.options import DedupOptions
from dcgan_dist.dedup.pair_files import PairRule, ScoredPairs
from dcgan_dist.similarity.verifier import THRESHOLD


@dataclass(frozen=True, kw_only=True, eq=False)
class VerifiedPairs:
    """All pairs within the radius, and which of them are duplicates."""

    pairs: ScoredPairs
    flips: dict[str, FlipTest]
    """What flipped images find, by name of the flip: mirror, upside_down."""
    threshold: float | None
    """Score from which a pair is a duplicate; None: the distance alone decides."""

    @cached_property
    def accepted(self) -> NDArray[np.bool_]:
        """(k,) pairs that are duplicates."""
        return is_duplicate(self.pairs, self.threshold)

    @cached_property
    def duplicates(self) -> ScoredPairs:
        """The accepted pairs."""
        return self.pairs.where(self.accepted)

    @cached_property
    def flips_accepted(self) -> dict[str, NDArray[np.bool_]]:
        """Which of the pairs that flipped images find would be duplicates."""
        return {name: is_duplicate(flip.found, self.threshold) for name, flip in self.flips.items()}


def verify_pairs(options: DedupOptions, encoded: EncodedCorpus, seconds: StageSeconds) -> VerifiedPairs:
    """Every pair within the radius, scored, and the score from which a pair counts."""
    rule = pair_rule(encoded.corpus, encoded.originals.hashes, encoded.coder_hash, encoded.radius)
    pairs = all_pairs(encoded.images, options.folder / "pairs", rule, options.cpus, seconds)
    with timed(seconds, "null"):
        flips = flip_tests(options, encoded, rule, pairs)
        by_score = options.codes != "paper"
        threshold = separating_threshold(pairs.scores, flips["mirror"], THRESHOLD) if by_score else None
    return VerifiedPairs(pairs=pairs, flips=flips, threshold=threshold)


def flip_tests(
    options: DedupOptions, encoded: EncodedCorpus, rule: PairRule, pairs: ScoredPairs
) -> dict[str, FlipTest]:
    """What flipped images find among those that are not related to them at once."""
    near, rows = pairs.where(is_duplicate(pairs, THRESHOLD)), int(encoded.images.usable.sum())
    rows_near, places = np.unique(np.concatenate([near.first, near.second]), return_inverse=True)
    related = np.arange(len(encoded.corpus))
    related[rows_near] = rows_near[components(len(rows_near), *np.split(places, 2))]
    tests = {}
    for name, axis in FLIPS.items():
        flipped, flip = flip_rule(rule, encoded.images, axis, QUERIES), Flip(axis=axis, encode=encoded.coder.encode)
        found = all_pairs(encoded.images, options.folder / "flips", flipped, options.cpus, StageSeconds(), flip)
        found = found.where(related[found.first] != related[found.second])
        tests[name] = FlipTest(queries=min(QUERIES, rows), rows=rows, found=found)
    return tests


def is_duplicate(pairs: ScoredPairs, threshold: float | None) -> NDArray[np.bool_]:
    """Which candidates are duplicates: those that score enough; in the paper's mode, without a threshold, all."""
    return np.ones(len(pairs.first), bool) if threshold is None else pairs.scores >= threshold
