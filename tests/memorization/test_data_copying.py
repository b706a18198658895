"""C_T: the rank test against scipy, its false alarms under the null, its power, and where it must not be believed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import binom, mannwhitneyu

from dcgan_dist.memorization import data_copying as data_copying_module
from dcgan_dist.memorization.data_copying import SIGNIFICANT, DataCopying, data_copying
from dcgan_dist.memorization.distances import make_cells, mann_whitney

Features = NDArray[np.float32]
VALUES = arrays(np.float64, st.integers(2, 40), elements=st.integers(0, 8).map(float))


@given(first=VALUES, second=VALUES)
@settings(max_examples=100, deadline=None)
def test_ranks_equal_those_of_scipy_with_and_without_ties(first: Features, second: Features) -> None:
    if len(np.unique(np.concatenate([first, second]))) == 1:
        assert mann_whitney(first, second)["z"] == 0
        return

    result = mann_whitney(first, second)
    expected = mannwhitneyu(first, second, alternative="less", method="asymptotic", use_continuity=False)

    assert result["u"] == pytest.approx(expected.statistic)
    assert result["p_below"] == pytest.approx(expected.pvalue, abs=1e-12)


def check(samples: Features, train: Features, held_out: Features, cells: int = 1, **settings: int) -> DataCopying:
    result = data_copying(samples, train, held_out, cells=cells, **settings)
    assert result is not None
    return result


def draw(rng: np.random.Generator, n: int, spread: float = 1.0) -> Features:
    """Images of a source with clusters."""
    centres = np.random.default_rng(99).standard_normal((5, 8)) * 3
    return (centres[rng.integers(0, 5, n)] + spread * rng.standard_normal((n, 8))).astype(np.float32)


def test_statistic_equals_the_definition() -> None:
    rng = np.random.default_rng(0)
    samples, train, held_out = draw(rng, 200), draw(rng, 300), draw(rng, 150)
    centres = make_cells(np.concatenate([train, held_out]), 3)
    of_samples, of_train, of_held_out = (cdist(x, centres).argmin(1) for x in (samples, train, held_out))

    total, weight = 0.0, 0
    for cell in range(3):
        of_train_in_cell = train[of_train == cell]
        first = cdist(samples[of_samples == cell], of_train_in_cell).min(1)
        second = cdist(held_out[of_held_out == cell], of_train_in_cell).min(1)
        n, m = len(first), len(second)
        u = (first[:, None] > second[None]).sum()
        total += m * (u - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12)
        weight += m

    assert check(samples, train, held_out, 3, permutations=1).c_t == pytest.approx(total / weight, abs=1e-9)


def test_false_alarms_under_the_null_are_as_rare_as_stated() -> None:
    rng = np.random.default_rng(1)
    results = [check(draw(rng, 60), draw(rng, 120), draw(rng, 60), 2, permutations=199) for _ in range(150)]

    for level in (0.01, 0.05, 0.2):
        for p_values in ([result.p_value for result in results], [result.p_exchangeable for result in results]):
            assert np.mean(np.array(p_values) <= level) <= binom.ppf(0.999, 150, level) / 150


def test_smooth_samples_that_copy_nothing_fail_the_published_test_but_not_ours() -> None:
    rng = np.random.default_rng(2)
    smooth = draw(rng, 300, spread=0.4)  # nearer to the middle of every cluster than images are

    result = check(smooth, draw(rng, 600), draw(rng, 300))

    assert result.p_normal < 1e-6
    assert not result.significant
    assert result.permuted_mean == pytest.approx(result.c_t, abs=1.5)


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_noisy_copies_are_found_even_where_they_are_smooth(share: float) -> None:
    rng = np.random.default_rng(3)
    train = draw(rng, 600)
    samples = draw(rng, 300, spread=0.8)
    copies = rng.random(300) < share
    samples[copies] = train[rng.integers(0, 600, int(copies.sum()))] + 0.2 * rng.standard_normal(
        (int(copies.sum()), 8)
    ).astype(np.float32)

    result = check(samples, train, draw(rng, 300), 3)

    assert result.significant
    assert result.exchangeable


def test_few_training_images_and_many_held_out_ones_are_enough() -> None:
    rng = np.random.default_rng(4)
    train = draw(rng, 50)

    assert check(train[rng.integers(0, 50, 200)] + np.float32(0.1), train, draw(rng, 500)).significant
    assert not check(draw(rng, 200), train, draw(rng, 500)).significant


def test_held_out_images_of_another_source_are_noticed() -> None:
    rng = np.random.default_rng(5)

    result = check(draw(rng, 300), draw(rng, 300), draw(rng, 300) + np.float32(1.0))

    assert result.significant
    assert not result.exchangeable


def near(rng: np.random.Generator, images: Features, n: int) -> Features:
    """Near copies of some of the images."""
    chosen = images[rng.integers(0, len(images), n)]
    return (chosen + 0.1 * rng.standard_normal(chosen.shape)).astype(np.float32)


def test_training_images_that_repeat_themselves_as_held_out_ones_do_not_are_noticed() -> None:
    rng = np.random.default_rng(5)
    distinct = draw(rng, 400)

    result = check(draw(rng, 300), np.concatenate([distinct, near(rng, distinct, 200)]), draw(rng, 300))

    assert result.p_permuted <= SIGNIFICANT
    assert not result.exchangeable


def test_samples_that_lie_no_nearer_than_held_out_images_are_innocent_whatever_the_training_images() -> None:
    rng = np.random.default_rng(1)
    train = np.concatenate([draw(rng, 480), draw(rng, 120, spread=0.3)])  # some are smooth, so near to everything

    result = check(draw(rng, 300), train, draw(rng, 300))

    assert result.p_permuted <= SIGNIFICANT
    assert not result.significant


def test_near_duplicates_of_training_images_among_held_out_ones_do_not_excuse_copies() -> None:
    rng = np.random.default_rng(5)
    train = draw(rng, 600)
    held_out = np.concatenate([draw(rng, 200), near(rng, train, 100)])

    result = check(near(rng, train, 300), train, held_out)

    assert result.significant
    assert result.exchangeable


def test_identical_images_in_both_sets_do_no_harm() -> None:
    rng = np.random.default_rng(6)
    train, held_out = draw(rng, 200), draw(rng, 200)
    train[:50] = train[0]
    held_out[:20] = train[0]

    assert not check(draw(rng, 200), train, held_out).significant


def test_no_cell_with_enough_images_gives_no_answer() -> None:
    rng = np.random.default_rng(7)
    few = draw(rng, 10)

    assert data_copying(few, few, few) is None


def test_the_same_seed_gives_the_same_answer() -> None:
    rng = np.random.default_rng(8)
    sets = draw(rng, 100), draw(rng, 100), draw(rng, 100)

    assert check(*sets, 2, seed=3) == check(*sets, 2, seed=3)


def test_of_many_training_images_some_are_compared_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_copying_module, "MOST_TRAIN", 40)
    rng = np.random.default_rng(9)

    result = check(draw(rng, 50), draw(rng, 100), draw(rng, 50))

    assert (result.train, result.train_given) == (40, 100)
    assert sum(cell[0] for cell in result.cells) == 40
