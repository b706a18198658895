"""Thumbnails of any rows of a corpus, looked up in the files of its shards."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.dedup.corpus import Corpus
from dcgan_dist.dedup.shard_files import pictures_path
from dcgan_dist.similarity.thumbnails import SIDE


@dataclass(slots=True, eq=False)
class ThumbnailTable:
    """Thumbnails of all shards; travels to other processes as paths alone."""

    paths: list[str]
    """One .npy of each shard."""
    starts: NDArray[np.int64]
    """(shards + 1,) first row of each shard, and the end."""
    _mapped: dict[int, NDArray[np.uint8]] = field(init=False, default_factory=dict)

    @classmethod
    def of(cls, corpus: Corpus, folder: Path) -> Self:
        """The table of a corpus whose thumbnails are made."""
        return cls([str(pictures_path(folder, shard)) for shard in corpus.shards], corpus.starts)

    def __getstate__(self) -> list[Any]:
        return [self.paths, self.starts]

    def __setstate__(self, state: list[Any]) -> None:
        self.paths, self.starts = state
        self._mapped = {}

    def gather(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Thumbnails of some rows, in their order: (n, 3, 32, 32)."""
        pictures = np.empty((len(rows), 3, SIDE, SIDE), np.uint8)
        shards = np.searchsorted(self.starts, rows, side="right") - 1
        for shard in np.unique(shards).tolist():
            if shard not in self._mapped:
                self._mapped[shard] = np.load(Path(self.paths[shard]), mmap_mode="r", allow_pickle=False)
            inside = shards == shard
            pictures[inside] = self._mapped[shard][rows[inside] - self.starts[shard]]
        return pictures
