"""Whatever is killed, stopped or damaged while it trains, a run ends with the result it would have had."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from dcgan_dist.config import TrainConfig
from tests.chaos.conftest import STEPS, check_exact, nothing_left
from tests.chaos.cost import Table
from tests.chaos.faults import FAULTS
from tests.chaos.soak import Soak

pytestmark = pytest.mark.chaos


def soak(config: TrainConfig, session: str, faults: list[str], expected: dict, table: Table, *, seed: int) -> Soak:
    """Run with faults, record them, and check that nothing of them shows in the result, or stays behind."""
    steps_between = config.images // config.data.batch_size // (2 * len(faults))
    run = Soak(config, session, faults, seed=seed, steps=steps_between)
    code = run.run()

    check_exact(config, expected, table, run.injected)
    assert code == 0
    assert [row.fault for row in run.injected] == faults
    nothing_left(session, Path(run.events.folder.path))
    return run


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_fault_once_in_one_run(
    soak_config: Callable[..., TrainConfig], straight: Callable[[int], dict], session: str, table: Table
) -> None:
    expected, config = straight(STEPS), soak_config(data__loader_workers=1)

    run = soak(config, session, list(FAULTS), expected, table, seed=1)

    said = "\n".join(run.heard.said)
    assert "took no step for" in said
    assert "is damaged" in said
    assert "was torn and is not needed" in said
    assert "loader process 0 ended with code -9" in said
    stacks = "".join(path.read_text() for path in (Path(run.events.folder.path) / "stacks").iterdir())
    assert "the process was stopped" in stacks, "the stopped rank is named"
    for rank in ("rank 0\n", "rank 1\n"):
        assert rank in stacks
    assert stacks.count("loop.py") >= 2, "where each rank stood in training is shown"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_fifty_kills_of_a_rank_at_random_steps(
    soak_config: Callable[..., TrainConfig], straight: Callable[[int], dict], session: str, table: Table
) -> None:
    expected, config = straight(2000), soak_config(2000)

    run = soak(config, session, ["SIGKILL of a rank"] * 50, expected, table, seed=50)

    assert max(row.seconds or 0 for row in run.injected) <= 30


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_each_file_of_the_newest_checkpoint_damaged_in_turn(
    soak_config: Callable[..., TrainConfig], straight: Callable[[int], dict], session: str, table: Table
) -> None:
    expected, config = straight(STEPS), soak_config()
    files = [path.name for path in Path(expected["checkpoint"]).iterdir()]

    run = soak(config, session, ["newest checkpoint damaged"] * len(files), expected, table, seed=9)

    assert sorted(run.target.damaged) == sorted(files)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [11, 12])
def test_random_faults_replayable_by_seed(
    soak_config: Callable[..., TrainConfig], straight: Callable[[int], dict], session: str, table: Table, seed: int
) -> None:
    faults = random.Random(seed).choices(list(FAULTS), k=10)

    soak(soak_config(data__loader_workers=1), session, faults, straight(STEPS), table, seed=seed)
