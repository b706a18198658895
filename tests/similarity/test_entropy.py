"""Entropy against codes whose entropy is known."""

import numpy as np
import pytest

from dcgan_dist.similarity.entropy import code_entropy, collision_entropy_bound, equal_pairs, random_pair_distances


def repeated(values: np.ndarray, code_bytes: int = 16) -> np.ndarray:
    """Codes that hold one number each."""
    codes = np.zeros((len(values), code_bytes), np.uint8)
    codes[:, :4] = values.astype(">u4").view(np.uint8).reshape(-1, 4)
    return codes


def test_equal_pairs_are_those_of_a_double_loop() -> None:
    codes = repeated(np.random.default_rng(0).integers(0, 40, 120))

    expected = sum((codes[i] == codes[j]).all() for i in range(120) for j in range(i))

    assert equal_pairs(codes) == expected


@pytest.mark.parametrize("heavy", [0.0, 0.03, 0.3])
@pytest.mark.parametrize("values", [2_000, 200_000])
def test_the_bound_holds_in_nineteen_of_twenty_draws(heavy: float, values: int) -> None:
    rng, n, draws = np.random.default_rng(1), 400, 300
    true_bits = -np.log2(heavy**2 + (1 - heavy) ** 2 / values)
    too_high = 0
    for _ in range(draws):
        numbers = np.where(rng.random(n) < heavy, values, rng.integers(0, values, n))
        too_high += collision_entropy_bound(n, equal_pairs(repeated(numbers))) > true_bits

    assert too_high / draws <= 0.05 + 3 * (0.05 * 0.95 / draws) ** 0.5


def test_the_bound_comes_near_the_truth_where_there_are_many_collisions() -> None:
    numbers = np.random.default_rng(2).integers(0, 2**12, 100_000)

    assert 11.8 < collision_entropy_bound(len(numbers), equal_pairs(repeated(numbers))) <= 12


def test_fair_bits_have_as_many_degrees_of_freedom_as_bits() -> None:
    codes = np.random.default_rng(3).integers(0, 256, (20_000, 16), dtype=np.uint8)

    measured = code_entropy(codes)

    assert measured.degrees_of_freedom_low <= 128 * 1.03
    assert measured.degrees_of_freedom == pytest.approx(128, rel=0.05)
    assert measured.mean_distance == pytest.approx(64, abs=0.3)


def test_bits_repeated_four_times_have_a_quarter() -> None:
    fair = np.random.default_rng(4).integers(0, 256, (20_000, 4), dtype=np.uint8)

    assert code_entropy(np.tile(fair, 4)).degrees_of_freedom == pytest.approx(32, rel=0.05)


def test_equal_codes_have_no_entropy() -> None:
    measured = code_entropy(np.zeros((100, 16), np.uint8))

    assert measured.collision_entropy_bits < 0.5
    assert measured.degrees_of_freedom == 0


def test_random_pairs_are_disjoint() -> None:
    codes = np.eye(64, dtype=np.uint8) * 255

    assert (random_pair_distances(codes) == 16).all()
    assert len(random_pair_distances(codes)) == 32
