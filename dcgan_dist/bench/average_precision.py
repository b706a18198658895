"""How well distances rank true pairs before others, ties counted as one step."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Ranking:
    """Distances, which of them are true, and how often each counts; all (n,)."""

    distances: NDArray[np.int64]
    alike: NDArray[np.bool_]
    weights: NDArray[np.int64]
    ranked_share: float
    """Share of all true ones that have a distance."""

    @property
    def average_precision(self) -> float:
        """Sum over distances of the gain in recall times the precision once all of that distance are taken."""
        if not self.ranked_share:
            return 0.0
        return self.ranked_share * average_precision_score(self.alike, -self.distances, sample_weight=self.weights)

    def recall_at(self, precision: float) -> float:
        """Greatest recall at a distance to which at least this share is true."""
        if not self.ranked_share:
            return 0.0
        reached, recall, _ = precision_recall_curve(self.alike, -self.distances, sample_weight=self.weights)
        return self.ranked_share * float(recall[reached >= precision].max())


def rank(
    distances: NDArray[np.int64],
    alike: NDArray[np.bool_],
    unjudged: NDArray[np.int64] | None = None,
    *,
    total: int | None = None,
) -> Ranking:
    """A ranking of pairs, or of images by the distance to their nearest.

    Args:
        distances: (n,).
        alike: (n,) which are true.
        unjudged: (d,) number of pairs that nobody judged, by distance; they count as false. None: they are left out.
        total: true ones, where some have no distance; None: all have.
    """
    others = np.zeros(0, np.int64) if unjudged is None else unjudged
    return Ranking(
        distances=np.concatenate([distances, np.arange(len(others))]),
        alike=np.concatenate([alike, np.zeros(len(others), bool)]),
        weights=np.concatenate([np.ones(len(distances), np.int64), others]),
        ranked_share=float(alike.sum() / max(1, alike.sum() if total is None else total)),
    )
