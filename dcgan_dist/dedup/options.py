"""De-duplication before anything starts: what is asked for, and what it will take."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from dcgan_dist.cli.command_line import default_shards
from dcgan_dist.cli.progress import duration
from dcgan_dist.dedup.corpus import Corpus
from dcgan_dist.errors import InputError, require
from dcgan_dist.neighbors.planner import plan_search

Codes = Literal["paper", "recommended"]
PLANNED_RADIUS = 36
"""Of the plan alone, where the radius follows from the codes."""
IMAGES_PER_CPU_SECOND = 4000
"""Decoding and encoding, for the plan alone."""
THUMBNAIL_BYTES = 3 * 32 * 32
BYTES_PER_ROW = 300
"""Codes, keys and columns in the driver."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DedupOptions:
    """What is searched, how, and what becomes of it."""

    shards: list[str] = field(default_factory=lambda: [default_shards()])
    """Folders of shards, tars or manifests; default $DCGAN_DIST_SHARDS, else ~/dcgan_dist/shards. The train split of each is thinned out; its other splits are protected."""
    out: str
    """Folder of the results; it keeps thumbnails, codes and pairs, so that the same command goes on where it stopped,
    and more shards cost only what is new. On a cluster: a folder that all nodes share."""
    codes: Codes = "recommended"
    """recommended: learnt code and verifier. paper: autoencoder units, equal codes are duplicates."""
    radius: int | None = None
    """Bits within which two codes are candidates; default 0 for paper; for recommended as many as leave the
    verifier about 10 unrelated candidates per image."""
    protect: list[str] = field(default_factory=list)
    """Data sets that are compared with --shards and never dropped, such as a test set."""
    rewrite: str = ""
    """Also write what stays, as clean shards, to this folder."""
    coder: str = ""
    """Folder of a fitted coder (OUT/coder-* of another run) to use instead of fitting one."""
    cpus: int = 0
    """Tasks at once; 0: as many as the Ray cluster has CPUs; 1: in this process, without Ray."""
    tracking_uri: str = ""
    """MLflow server or database; default $MLFLOW_TRACKING_URI, else the default storage's."""
    dry_run: bool = False
    """Print counts, search method, time and memory, and write nothing."""

    def __post_init__(self) -> None:
        require(bool(self.shards), "`shards` names no data set: give at least one folder of shards")
        require(self.radius is None or self.radius >= 0, f"`radius` {self.radius} must be at least 0")
        require(self.cpus >= 0, f"`cpus` {self.cpus} must be at least 0")
        if "://" in self.out or "://" in self.rewrite:
            raise InputError("`out` and `rewrite` must be folders: their files are mapped into memory")

    @property
    def folder(self) -> Path:
        """--out as a path."""
        return Path(self.out)


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
