"""How well distances rank true pairs before others, ties counted as one step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Ranking:
    """True and false ones at each whole distance."""

    true: Counts
    """(d,) at each distance."""
    false: Counts
    """(d,) at each distance."""
    total: int
    """True ones, those included that have no distance."""

    @property
    def average_precision(self) -> float:
        """Sum over distances of the gain in recall times the precision once all of that distance are taken."""
        found, precision = self._steps()
        return float((self.true * precision).sum() / max(1, self.total)) if len(found) else 0.0

    def recall_at(self, precision: float) -> float:
        """Greatest recall at a distance to which at least this share is true."""
        found, reached = self._steps()
        return float(found[reached >= precision].max(initial=0) / max(1, self.total))

    def _steps(self) -> tuple[Counts, NDArray[np.float64]]:
        found = self.true.cumsum()
        return found, found / np.maximum(1, found + self.false.cumsum())


def rank_pairs(
    distances: Counts, alike: NDArray[np.bool_], unjudged: Counts | None = None, *, total: int | None = None
) -> Ranking:
    """Judged pairs by distance.

    Args:
        distances: (n,) whole, not negative.
        alike: (n,) which are true.
        unjudged: (d,) pairs nobody judged, by distance, counted false; None: left out.
        total: true pairs, where some have no distance; None: all have.
    """
    length = max(int(distances.max(initial=0)) + 1, 0 if unjudged is None else len(unjudged))
    true, false = (np.bincount(distances[which], minlength=length) for which in (alike, ~alike))
    if unjudged is not None:
        false = false + unjudged
    return Ranking(true=true, false=false, total=int(alike.sum()) if total is None else total)


def rank_images(nearest: Counts, alike: NDArray[np.bool_], *, missing: int | None = None) -> Ranking:
    """Images by the distance to their nearest; `missing` stands for having none, which finds nothing."""
    there = np.ones(len(nearest), bool) if missing is None else nearest != missing
    return rank_pairs(nearest[there], alike[there], total=int(alike.sum()))
