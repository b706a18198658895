"""Thumbnails and codes of every shard, made by Ray tasks; what is there and whole is not made again."""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.cli.progress import progress_bar
from dcgan_dist.cluster.tasks import run_tasks
from dcgan_dist.data.shards.images import ImageFault
from dcgan_dist.data.shards.stored_samples import ShardSamples
from dcgan_dist.dedup.corpus import Corpus, CorpusShard, Part
from dcgan_dist.dedup.shard_files import (
    Damaged,
    ShardThumbnails,
    load_codes,
    load_thumbnails,
    make_codes,
    make_thumbnails,
    pictures_path,
)
from dcgan_dist.errors import require
from dcgan_dist.similarity.codes import load_coder

Made = TypeVar("Made")
Shared = TypeVar("Shared")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Originals:
    """What is known of the samples besides their thumbnails."""

    resolution: NDArray[np.int64]
    """(n,) pixels of the originals."""
    faults: dict[int, str]
    """Row -> why it could not be read."""
    hashes: tuple[str, ...]
    """SHA-256 of each shard's thumbnails."""

    @property
    def unreadable(self) -> NDArray[np.bool_]:
        """(n,)"""
        mask = np.zeros(len(self.resolution), bool)
        mask[list(self.faults)] = True
        return mask


def make_all_thumbnails(corpus: Corpus, folder: Path, cpus: int) -> Originals:
    """Thumbnails of all shards; those with samples that could not be read are made again once one can.

    Raises:
        InputError: a shard cannot be read, or the folder not be written or not be seen from every node.
    """
    known = {
        shard: loaded
        for shard in corpus.shards
        if (loaded := _whole(partial(load_thumbnails, folder, shard)))
        and _still_unreadable(corpus.parts[shard.part], shard, loaded.faults)
    }
    made = _make_missing("thumbnails", _thumbnails_task, (corpus, folder), corpus, known, cpus)
    unseen = not all(pictures_path(folder, shard).exists() for shard in corpus.shards)
    require(not unseen, f"`out` {folder} cannot be seen from every node: choose a folder that all nodes share")

    resolution = np.concatenate([np.zeros(0, np.int64), *(shard.resolution for shard in made)])
    faults = {
        first + row: fault
        for first, shard in zip(corpus.starts.tolist(), made, strict=False)
        for row, fault in shard.faults.items()
    }
    hashes = [shard.sha256 for shard in made]
    return Originals(resolution=resolution, faults=faults, hashes=tuple(hashes))


def _still_unreadable(part: Part, shard: CorpusShard, rows: Collection[int]) -> bool:
    """Whether none of these samples, which could not be read before, can be read now."""
    if not rows:
        return True
    with ShardSamples(part.manifest, shard.number) as samples:
        for row in rows:
            try:
                samples.read(row).pixels()
            except ImageFault:
                continue
            return False
    return True


def _thumbnails_task(shared: tuple[Corpus, Path], shard: CorpusShard) -> ShardThumbnails:
    corpus, folder = shared
    return make_thumbnails(folder, corpus.parts[shard.part], shard)


def make_all_codes(
    corpus: Corpus, folder: Path, coder_folder: Path, coder: str, originals: Originals, cpus: int
) -> tuple[NDArray[np.bytes_], NDArray[np.uint8]]:
    """Keys (n,) and codes (n, code_bits / 8) of all rows.

    Args:
        corpus: the data sets.
        folder: of the results.
        coder_folder: of the fitted coder.
        coder: its hash.
        originals: of the thumbnails.
        cpus: tasks at once.
    """
    known = {
        shard: loaded
        for shard, digest in zip(corpus.shards, originals.hashes, strict=True)
        if (loaded := _whole(partial(load_codes, folder, shard, coder, digest)))
    }
    made = _make_missing("codes", _codes_task, (corpus, folder, coder_folder, coder), corpus, known, cpus)
    keys, codes = zip(*made, strict=True)
    return np.concatenate(keys), np.concatenate(codes)


def _codes_task(
    shared: tuple[Corpus, Path, Path, str], shard: CorpusShard
) -> tuple[NDArray[np.bytes_], NDArray[np.uint8]]:
    corpus, folder, coder_folder, coder = shared
    return make_codes(folder, corpus.parts[shard.part], shard, load_coder(coder_folder).encode, coder)


def _make_missing(
    name: str,
    task: Callable[[Shared, CorpusShard], Made],
    shared: Shared,
    corpus: Corpus,
    known: dict[CorpusShard, Made],
    cpus: int,
) -> list[Made]:
    """What is known of every shard, in order, after the rest was made."""
    waiting = [shard for shard in corpus.shards if shard not in known]
    results = run_tasks(task, shared, waiting, cpus=cpus)
    with progress_bar(len(corpus), name) as bar:
        bar.update(len(corpus) - sum(shard.entry.samples for shard in waiting))
        for shard, made in results:
            known[shard] = made
            bar.update(shard.entry.samples)
    return [known[shard] for shard in corpus.shards]


def _whole(load: Callable[[], Made | None]) -> Made | None:
    """What is on disk, if it is whole."""
    try:
        return load()
    except Damaged as error:
        _log.warning("%s: it is made again", error)
        return None
