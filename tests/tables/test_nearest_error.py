"""The growing nearest neighbour rule against brute force."""

from pathlib import Path

import numpy as np
import pytest

from dcgan_dist.errors import InputError
from dcgan_dist.tables.nearest_error import NearestError


def digits(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    return draw.random((n, 6), np.float32), draw.integers(0, 3, n)


def brute_force(queries: np.ndarray, truth: np.ndarray, vectors: np.ndarray, labels: np.ndarray) -> float:
    nearest = ((queries[:, None].astype(np.float64) - vectors) ** 2).sum(2).argmin(1)
    return 100 * float((labels[nearest] != truth).mean())


def test_error_after_every_block_is_that_of_all_vectors_so_far() -> None:
    (queries, truth), (vectors, labels) = digits(40, 0), digits(90, 1)
    nearest = NearestError(queries, truth)

    for first in range(0, 90, 25):
        nearest.add(vectors[first : first + 25], labels[first : first + 25])
        stop = min(first + 25, 90)
        assert nearest.percent() == pytest.approx(brute_force(queries, truth, vectors[:stop], labels[:stop]))


def test_going_on_from_a_file_gives_the_same_error(tmp_path: Path) -> None:
    (queries, truth), (vectors, labels) = digits(40, 0), digits(90, 1)
    before, after = NearestError(queries, truth), NearestError(queries, truth)
    before.add(vectors[:50], labels[:50])
    before.save(tmp_path / "kept.npz", "a", {"50": before.percent()})

    assert after.load(tmp_path / "kept.npz", "a") == {"50": before.percent()}
    after.add(vectors[50:], labels[50:])

    assert after.count == 90
    assert after.percent() == pytest.approx(brute_force(queries, truth, vectors, labels))


def test_a_file_of_another_search_or_a_torn_one_is_refused(tmp_path: Path) -> None:
    nearest = NearestError(*digits(4, 0))
    nearest.save(tmp_path / "kept.npz", "a", {})

    with pytest.raises(InputError, match="another model, data or seed"):
        nearest.load(tmp_path / "kept.npz", "b")
    (tmp_path / "kept.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(InputError, match="cannot be read"):
        nearest.load(tmp_path / "kept.npz", "a")
