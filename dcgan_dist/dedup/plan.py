"""De-duplication before anything starts: what it will read, keep and take."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.cli.progress import duration
from dcgan_dist.data.shards.images import ImageFault
from dcgan_dist.data.shards.indexing import SOURCE_KIND
from dcgan_dist.data.shards.stored_samples import ShardSamples
from dcgan_dist.dedup.corpus import Corpus
from dcgan_dist.dedup.encode_corpus import chosen_radius
from dcgan_dist.dedup.fit_coder import check_enough
from dcgan_dist.dedup.options import DedupOptions
from dcgan_dist.neighbors.hamming import pairs_within
from dcgan_dist.neighbors.planner import plan_search
from dcgan_dist.similarity.codes import load_coder
from dcgan_dist.similarity.radius import pair_distances
from dcgan_dist.similarity.recommended_codes import fit_recommended
from dcgan_dist.similarity.thumbnails import SIDE, thumbnails

SAMPLED, PLACES = 2048, 16
"""Images that are looked at, and how many stretches of the corpus they lie in."""
IMAGES_PER_CPU_SECOND = 4000
"""Decoding and encoding, for the plan alone."""
PAIRS_PER_CPU_SECOND = 15_000
"""Verified, for the plan alone."""
THUMBNAIL_BYTES = 3 * 32 * 32
BYTES_PER_ROW, BYTES_PER_PAIR = 300, 75
"""Codes, keys and columns in the driver; columns of pairs, several times where they are put together."""


def describe(options: DedupOptions, corpus: Corpus, cpus: int) -> str:
    """What would be done, in lines for people.

    Args:
        options: what is asked for.
        corpus: what it is asked of; some of its images are read.
        cpus: that work at once.

    Raises:
        InputError: there are too few images, or the coder that is given cannot be used.
    """
    n = len(corpus)
    lines, indexed = [], any(part.manifest.source.get("kind") == SOURCE_KIND for part in corpus.parts)
    for part in corpus.parts:
        manifest = part.manifest
        fate = "protected" if part.protected else "thinned out"
        splits = "/".join(manifest.splits)
        lines.append(f"{part.label} ({splits}): {manifest.samples:,} images in {len(manifest.shards)} shards, {fate}")
    codes = sample_codes(options, corpus)
    radius = chosen_radius(options, pair_distances(codes), n)
    near = sum(len(block.first) for block in pairs_within(codes, radius))
    pairs = near * n * (n - 1) / max(1, len(codes) * (len(codes) - 1))
    plan = plan_search(n, 0, 8 * codes.shape[1], radius, codes)
    lines += [
        f"{n:,} images; codes {options.codes}, radius {radius}{'' if options.radius is not None else ', about'}",
        f"thumbnails and codes: {duration(n / IMAGES_PER_CPU_SECOND / cpus)} on {cpus} CPUs, less what is there",
        f"search: {plan.method}, {plan.candidates:,.0f} comparisons, {duration(plan.seconds)} on this machine",
        f"verifying about {pairs:,.0f} pairs: {duration(pairs / PAIRS_PER_CPU_SECOND / cpus)} on {cpus} CPUs",
        f"memory of this process {n * BYTES_PER_ROW / 1e9:.2f} GB and {pairs * BYTES_PER_PAIR / 1e9:.2f} GB for the pairs; "
        f"disk {n * (THUMBNAIL_BYTES + 64) / 1e9:.2f} GB in {options.out}",
        "nothing was written" + (", but an index beside tars that had none" if indexed else ""),
    ]
    return "\n".join(lines)


def sample_codes(options: DedupOptions, corpus: Corpus) -> NDArray[np.uint8]:
    """Codes (s, code_bits / 8) of images from all over the corpus, by the coder of the job, or one fitted to them.

    The paper's coder takes long to fit: its units are drawn evenly, as codes that are used well would be.
    """
    fitted = Path(options.coder) if options.coder else options.coder_folder
    if not options.coder and not fitted.exists() and options.codes == "paper":
        return np.random.default_rng(0).integers(0, 256, (SAMPLED, 16), dtype=np.uint8)
    images = np.stack([np.zeros((3, SIDE, SIDE), np.uint8), *_sample(corpus)])[1:]
    if options.coder or fitted.exists():
        return load_coder(fitted).encode(images)
    check_enough(len(images))
    return fit_recommended(images, code_bits=options.code_bits).encode(images)


def _sample(corpus: Corpus) -> Iterator[NDArray[np.uint8]]:
    """Thumbnails of the images that can be read in some stretches of the corpus."""
    length = min(SAMPLED // PLACES, len(corpus))
    starts = np.linspace(0, len(corpus) - length, PLACES).astype(int)
    rows = np.unique(np.concatenate([np.arange(start, start + length) for start in starts]))
    shards = np.searchsorted(corpus.starts, rows, side="right") - 1
    for number in np.unique(shards).tolist():
        shard = corpus.shards[number]
        with ShardSamples(corpus.parts[shard.part].manifest, shard.number) as samples:
            for row in (rows[shards == number] - corpus.starts[number]).tolist():
                try:
                    yield thumbnails(samples.read(row).pixels()[None])[0]
                except ImageFault:
                    continue
