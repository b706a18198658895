"""First stage of de-duplication: every image with its thumbnail and its code; what is done already is read, not done again."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.cluster.stage_seconds import StageSeconds, timed
from dcgan_dist.dedup.candidates import MOST_PAIRS
from dcgan_dist.dedup.corpus import Corpus
from dcgan_dist.dedup.find_pairs import CodedImages
from dcgan_dist.dedup.fit_coder import coder_hash, ready_coder
from dcgan_dist.dedup.make_shards import Originals, make_all_codes, make_all_thumbnails
from dcgan_dist.dedup.options import DedupOptions
from dcgan_dist.dedup.pair_files import content_names, spread_order
from dcgan_dist.dedup.thumbnail_table import ThumbnailTable
from dcgan_dist.similarity.codes import Coder
from dcgan_dist.similarity.radius import CANDIDATES_PER_IMAGE, SAMPLE, default_radius, pair_distances


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
    pair_distances: NDArray[np.int64]
    """Histogram of the distances of all pairs of a random sample, which are unrelated."""

    @cached_property
    def names(self) -> NDArray[np.bytes_]:
        """(n,) key of every row, unique."""
        return self.corpus.unique_keys(self.keys)


def encode_corpus(options: DedupOptions, corpus: Corpus, seconds: StageSeconds) -> EncodedCorpus:
    """Thumbnails, a coder fitted to them, codes, and the radius that these bear."""
    folder = options.folder
    with timed(seconds, "thumbnails"):
        originals = make_all_thumbnails(corpus, folder, options.cpus)
    usable = ~originals.unreadable
    table = ThumbnailTable.of(corpus, folder)
    with timed(seconds, "coder"):
        rows = np.flatnonzero(usable & ~corpus.protected)
        coder_folder = options.coder_folder
        coder = ready_coder(options.codes, options.coder, coder_folder, table, rows, options.code_bits, options.cpus)
        digest = coder_hash(coder_folder)
    with timed(seconds, "codes"):
        keys, codes = make_all_codes(corpus, folder, coder_folder, digest, originals, options.cpus)
    with timed(seconds, "radius"):
        rows = np.flatnonzero(usable)
        places = spread_order(corpus, content_names(corpus, originals.hashes))[rows]
        first = np.argpartition(places, SAMPLE)[:SAMPLE] if len(rows) > SAMPLE else slice(None)
        distances = pair_distances(codes[rows[first]])
        radius = chosen_radius(options, distances, len(rows))
    return EncodedCorpus(
        corpus=corpus,
        originals=originals,
        keys=keys,
        images=CodedImages(corpus=corpus, codes=codes, usable=usable, table=table),
        coder=coder,
        coder_hash=digest,
        radius=radius,
        pair_distances=distances,
    )


def chosen_radius(options: DedupOptions, distances: NDArray[np.int64], images: int) -> int:
    """The radius that is asked for, else the one that the codes of so many images bear, by the distances in a sample of them."""
    if options.radius is not None:
        return options.radius
    per_image = min(CANDIDATES_PER_IMAGE, 0.75 * MOST_PAIRS / max(1, images))
    return 0 if options.codes == "paper" else default_radius(distances, images, per_image=per_image)
