"""Whether few training images are the nearest of many samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Hubs:
    """How the nearest training images of some images are spread."""

    distinct: int
    """Training images that are the nearest of at least one."""
    most: int
    """Images that the most frequent one is the nearest of."""
    share_of_ten: float
    """Share of the images whose nearest is among the ten most frequent ones."""
    ids: tuple[int, ...]
    """Those ten, most frequent first."""


def count_hubs(nearest: NDArray[np.int64]) -> Hubs:
    """Count how often each training image is the nearest one.

    A smooth or average picture is near to everything, with or without copying: compare the counts of samples with those of
    as many held-out images.

    Args:
        nearest: (n,) row of the nearest training image of each image, n at least 1.
    """
    ids, counts = np.unique(nearest, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:10]
    return Hubs(
        distinct=len(ids),
        most=int(counts.max()),
        share_of_ten=float(counts[order].sum() / len(nearest)),
        ids=tuple(ids[order].tolist()),
    )
