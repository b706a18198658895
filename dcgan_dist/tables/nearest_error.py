"""Error of the nearest neighbour rule while its training set grows: exact, a block of it in memory at a time."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.errors import require
from dcgan_dist.neighbors.nearest import NearestL2
from dcgan_dist.tables.feature_table import read_or_removed, written_whole


class NearestError:
    """Takes in labelled vectors and knows at any time how many queries are nearest to a vector of a wrong class."""

    def __init__(self, queries: NDArray[np.float32], truth: NDArray[np.int64]) -> None:
        """Take queries (q, d) float32 and their classes (q,)."""
        self.truth = truth
        self._search = NearestL2(queries)
        self._labels = np.full(len(queries), -1, np.int64)

    @property
    def count(self) -> int:
        """Vectors taken in."""
        return self._search.count

    def add(self, vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        """Take in vectors (b, d) float32 with classes (b,); of equally near vectors the earliest counts."""
        first = self._search.count
        self._search.add(vectors)
        nearest = self._search.ids[:, 0]
        new = nearest >= first
        self._labels[new] = labels[nearest[new] - first]

    def percent(self) -> float:
        """Share of the queries whose nearest vector so far is of another class."""
        return float(100 * (self._labels != self.truth).mean())

    def save(self, path: Path, identity: str, figures: dict[str, float]) -> None:
        """Write the state to go on from, small whatever the number of vectors, with figures measured so far by name.

        The identity is a hash of vectors and queries, which `load` compares.

        Raises:
            InputError: the file cannot be written.
        """
        search = self._search
        with written_whole(path) as file:
            np.savez(
                file,
                identity=identity,
                squared_distances=search.squared_distances,
                ids=search.ids,
                seen=search.count,
                labels=self._labels,
                names=np.array(list(figures), dtype=str),
                values=np.array(list(figures.values()), np.float64),
            )

    def load(self, path: Path, identity: str) -> dict[str, float]:
        """Go on from a file, if it is there and of the same search; returns the figures that `save` was given.

        Raises:
            InputError: the file is of another search, or torn.
        """
        if not path.is_file():
            return {}
        with read_or_removed(path), np.load(path, allow_pickle=False) as arrays:
            content = dict(arrays)
        require(
            str(content["identity"]) == identity,
            f"{path} is of another model, data or seed: choose another `out`, or remove that file",
        )
        self._search.squared_distances, self._search.ids = content["squared_distances"], content["ids"]
        self._search.count, self._labels = int(content["seen"]), content["labels"]
        return dict(zip(content["names"].tolist(), content["values"].tolist(), strict=True))
