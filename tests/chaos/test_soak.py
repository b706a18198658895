"""Whatever is killed, stopped or damaged while it trains, a run ends with the result it would have had."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from dcgan_dist.config import TrainConfig
from tests.chaos.conftest import STEPS, result_of
from tests.chaos.faults import FAULTS
from tests.chaos.soak import Injected, Soak

pytestmark = pytest.mark.chaos

Table = Callable[[list[Injected], str], None]


def soak(config: TrainConfig, session: str, faults: list[str], expected: dict, table: Table, *, seed: int) -> Soak:
    """Run with faults, record them, and check that nothing of them shows in the result."""
    steps_between = config.images // config.data.batch_size // (2 * len(faults))
    run = Soak(config, session, faults, seed=seed, steps=steps_between)
    code = run.run()
    seen = result_of(config)
    exact = seen["sha256"] == expected["sha256"] and seen["sha256_with_log"] == expected["sha256_with_log"]
    table(run.injected, "exact" if exact else "different")

    assert code == 0
    assert [one.fault for one in run.injected] == faults
    assert exact, run.injected
    return run


def steps_lost_allowed(config: TrainConfig, one: Injected) -> int:
    """One interval, two where the newest checkpoint was damaged, and the steps of one report that came late."""
    interval = config.checkpoint_every_images // config.data.batch_size
    return (3 if "damaged" in one.fault else 2) * interval


@pytest.mark.timeout(600)
def test_every_fault_once_in_one_run(
    soak_config: Callable[..., TrainConfig], straight: Callable[[int], dict], session: str, table: Table
) -> None:
    expected, config = straight(STEPS), soak_config()

    run = soak(config, session, list(FAULTS), expected, table, seed=1)

    for one in run.injected:
        assert one.steps_lost <= steps_lost_allowed(config, one), one
    said = "\n".join(run.said)
    assert "took no step for" in said
    assert "is damaged" in said
    assert "was torn and is not needed" in said


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_fifty_kills_of_a_rank_at_random_steps(
    soak_config: Callable[..., TrainConfig], straight: Callable[[int], dict], session: str, table: Table
) -> None:
    expected, config = straight(2000), soak_config(2000)

    run = soak(config, session, ["SIGKILL of a rank"] * 50, expected, table, seed=50)

    for one in run.injected:
        assert one.steps_lost <= steps_lost_allowed(config, one), one
        assert one.seconds <= 30, one


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [11, 12])
def test_random_faults_replayable_by_seed(
    soak_config: Callable[..., TrainConfig], straight: Callable[[int], dict], session: str, table: Table, seed: int
) -> None:
    faults = random.Random(seed).choices(list(FAULTS), k=10)

    soak(soak_config(), session, faults, straight(STEPS), table, seed=seed)
