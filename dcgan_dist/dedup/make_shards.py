"""Thumbnails and codes of every shard, made by Ray tasks; what is there and whole is not made again."""

from __future__ import annotations

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
from dcgan_dist.dedup.shard_files import Damaged, ShardPictures, load_codes, load_pictures, make_codes, make_pictures
from dcgan_dist.similarity.codes import load_coder

Loaded = TypeVar("Loaded")
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Originals:
    """What is known of the samples besides their thumbnails."""

    resolution: NDArray[np.int64]
    """(n,) pixels of the originals."""
    faults: dict[int, str]
    """Row -> why it could not be read."""
    hashes: tuple[str, ...]
    """SHA-256 of each shard's thumbnails."""
    made: int
    """Shards whose thumbnails were made now."""

    @property
    def unreadable(self) -> NDArray[np.bool_]:
        """(n,)"""
        mask = np.zeros(len(self.resolution), bool)
        mask[list(self.faults)] = True
        return mask


def make_all_pictures(corpus: Corpus, folder: Path, cpus: int, say: Say) -> Originals:
    """Thumbnails of all shards; those with samples that could not be read are made again."""
    whole: dict[str, ShardPictures] = {}
    for shard in corpus.shards:
        found = _whole(partial(load_pictures, folder, shard), say)
        if found is not None and not found.faults:
            whole[shard.name] = found
    waiting = [shard for shard in corpus.shards if shard.name not in whole]
    with progress_bar(len(corpus), "thumbnails") as bar:
        bar.update(len(corpus) - sum(shard.entry.samples for shard in waiting))
        for shard, _ in run_tasks(_pictures_task, (corpus, folder), waiting, cpus=cpus):
            bar.update(shard.entry.samples)

    resolution, faults, hashes = np.zeros(len(corpus), np.int64), {}, []
    for first, shard in zip(corpus.starts.tolist(), corpus.shards, strict=False):
        found = whole.get(shard.name) or load_pictures(folder, shard)
        assert found is not None, shard.name
        resolution[first : first + shard.entry.samples] = found.resolution
        hashes.append(found.sha256)
        faults |= {first + row: fault for row, fault in found.faults.items()}
    return Originals(resolution=resolution, faults=faults, hashes=tuple(hashes), made=len(waiting))


def _pictures_task(shared: tuple[Corpus, Path], shard: CorpusShard) -> None:
    corpus, folder = shared
    make_pictures(folder, corpus.parts[shard.part], shard)


def make_all_codes(
    corpus: Corpus, folder: Path, coder_folder: Path, coder: str, originals: Originals, cpus: int, say: Say
) -> tuple[NDArray[np.bytes_], NDArray[np.uint8]]:
    """Keys (n,) and codes (n, code_bits / 8) of all rows.

    Args:
        corpus: the data sets.
        folder: of the results.
        coder_folder: of the fitted coder.
        coder: its hash.
        originals: of the thumbnails.
        cpus: tasks at once.
        say: prints a line.
    """
    loads = [
        partial(load_codes, folder, shard, coder, pictures)
        for shard, pictures in zip(corpus.shards, originals.hashes, strict=True)
    ]
    waiting = [shard for shard, load in zip(corpus.shards, loads, strict=True) if _whole(load, say) is None]
    with progress_bar(len(corpus), "codes") as bar:
        bar.update(len(corpus) - sum(shard.entry.samples for shard in waiting))
        shared = (corpus, folder, coder_folder, coder)
        for shard, _ in run_tasks(_codes_task, shared, waiting, cpus=cpus):
            bar.update(shard.entry.samples)
    loaded = [found for load in loads if (found := load()) is not None]
    keys, codes = zip(*loaded, strict=True)
    return np.concatenate(keys), np.concatenate(codes)


def _codes_task(shared: tuple[Corpus, Path, Path, str], shard: CorpusShard) -> None:
    corpus, folder, coder_folder, coder = shared
    make_codes(folder, corpus.parts[shard.part], shard, load_coder(coder_folder).encode, coder)


def _whole(load: Callable[[], Loaded | None], say: Say) -> Loaded | None:
    """What is on disk, if it is whole."""
    try:
        return load()
    except Damaged as error:
        say(f"warning: {error}: it is made again")
        return None
