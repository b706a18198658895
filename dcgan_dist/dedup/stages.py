"""The stages of de-duplication, each a value that the next one takes; what is done already is read, not done again."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.dedup.corpus import Corpus
from dcgan_dist.dedup.false_discoveries import (
    MIRROR,
    UPSIDE_DOWN,
    Axis,
    FlipTest,
    flip_test,
    random_distances,
    separating_threshold,
)
from dcgan_dist.dedup.find_pairs import CodedImages, all_pairs, pair_rule
from dcgan_dist.dedup.fit_coder import coder_hash, ready_coder
from dcgan_dist.dedup.groups import components
from dcgan_dist.dedup.make_shards import Originals, make_all_codes, make_all_thumbnails
from dcgan_dist.dedup.options import DedupOptions
from dcgan_dist.dedup.pair_files import ScoredPairs
from dcgan_dist.dedup.representatives import Representatives, choose_representatives
from dcgan_dist.dedup.thumbnail_table import ThumbnailTable
from dcgan_dist.similarity.codes import Coder
from dcgan_dist.similarity.radius import default_radius
from dcgan_dist.similarity.verifier import THRESHOLD

FLIPS: dict[str, Axis] = {"mirror": MIRROR, "upside_down": UPSIDE_DOWN}


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedCorpus:
    """All images with their thumbnails and codes, and the radius within which codes are compared."""

    corpus: Corpus
    originals: Originals
    keys: NDArray[np.bytes_]
    """(n,) as the shards have them; two data sets may share one."""
    images: CodedImages
    coder: Coder
    coder_hash: str
    radius: int
    """Bits, inclusive."""
    null_distances: NDArray[np.int64]
    """Histogram of the distances of random pairs, which are unrelated."""

    @cached_property
    def names(self) -> NDArray[np.bytes_]:
        """(n,) key of every row, unique."""
        return self.corpus.unique_keys(self.keys)


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


def encode_corpus(options: DedupOptions, corpus: Corpus, seconds: dict[str, float]) -> EncodedCorpus:
    """Thumbnails, a coder fitted to them, codes, and the radius that these bear."""
    folder = options.folder
    with timed(seconds, "thumbnails"):
        originals = make_all_thumbnails(corpus, folder, options.cpus)
    usable = ~originals.unreadable
    table = ThumbnailTable.of(corpus, folder)
    with timed(seconds, "coder"):
        rows = np.flatnonzero(usable & ~corpus.protected)
        coder, coder_folder = ready_coder(options.codes, options.coder, folder, table, rows)
        digest = coder_hash(coder_folder)
    with timed(seconds, "codes"):
        keys, codes = make_all_codes(corpus, folder, coder_folder, digest, originals, options.cpus)
    with timed(seconds, "radius"):
        null_distances = random_distances(codes, np.flatnonzero(usable))
        radius = options.radius
        if radius is None:
            radius = 0 if options.codes == "paper" else default_radius(codes[usable])
    return EncodedCorpus(
        corpus=corpus,
        originals=originals,
        keys=keys,
        images=CodedImages(corpus=corpus, codes=codes, usable=usable, table=table),
        coder=coder,
        coder_hash=digest,
        radius=radius,
        null_distances=null_distances,
    )


def verify_pairs(options: DedupOptions, encoded: EncodedCorpus, seconds: dict[str, float]) -> VerifiedPairs:
    """Every pair within the radius, scored, and the score from which a pair counts."""
    with timed(seconds, "pairs"):
        rule = pair_rule(encoded.corpus, encoded.originals.hashes, encoded.coder_hash, encoded.radius)
        pairs = all_pairs(encoded.images, options.folder, rule, options.cpus)
    with timed(seconds, "null"):
        flips = flip_tests(encoded, pairs)
        by_score = options.codes != "paper"
        threshold = separating_threshold(pairs.scores, flips["mirror"], THRESHOLD) if by_score else None
    return VerifiedPairs(pairs=pairs, flips=flips, threshold=threshold)


def representatives_of(encoded: EncodedCorpus, verified: VerifiedPairs) -> Representatives:
    """Which image of each cluster of duplicates stays."""
    return choose_representatives(
        encoded.corpus,
        verified.duplicates,
        unreadable=encoded.originals.unreadable,
        keys=encoded.keys,
        resolution=encoded.originals.resolution,
    )


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Note how long a stage takes."""
    began = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - began, 2)


def flip_tests(encoded: EncodedCorpus, pairs: ScoredPairs) -> dict[str, FlipTest]:
    """What flipped images find among those that are not related to them at once."""
    images, near = encoded.images, pairs.where(is_duplicate(pairs, THRESHOLD))
    related = components(len(encoded.corpus), near.first, near.second)
    return {
        name: flip_test(
            images.codes,
            np.flatnonzero(images.usable),
            radius=encoded.radius,
            gather=images.table.gather,
            encode=encoded.coder.encode,
            related=related,
            axis=axis,
        )
        for name, axis in FLIPS.items()
    }


def is_duplicate(pairs: ScoredPairs, threshold: float | None) -> NDArray[np.bool_]:
    """Which candidates are duplicates: those that score enough; in the paper's mode, without a threshold, all."""
    return np.ones(len(pairs.first), bool) if threshold is None else pairs.scores >= threshold
