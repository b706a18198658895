"""The job itself is killed or told to stop: the same command goes on, and nothing of it stays behind."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dcgan_dist.config import TrainConfig
from dcgan_dist.launch.checkpoint_store import CheckpointStore, images_seen
from dcgan_dist.launch.run_folder import RunFolder
from tests.chaos.conftest import STEPS, result_of
from tests.chaos.cost import Injected
from tests.helpers.processes import raylets
from tests.helpers.training_job import TrainingJob

pytestmark = pytest.mark.chaos


@pytest.fixture
def start() -> Iterator[Callable[[TrainConfig], TrainingJob]]:
    """Starts a job; all are ended after the test."""
    jobs: list[TrainingJob] = []

    def begin(config: TrainConfig) -> TrainingJob:
        jobs.append(TrainingJob(config, Path(tempfile.mkdtemp(prefix="dj", dir="/tmp"))))
        return jobs[-1]

    yield begin
    for job in jobs:
        job.kill()
        shutil.rmtree(job.home, ignore_errors=True)


def kill_raylet(job: TrainingJob) -> None:
    for raylet in raylets(job.home):
        raylet.kill()


def kill_driver(job: TrainingJob) -> None:
    job.process.kill()


def terminate(job: TrainingJob) -> None:
    job.process.send_signal(signal.SIGTERM)


def interrupt_twice(job: TrainingJob) -> None:
    job.process.send_signal(signal.SIGINT)
    job.wait_for("once more to leave at once")
    job.process.send_signal(signal.SIGINT)


ENDS = [
    ("SIGKILL of the raylet of the only node", kill_raylet, None),
    ("SIGKILL of the driver", kill_driver, -signal.SIGKILL),
    ("SIGTERM of the driver", terminate, 143),
    ("SIGINT twice of the driver", interrupt_twice, 130),
]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_same_command_goes_on_after_every_kind_of_end(
    soak_config: Callable[..., TrainConfig],
    straight: Callable[[int], dict],
    start: Callable[[TrainConfig], TrainingJob],
    table: Callable[[list[Injected], str], None],
) -> None:
    expected, config = straight(STEPS), soak_config()
    batch = config.data.batch_size
    store = CheckpointStore(RunFolder(config.storage, config.run_name))
    rows: list[Injected] = []
    ended, step, last = 0.0, 0, ""

    for fault, end, code in [*ENDS, ("", None, 0)]:
        job = start(config)
        kept = images_seen(store.paths()[0]) // batch if rows or store.paths() else 0
        if ended:
            job.wait_for("goes on from")
            job.wait_for("| data wait")
            rows.append(
                Injected(
                    fault=last,
                    detail="",
                    step=step,
                    steps_lost=step - kept,
                    seconds=round(time.monotonic() - ended, 1),
                )
            )
        job.wait_for(f"| {(kept + 25) * batch:,}/")
        if end is None:
            assert job.end() == code
        else:
            end(job)
            ended, last = time.monotonic(), fault
            ended_with = job.end()
            assert ended_with == code if code is not None else ended_with != 0, job.said
        step = (
            max(int(line.split("| ")[1].split("/")[0].replace(",", "")) for line in job.lines if "| ETA" in line)
            // batch
        )
        assert job.left_behind() == [], fault
        if code == 143:
            assert images_seen(store.paths()[0]) // batch >= step, "the first signal commits what was done"

    seen = result_of(config)
    exact = seen["sha256"] == expected["sha256"] and seen["sha256_with_log"] == expected["sha256_with_log"]
    table(rows, "exact" if exact else "different")
    assert exact
    assert not list(Path(store.folder.path).glob("**/*.tmp")), "a temporary file was left"
