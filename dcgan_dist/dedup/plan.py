"""De-duplication before anything starts: what it will read, keep and take."""

import numpy as np

from dcgan_dist.cli.progress import duration
from dcgan_dist.dedup.corpus import Corpus
from dcgan_dist.dedup.options import DedupOptions
from dcgan_dist.neighbors.planner import plan_search

PLANNED_RADIUS = 36
"""Radius of the plan alone, where the radius follows from the codes."""
IMAGES_PER_CPU_SECOND = 4000
"""Decoding and encoding, for the plan alone."""
THUMBNAIL_BYTES = 3 * 32 * 32
BYTES_PER_ROW = 300
"""Codes, keys and columns in the driver."""


def describe(options: DedupOptions, corpus: Corpus, cpus: int) -> str:
    """What would be done, in lines for people.

    Args:
        options: what is asked for.
        corpus: what it is asked of.
        cpus: that work at once.
    """
    n = len(corpus)
    lines = []
    for part in corpus.parts:
        manifest = part.manifest
        fate = "protected" if part.protected else "thinned out"
        splits = "/".join(manifest.splits)
        lines.append(f"{part.label} ({splits}): {manifest.samples:,} images in {len(manifest.shards)} shards, {fate}")
    chosen = options.radius if options.radius is not None or options.codes == "recommended" else 0
    bits = PLANNED_RADIUS if chosen is None else chosen
    lines.append(f"{n:,} images; codes {options.codes}, radius {'as the codes bear it' if chosen is None else chosen}")
    # Real codes are skewed, which only a look at the images would tell.
    sample = np.random.default_rng(0).integers(0, 256, (4096, 16), dtype=np.uint8)
    plan = plan_search(n, 0, 128, bits, sample)
    lines.append(
        f"thumbnails and codes: {duration(n / IMAGES_PER_CPU_SECOND / cpus)} on {cpus} CPUs, less what is there"
    )
    lines.append(
        f"search: {plan.method} at {bits} bits, {plan.seconds:.1f} s for codes spread evenly, {plan.candidates:,.0f} comparisons"
    )
    lines.append(
        f"memory of this process {n * BYTES_PER_ROW / 1e9:.2f} GB and 22 bytes for each candidate pair; "
        f"disk {n * (THUMBNAIL_BYTES + 64) / 1e9:.2f} GB in {options.out}"
    )
    lines.append("nothing was written")
    return "\n".join(lines)
