"""The verdict follows its rules: failures first, then doubts, then pass."""

import dataclasses

import pytest

from dcgan_dist.memorization.copying import Calibration, CopyRate
from dcgan_dist.memorization.data_copying import DataCopying
from dcgan_dist.memorization.verdict import decide

CALIBRATION = Calibration(
    threshold=0.9,
    held_out_copies=2,
    held_out=2100,
    samples=5000,
    critical=20,
    recognised=0.9,
    limit=0.006,
)
FEW = CopyRate(copies=4, samples=5000, rate=0.0008, low=0.0002, high=0.002, p_value=0.5)
MANY = CopyRate(copies=400, samples=5000, rate=0.08, low=0.07, high=0.09, p_value=1e-9)
AT_HOME = CopyRate(copies=150, samples=5000, rate=0.03, low=0.025, high=0.035, p_value=0.4)
INNOCENT = DataCopying(
    c_t=-9.0,
    p_value=0.4,
    p_normal=1e-19,
    p_permuted=0.4,
    permutations=50,
    permuted_mean=-9.0,
    train=60_000,
    train_given=60_000,
    cells=(),
    p_exchangeable=0.5,
)
GUILTY = dataclasses.replace(INNOCENT, p_value=0.001, p_permuted=0.001, permutations=999)
UNLIKE_BY_CHANCE = dataclasses.replace(GUILTY, p_exchangeable=0.005)
OTHER_SOURCE = dataclasses.replace(GUILTY, p_exchangeable=0.001)


@pytest.mark.parametrize(
    ("held_out", "rate", "limit", "copying", "verdict"),
    [
        (2000, FEW, 0.006, INNOCENT, "pass"),
        (2000, FEW, 0.006, None, "pass"),
        (2000, AT_HOME, 0.006, INNOCENT, "pass"),
        (2000, MANY, 0.006, INNOCENT, "fail"),
        (2000, FEW, 0.006, GUILTY, "fail"),
        (100, MANY, None, INNOCENT, "fail"),
        (100, FEW, 0.006, GUILTY, "fail"),
        (2000, FEW, 0.006, UNLIKE_BY_CHANCE, "fail"),
        (2000, FEW, 0.006, OTHER_SOURCE, "inconclusive"),
        (999, FEW, 0.006, INNOCENT, "inconclusive"),
        (1000, FEW, 0.01, INNOCENT, "pass"),
        (2000, FEW, 0.0101, INNOCENT, "inconclusive"),
        (2000, FEW, None, INNOCENT, "inconclusive"),
        (0, None, None, None, "inconclusive"),
    ],
)
def test_verdict(
    held_out: int, rate: CopyRate | None, limit: float | None, copying: DataCopying | None, verdict: str
) -> None:
    calibration = dataclasses.replace(CALIBRATION, limit=limit) if rate else None

    judged = decide(held_out, 100, rate, calibration, copying)

    assert judged.verdict == verdict
    assert judged.reasons


def test_every_cause_of_a_failure_is_named() -> None:
    assert len(decide(2000, 0, MANY, CALIBRATION, GUILTY).reasons) == 2


def test_the_number_that_is_missing_is_named() -> None:
    judged = decide(0, 946, None, None, None)

    assert "946" in judged.reasons[0]
    assert "1,000" in judged.reasons[0]


@pytest.mark.parametrize("copying", [INNOCENT, GUILTY])
def test_how_many_training_images_the_data_copying_test_saw_is_said(copying: DataCopying) -> None:
    of_many = dataclasses.replace(copying, train_given=3_000_000)

    few, all_of_them = (decide(2000, 0, FEW, CALIBRATION, result).reasons[-1] for result in (of_many, copying))

    assert ", 60,000 of 3,000,000 training images)" in few
    assert "training images)" not in all_of_them


def test_a_further_doubt_keeps_from_a_pass_but_not_from_a_failure() -> None:
    judged = [decide(2000, 0, rate, CALIBRATION, INNOCENT, ["a doubt"]) for rate in (FEW, MANY)]

    assert [verdict.verdict for verdict in judged] == ["inconclusive", "fail"]
    assert "a doubt" in judged[0].reasons
