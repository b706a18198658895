"""Thumbnails and codes of every shard, made by Ray tasks; what is there and whole is not made again."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.cli.progress import progress_bar
from dcgan_dist.cluster.tasks import run_tasks
from dcgan_dist.dedup.corpus import Corpus, CorpusShard
from dcgan_dist.dedup.shard_files import (
    Damaged,
    ShardThumbnails,
    load_codes,
    load_thumbnails,
    make_codes,
    make_thumbnails,
)
from dcgan_dist.similarity.codes import load_coder

Loaded = TypeVar("Loaded")
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
    """Thumbnails of all shards; those with samples that could not be read are made again."""
    whole: dict[str, ShardThumbnails] = {}
    for shard in corpus.shards:
        loaded = _whole(partial(load_thumbnails, folder, shard))
        if loaded is not None and not loaded.faults:
            whole[shard.name] = loaded
    waiting = [shard for shard in corpus.shards if shard.name not in whole]
    _make("thumbnails", _thumbnails_task, (corpus, folder), corpus, waiting, cpus)

    resolution, faults, hashes = np.zeros(len(corpus), np.int64), {}, []
    for first, shard in zip(corpus.starts.tolist(), corpus.shards, strict=False):
        loaded = whole.get(shard.name) or load_thumbnails(folder, shard)
        assert loaded is not None, shard.name
        resolution[first : first + shard.entry.samples] = loaded.resolution
        hashes.append(loaded.sha256)
        faults |= {first + row: fault for row, fault in loaded.faults.items()}
    return Originals(resolution=resolution, faults=faults, hashes=tuple(hashes))


def _thumbnails_task(shared: tuple[Corpus, Path], shard: CorpusShard) -> None:
    corpus, folder = shared
    make_thumbnails(folder, corpus.parts[shard.part], shard)


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
    loads = [
        partial(load_codes, folder, shard, coder, digest)
        for shard, digest in zip(corpus.shards, originals.hashes, strict=True)
    ]
    waiting = [shard for shard, load in zip(corpus.shards, loads, strict=True) if _whole(load) is None]
    _make("codes", _codes_task, (corpus, folder, coder_folder, coder), corpus, waiting, cpus)
    keys, codes = zip(*(loaded for load in loads if (loaded := load()) is not None), strict=True)
    return np.concatenate(keys), np.concatenate(codes)


def _codes_task(shared: tuple[Corpus, Path, Path, str], shard: CorpusShard) -> None:
    corpus, folder, coder_folder, coder = shared
    make_codes(folder, corpus.parts[shard.part], shard, load_coder(coder_folder).encode, coder)


def _make(
    name: str,
    task: Callable[[Shared, CorpusShard], None],
    shared: Shared,
    corpus: Corpus,
    waiting: list[CorpusShard],
    cpus: int,
) -> None:
    made = run_tasks(task, shared, waiting, cpus=cpus)
    with progress_bar(len(corpus), name) as bar:
        bar.update(len(corpus) - sum(shard.entry.samples for shard in waiting))
        for shard, _ in made:
            bar.update(shard.entry.samples)


def _whole(load: Callable[[], Loaded | None]) -> Loaded | None:
    """What is on disk, if it is whole."""
    try:
        return load()
    except Damaged as error:
        _log.warning("%s: it is made again", error)
        return None
