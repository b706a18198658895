"""Codes of flipped images, kept: where images come later, those of the old queries are not made again."""

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.dedup.corpus import Corpus
from dcgan_dist.dedup.shard_files import Damaged, damages_of, read_npz, write_npz

_log = logging.getLogger(__name__)


class FlippedCodes:
    """Codes of some rows of a corpus, in a file that counts them by shard."""

    def __init__(self, path: Path, corpus: Corpus, names: tuple[str, ...]) -> None:
        """Read what the file has of the corpus; nothing where it is missing or damaged, as all can be made again.

        Args:
            path: of the file; what else the codes depend on is in its name.
            corpus: of the rows.
            names: of its shards, by content.
        """
        self._path, self._corpus, self._names = path, corpus, names
        self.rows = np.zeros(0, np.int64)
        """(q,) ascending."""
        self.codes = np.zeros((0, 0), np.uint8)
        """(q, code_bits / 8)"""
        try:
            kept = read_npz(path)
            with damages_of(path):
                numbers = {name: number for number, name in enumerate(names)}
                shards = np.array([numbers.get(str(name), -1) for name in kept["shards"]], np.int64)[kept["shard"]]
                rows = corpus.starts[shards] + kept["sample"]
                if not rows.shape == shards.shape == kept["codes"].shape[:1]:
                    raise ValueError("columns of unequal length")
                self._keep(rows[shards >= 0], kept["codes"][shards >= 0])
        except FileNotFoundError:
            return
        except Damaged as error:
            _log.warning("%s: it is made again", error)

    def _keep(self, rows: NDArray[np.int64], codes: NDArray[np.uint8]) -> None:
        order = np.argsort(rows)
        self.rows, self.codes = rows[order], codes[order]

    def lacking(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of some rows that have no code yet."""
        return np.setdiff1d(rows, self.rows)

    def add(self, rows: NDArray[np.int64], codes: NDArray[np.uint8]) -> None:
        """Keep the codes of rows that had none."""
        codes = np.concatenate([self.codes, codes]) if len(self.rows) else codes
        self._keep(np.concatenate([self.rows, rows]), codes)
        shards = np.searchsorted(self._corpus.starts, self.rows, side="right") - 1
        samples = self.rows - self._corpus.starts[shards]
        write_npz(self._path, shards=np.array(self._names), shard=shards, sample=samples, codes=self.codes)

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Codes of rows that all have one, in their order."""
        return self.codes[np.searchsorted(self.rows, rows)]
