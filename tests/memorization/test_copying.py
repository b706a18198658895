"""Copy rate: its interval, its exact false alarms, its detection limit; against scipy, enumeration and simulation."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from dcgan_dist.memorization.copying import (
    CHANCE,
    HELD_OUT_SHARE,
    POWER,
    THRESHOLDS,
    calibrate,
    clopper_pearson,
    copy_rate,
    critical_count,
    detection_limit,
    enough_images,
    exceedance_p_value,
    power,
)


@given(trials=st.integers(1, 3000), data=st.data())
@settings(max_examples=50, deadline=None)
def test_interval_equals_that_of_scipy(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))

    expected = binomtest(successes, trials).proportion_ci(method="exact")

    assert clopper_pearson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_exceedance_probability_equals_counting_all_arrangements() -> None:
    samples, held_out = 4, 5
    arrangements = list(combinations(range(samples + held_out), held_out))  # ranks of held-out images, 0 highest
    for held_out_copies, copies in product(range(held_out), range(samples + 1)):
        samples_beyond = [ranks[held_out_copies] - held_out_copies for ranks in arrangements]
        exceeding = sum(beyond >= copies for beyond in samples_beyond)
        p_value = exceedance_p_value(copies, samples, held_out_copies, held_out)
        assert p_value == pytest.approx(exceeding / len(arrangements))


@pytest.mark.parametrize(("samples", "held_out"), [(1000, 1000), (5000, 1500), (2000, 5000)])
def test_samples_like_held_out_images_are_rarely_called_copies(samples: int, held_out: int) -> None:
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(100):
        scores, held_out_scores, planted = rng.standard_normal(samples), rng.standard_normal(held_out), np.full(50, 9.0)
        calibration = calibrate(held_out_scores, np.ones(held_out, bool), planted, samples)
        alarms += copy_rate(scores, calibration).too_many

    assert alarms <= binom.ppf(0.9999, 100, CHANCE)


def test_p_allows_for_every_threshold_that_was_tried() -> None:
    rng = np.random.default_rng(4)
    held_out_scores, scores = rng.standard_normal(5000), rng.standard_normal(5000)
    scores[:12] += 9
    calibration = calibrate(held_out_scores, np.ones(5000, bool), np.full(50, 9.0), 5000)
    result = copy_rate(scores, calibration)

    alone = exceedance_p_value(result.copies, 5000, calibration.held_out_copies, 5000)
    assert result.p_value == min(1.0, THRESHOLDS * alone) > alone > 0
    least = calibration.critical
    for copies, many in ((least, True), (least - 1, False)):
        p_value = exceedance_p_value(copies, 5000, calibration.held_out_copies, 5000)
        enough = clopper_pearson(copies, 5000)[0] > HELD_OUT_SHARE
        assert (THRESHOLDS * p_value <= CHANCE and enough) is many


def test_a_data_set_that_repeats_itself_is_no_copy() -> None:
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(20):  # of 100 images of this source 3 are near duplicates of training images
        scores, held_out_scores = rng.standard_normal(5000), rng.standard_normal(5000)
        scores[rng.random(5000) < 0.03] += 6
        held_out_scores[repeated := rng.random(5000) < 0.03] += 6
        calibration = calibrate(held_out_scores, ~repeated, np.full(50, 7.0), 5000)
        alarms += copy_rate(scores, calibration).too_many

    assert alarms <= binom.ppf(0.9999, 20, CHANCE)


def test_the_threshold_leaves_at_most_one_in_a_thousand_held_out_images_beyond_it() -> None:
    rng = np.random.default_rng(2)
    for held_out in (10, 999, 1000, 4321):
        scores = rng.standard_normal(held_out)
        calibration = calibrate(scores, np.ones(held_out, bool), rng.standard_normal(100) + 3, 3000)
        assert (scores > calibration.threshold).sum() == calibration.held_out_copies <= HELD_OUT_SHARE * held_out


@pytest.mark.parametrize(("samples", "held_out"), [(2000, 1000), (10000, 5000)])
def test_copies_planted_at_the_detection_limit_are_found_as_often_as_it_says(samples: int, held_out: int) -> None:
    """Samples come from the source, not from the scores that the limit was computed from: nothing makes it right by itself."""
    rng = np.random.default_rng(3)
    alarms = []
    for _ in range(300):
        held_out_scores = rng.standard_normal(held_out)
        calibration = calibrate(held_out_scores, np.ones(held_out, bool), rng.standard_normal(600) + 5.0, samples)
        assert calibration.limit is not None
        assert calibration.limit < 0.04
        scores = rng.standard_normal(samples)
        planted = rng.random(samples) < calibration.limit
        scores[planted] = rng.standard_normal(int(planted.sum())) + 5.0
        alarms.append(copy_rate(scores, calibration).too_many)

    assert np.mean(alarms) == pytest.approx(POWER, abs=0.04)


def test_power_falls_with_the_rate_and_the_limit_is_where_it_crosses() -> None:
    arguments = (3000, 20, 0.8, 0.001)
    limit = detection_limit(*arguments)
    assert limit is not None

    rates = np.geomspace(0.001, 0.1, 30)
    powers = [power(rate, *arguments) for rate in rates]

    assert powers == sorted(powers)
    assert power(limit, *arguments) >= POWER > power(limit / 1.02, *arguments)


def test_where_copies_cannot_be_told_there_is_no_limit() -> None:
    calibration = calibrate(np.arange(1000.0), np.ones(1000, bool), np.zeros(10), 1000)

    assert calibration.limit is None


def test_equal_scores_are_not_beyond_the_threshold() -> None:
    calibration = calibrate(np.zeros(2000), np.ones(2000, bool), np.ones(10), 2000)

    assert calibration.held_out_copies == 0
    assert copy_rate(np.zeros(2000), calibration).copies == 0


def test_with_as_many_images_as_are_advised_the_limit_is_reached() -> None:
    shown = calibrate(np.linspace(0, 1, 1500), np.arange(1500) < 1400, np.full(600, 0.95), 2000)
    assert shown.limit is not None
    assert shown.limit > 0.01

    enough = enough_images(shown, 0.01)

    assert enough is not None
    samples, held_out = enough
    beyond = round(shown.held_out_copies * held_out / 1500)
    share = shown.held_out_copies / 1500
    limit = detection_limit(samples, critical_count(samples, beyond, held_out), shown.recognised, share)
    assert limit is not None
    assert limit <= 0.01
    assert samples > 2000
    assert enough_images(shown, 1e-9) is None
