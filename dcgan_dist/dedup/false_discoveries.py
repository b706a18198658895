"""What unrelated images look like to a code and a verifier: the measure of false discoveries."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from dcgan_dist.dedup.pair_files import ScoredPairs
from dcgan_dist.similarity.verifier import Axis

FLIPS: dict[str, Axis] = {"mirror": 3, "upside_down": 2}
"""Axes of (n, c, h, w) that are flipped."""
QUERIES = 5000
FALSE_WEIGHT = 5
"""True pairs that a false one outweighs."""
SURE_SCORE = 0.95
"""What scores this much is accepted whatever the mirror says: a set may hold a mirrored copy of everything."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FlipTest:
    """Flipped images searched for among the images themselves: what they find shows nothing that is there.

    A photograph in a mirror is as likely as the photograph, so a mirrored image finds unrelated ones as often as the image
    does; but it also finds copies that really are mirrored, so the mirror overestimates false
    discoveries. An image upside down meets no such copies, but is no likely photograph: it
    underestimates them. Images related to the queried one are not counted.
    """

    queries: int
    """Flipped images."""
    rows: int
    """Images searched."""
    found: ScoredPairs
    """(flipped row, row) within the radius, related images left out; first need not be the smaller."""

    def expected(self, accepted: int, *, confidence: float | None = None) -> float:
        """Unrelated pairs to expect among all pairs of the images, where so many of `found` were accepted.

        Args:
            accepted: of `found`.
            confidence: None: the estimate itself; else the upper bound of a Poisson count.
        """
        most = accepted if confidence is None else float(chi2.ppf(confidence, 2 * accepted + 2)) / 2
        return most / max(1, self.queries) * self.rows / 2  # each pair can be found from both of its ends


def separating_threshold(scores: NDArray[np.float32], mirror: FlipTest, least: float) -> float:
    """The score from which pairs are related with some certainty, by what mirrored images find.

    Of the T(t) pairs that score at least t, the mirror expects F(t) to be false. Where T - FALSE_WEIGHT F is greatest, the
    next pairs below would be false for more than one in FALSE_WEIGHT. Copies that really are mirrored are few beside the
    others at every score, and move it little; a set whose images are alike by nature moves it far.

    Args:
        scores: of all candidates.
        mirror: of the same images, radius and verifier.
        least: score below which nothing is accepted.
    """
    scores = scores[scores >= least]
    found = np.unique(mirror.found.scores[(mirror.found.scores >= least) & (mirror.found.scores < SURE_SCORE)])
    thresholds = np.concatenate([[least], np.nextafter(found, np.float32(2))]).astype(np.float64)
    accepted = len(scores) - np.searchsorted(np.sort(scores), thresholds)
    false = len(mirror.found.scores) - np.searchsorted(np.sort(mirror.found.scores), thresholds)
    return float(thresholds[np.argmax(accepted - FALSE_WEIGHT * mirror.expected(1) * false)])
