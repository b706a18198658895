"""What the report of a de-duplication shows is chosen as it says."""

import numpy as np
import pytest

from dcgan_dist.dedup.duplicates_page import _extreme
from dcgan_dist.dedup.pair_files import ScoredPairs


@pytest.mark.parametrize("eligible", [0, 3, 40])
@pytest.mark.parametrize("lowest", [True, False])
def test_pairs_of_extreme_score_are_those_of_a_plain_sort(eligible: int, lowest: bool) -> None:
    rng = np.random.default_rng(0)
    pairs = ScoredPairs(
        np.arange(40),
        np.arange(40, 80),
        rng.integers(0, 50, 40).astype(np.int16),
        rng.integers(-3, 3, 40).astype(np.float32),  # many are equal
    )
    among = rng.permutation(40) < eligible

    chosen = _extreme(pairs, 12, lowest=lowest, among=among)

    def order(row: int) -> tuple[float, float]:
        score, distance = float(pairs.scores[row]), int(pairs.distances[row])
        return (score, -distance) if lowest else (-score, distance)

    expected = sorted(np.flatnonzero(among).tolist(), key=order)[:12]
    assert [order(row) for row in chosen.first.tolist()] == [order(row) for row in expected]
    assert among[chosen.first].all()
