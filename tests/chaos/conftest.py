"""The small run that every fault is tried on, and the table of what they cost."""

import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dcgan_dist.config import TrainConfig
from dcgan_dist.runs.driver import run_training
from dcgan_dist.storage.scratch import abandoned_scratch
from tests.chaos.cost import Injected, Table
from tests.chaos.table import print_table
from tests.end_to_end.conftest import make_config, make_config_in, room_shards, tracking_uri  # noqa: F401
from tests.helpers.processes import at_work
from tests.helpers.record import missing_points

STEPS = 420
SHORT = 200
"""Steps of runs with one fault."""


@pytest.fixture
def soak_config(make_config: Callable[..., TrainConfig]) -> Callable[..., TrainConfig]:  # noqa: F811
    """So many steps of 16 images, a checkpoint every 20; every step is reported."""

    def make(steps: int = STEPS, **changes: object) -> TrainConfig:
        defaults: dict[str, object] = {
            "images": 16 * steps,
            "checkpoint_every_images": 16 * 20,
            "report_every_images": 16,
            "quality__samples": 32,
            "quality__share": 1.0,
            "register": False,
            "max_failures": 1000,
            "hang_seconds": 8.0,
        }
        return make_config(**changes, **{name: defaults[name] for name in defaults if name not in changes})

    return make


@pytest.fixture(scope="session")
def straight_hashes() -> dict[int, dict]:
    """Results of uninterrupted runs by their number of steps."""
    return {}


@pytest.fixture
def straight(
    soak_config: Callable[..., TrainConfig], ray_cluster: str, straight_hashes: dict[int, dict]
) -> Callable[[int], dict]:
    """Result of the uninterrupted run of so many steps, trained once."""

    def result(steps: int = STEPS) -> dict:
        if steps not in straight_hashes:
            config = soak_config(steps, run_name="straight")
            assert run_training(config) == 0
            straight_hashes[steps] = result_of(config)
        return straight_hashes[steps]

    return result


def result_of(config: TrainConfig) -> dict:
    """result.json of a run."""
    return json.loads((Path(config.storage) / config.run_name / "result.json").read_text())


def is_exact(config: TrainConfig, expected: dict) -> bool:
    """Whether a run ended with the hashes of another: of all state, and of state and reports."""
    result = result_of(config)
    return all(result[name] == expected[name] for name in ("sha256", "sha256_with_log"))


def check_exact(config: TrainConfig, expected: dict, table: Table, rows: list[Injected]) -> None:
    """Add faults to the table; fail unless the run ended with the expected hashes and lost no more steps than allowed.

    The tracked run must have every report of the log, which the hashes hold.
    """
    exact, missing = is_exact(config, expected), missing_points(config.tracking_uri, result_of(config))
    rows = [dataclasses.replace(row, record_complete=not missing) for row in rows]
    table(rows, "exact" if exact else "different")
    assert exact, rows
    assert missing == set()
    assert not [row for row in rows if row.steps_lost > row.steps_allowed]


def nothing_left(session: str, run: Path, seconds: float = 30) -> None:
    """Fail where a process, a placement group or a temporary file of a run is still there after some seconds."""
    until = time.monotonic() + seconds
    while (leftovers := _leftovers(session, run)) and time.monotonic() < until:
        time.sleep(0.2)
    assert leftovers == []


def _leftovers(session: str, run: Path) -> list[str]:
    from ray.util import placement_group_table

    groups = [f"placement group {key}" for key, group in placement_group_table().items() if group["state"] != "REMOVED"]
    files = [str(path) for pattern in ("**/*.tmp", "heartbeat.json") for path in run.glob(pattern)]
    return groups + at_work(session) + files + [str(path) for path in abandoned_scratch()]


@pytest.fixture(scope="session")
def table() -> Iterator[Table]:
    """Takes what faults cost; at the end the table is printed, and kept where DCGAN_DIST_FAULTS names a file."""
    rows: list[dict] = []

    def add(injected: list[Injected], outcome: str) -> None:
        new = [dataclasses.asdict(row) | {"outcome": outcome} for row in injected]
        rows.extend(new)
        if file := os.environ.get("DCGAN_DIST_FAULTS"):  # at once: a long session may not reach its end
            before = json.loads(Path(file).read_text()) if Path(file).exists() else []
            Path(file).write_text(json.dumps(before + new, indent=1))

    yield add
    if rows:
        print_table(rows)
