"""The job itself is killed or told to stop: the same command goes on, and nothing of it stays behind."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dcgan_dist.config import TrainConfig
from dcgan_dist.runs.checkpoint_store import CheckpointStore, images_seen
from dcgan_dist.storage.scratch import abandoned_scratch
from tests.chaos.conftest import STEPS, check_exact, result_of
from tests.chaos.cost import Events, Table, heard
from tests.helpers.head import ray_cli, ray_head
from tests.helpers.jobs import JOBS
from tests.helpers.processes import raylets
from tests.helpers.training_job import TrainingJob, flags

pytestmark = pytest.mark.chaos


@pytest.fixture
def start() -> Iterator[Callable[[TrainConfig], TrainingJob]]:
    """Starts a job; all are ended after the test."""
    with ExitStack() as stack:
        yield lambda config: stack.enter_context(TrainingJob(config))


def kill_raylet(job: TrainingJob) -> None:
    for raylet in raylets(job.home):
        raylet.kill()


def kill_driver(job: TrainingJob) -> None:
    job.process.kill()


def terminate(job: TrainingJob) -> None:
    job.process.send_signal(signal.SIGTERM)


def terminate_all(job: TrainingJob) -> None:
    """As `timeout` does."""
    os.killpg(job.process.pid, signal.SIGTERM)


def interrupt_twice(job: TrainingJob) -> None:
    job.process.send_signal(signal.SIGINT)
    job.wait_for("once more to leave at once")
    job.process.send_signal(signal.SIGINT)


ENDS = [
    ("SIGKILL of the raylet of the only node", kill_raylet, None),
    ("SIGKILL of the driver", kill_driver, -signal.SIGKILL),
    ("SIGTERM of the driver", terminate, 143),
    ("SIGTERM of the job's process group", terminate_all, 143),
    ("SIGINT twice of the driver", interrupt_twice, 130),
]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_same_command_goes_on_after_every_kind_of_end(
    soak_config: Callable[..., TrainConfig],
    straight: Callable[[int], dict],
    start: Callable[[TrainConfig], TrainingJob],
    table: Table,
) -> None:
    expected, config = straight(STEPS), soak_config()
    events, rows = Events(config), []
    before, step, last = 0.0, 0, ""

    for fault, end, code in [*ENDS, ("", None, 0)]:
        job = start(config)
        if last:
            rows.append(events.cost(last, before, lambda done=step: done))
        begun = events.wait_for("first step", before)["images_seen"] // events.batch
        job.wait_for(events.line_of(begun + 25))
        if end is None:
            assert job.end() == code
        else:
            before, last = time.time(), fault
            end(job)
            ended_with = job.end()
            assert ended_with == code if code is not None else ended_with != 0, job.said
        step = heard(job.lines, events.steps_per_epoch).step
        assert job.left_behind() == [], fault
        if code == 143:
            assert result_of(config)["status"] == "KILLED"
        if end is terminate:
            assert images_seen(CheckpointStore(events.folder).paths()[0]) // events.batch >= step, (
                "the first signal commits what was done"
            )

    check_exact(config, expected, table, rows)
    assert not list(Path(events.folder.path).glob("**/*.tmp")), "a temporary file was left"
    assert abandoned_scratch() == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ray_job_stop_commits_and_the_same_command_goes_on(
    soak_config: Callable[..., TrainConfig], straight: Callable[[int], dict], table: Table
) -> None:
    expected, config = straight(STEPS), soak_config()
    events = Events(config)
    command = ["--", sys.executable, str(JOBS / "train_lsun.py"), *flags(config)]
    # Ray kills a job 3 s after it asked it to stop, unless told otherwise; a checkpoint may take longer.
    with ray_head(RAY_JOB_STOP_WAIT_TIME_S="120") as head:
        submitted = ray_cli(head, "job", "submit", "--no-wait", "--submission-id", "first", *command)
        assert submitted.returncode == 0, submitted.stdout + submitted.stderr
        events.wait_for("checkpoint kept")
        before = time.time()
        assert ray_cli(head, "job", "stop", "first").returncode == 0
        stopped = result_of(config)
        status = ray_cli(head, "job", "status", "first").stdout
        step = heard(ray_cli(head, "job", "logs", "first").stdout.splitlines(), events.steps_per_epoch).step

        again = ray_cli(head, "job", "submit", "--submission-id", "second", *command)
        assert again.returncode == 0, again.stdout + again.stderr

        groups = groups_left(head)

    row = events.cost("ray job stop", before, lambda: step)
    check_exact(config, expected, table, [row])
    assert "'first' was stopped" in status
    assert stopped["status"] == "KILLED"
    assert stopped["images_seen"] // events.batch >= step, "what was done is kept"
    assert row.steps_lost == 0
    assert groups == [], "a placement group was left"


def groups_left(head: dict[str, str], seconds: float = 30) -> list[str]:
    """Placement groups of a head that still hold something after some seconds."""
    until = time.monotonic() + seconds
    while True:
        address = head["RAY_API_SERVER_ADDRESS"]
        listing = ray_cli(head, "list", "placement-groups", "--address", address, "--format", "json").stdout
        listed = [] if listing.strip() == "No resource in the cluster" else json.loads(listing)
        groups = [group["placement_group_id"] for group in listed if group["state"] != "REMOVED"]
        if not groups or time.monotonic() > until:
            return groups
        time.sleep(1)
