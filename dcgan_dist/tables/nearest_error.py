"""Error of the nearest neighbour rule while its training set grows: exact, a block of it in memory at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.errors import InputError, require
from dcgan_dist.files import whole_file
from dcgan_dist.neighbors.nearest import NearestL2


class NearestError:
    """Takes in labelled vectors and knows at any time how many queries have a nearest one of a wrong class."""

    def __init__(self, queries: NDArray[np.float32], truth: NDArray[np.int64]) -> None:
        """Take queries (q, d) float32 and their classes (q,)."""
        self.truth = truth
        self._search = NearestL2(queries)
        self._labels = np.full(len(queries), -1, np.int64)

    @property
    def seen(self) -> int:
        """Vectors taken in."""
        return self._search.seen

    def add(self, vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        """Take in vectors (b, d) float32 with classes (b,); among equally near ones the earliest counts."""
        first = self._search.seen
        self._search.add(vectors)
        nearest = self._search.ids[:, 0]
        new = nearest >= first
        self._labels[new] = labels[nearest[new] - first]

    def percent(self) -> float:
        """Share of the queries whose nearest vector so far is of another class."""
        return float(100 * (self._labels != self.truth).mean())

    def save(self, path: Path, identity: str, figures: dict[str, float]) -> None:
        """Write what has been found so far, to go on from: small, whatever the number of vectors was."""
        search = self._search
        try:
            with whole_file(path) as unfinished, unfinished.open("wb") as file:
                np.savez(
                    file,
                    identity=identity,
                    squared_distances=search.squared_distances,
                    ids=search.ids,
                    seen=search.seen,
                    labels=self._labels,
                    names=np.array(list(figures), dtype=str),
                    values=np.array(list(figures.values()), np.float64),
                )
        except OSError as error:
            raise InputError(f"`out` {path.parent} cannot be written ({error.strerror}): make room") from error

    def load(self, path: Path, identity: str) -> dict[str, float]:
        """Go on from a file, if it is there and of the same search; returns the figures kept with it.

        Raises:
            InputError: the file is of another search, or torn.
        """
        if not path.is_file():
            return {}
        try:
            with np.load(path, allow_pickle=False) as kept:
                content: dict[str, Any] = dict(kept)
        except (OSError, ValueError, EOFError, BadZipFile) as error:
            raise InputError(f"{path} cannot be read ({error}): remove it, and the search begins anew") from error
        require(
            str(content["identity"]) == identity,
            f"{path} is of another model, data or seed: choose another `out`, or remove that file",
        )
        self._search.squared_distances, self._search.ids = content["squared_distances"], content["ids"]
        self._search.seen, self._labels = int(content["seen"]), content["labels"]
        return dict(zip(content["names"].tolist(), content["values"].tolist(), strict=True))
