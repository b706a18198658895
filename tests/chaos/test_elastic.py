"""Nodes go and come while an elastic run trains: Ray takes fewer ranks, then more, and every global batch stays what it was."""

import dataclasses
import time
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest
import torch

from dcgan_dist.bench.ranks import run_ranks
from dcgan_dist.config import TrainConfig
from dcgan_dist.models.latents import draw_latents, seeded
from dcgan_dist.models.pixel_ranges import from_uint8
from dcgan_dist.runs.checkpoint_store import CheckpointStore, images_seen
from dcgan_dist.runs.plan import plan_run, run_batches
from dcgan_dist.training.whole_checkpoint import load_log
from tests.chaos.conftest import result_of
from tests.chaos.cost import Events, Injected, Table, heard
from tests.helpers.nodes import local_cluster, node_with_a_rank
from tests.helpers.record import missing_points
from tests.helpers.recorded_training import digest, records
from tests.helpers.steps import take_losses
from tests.helpers.training_job import TrainingJob

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

STEPS = 300
SOON = {"RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "10"}


def expected_rows(config: TrainConfig) -> list[dict[str, str]]:
    """Digest of image and z by row of every global batch, read and drawn by one process without a cluster."""
    plan, dtype = plan_run(config), getattr(torch, config.dtype)
    rows, steps = plan.shard_plan.rows(0, 1).tolist(), []
    with closing(run_batches(plan)) as batches:
        for number, (images, _) in enumerate(islice(batches, STEPS)):
            real = from_uint8(images, config.model.output, dtype)
            z = draw_latents(config.model, config.data.batch_size, seeded(config.seed, "z", number)).to(dtype)
            steps.append({str(row): digest(real[i], z[row]) for i, row in enumerate(rows)})
    return steps


# In float32 rounding is amplified to the size of the learning rate within steps, so only the first one is compared.
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("dtype", "steps", "tolerance"), [("float64", 20, 1e-9), ("float32", 1, 1e-5)])
def test_ray_shrinks_and_grows_a_run_and_its_batches_and_losses_stay(
    soak_config: Callable[..., TrainConfig],
    table: Table,
    tmp_path: Path,
    dtype: str,
    steps: int,
    tolerance: float,
) -> None:
    config = soak_config(
        STEPS,
        dtype=dtype,
        engine__precision="float32",
        norm_group="synchronised",
        num_workers="1:2",
        resize_seconds=3.0,
        keep_checkpoints=1000,
    )
    written, events = tmp_path / "records", Events(config)
    written.mkdir()
    rows: list[Injected] = []
    with local_cluster(2) as cluster:
        environment = SOON | {"RAY_ADDRESS": cluster.address, "DCGAN_TEST_RECORDS": str(written)}
        command = ["-m", "tests.helpers.recorded_training"]
        with TrainingJob(config, environment=environment, command=command) as job:
            job.wait_for(events.line_of(25))
            for fault, change in (
                ("node lost, 2 ranks become 1", lambda: cluster.remove_node(node_with_a_rank(cluster), False)),
                ("node added, 1 rank becomes 2", lambda: cluster.add_node(num_cpus=1)),
            ):
                before = time.time()
                change()
                rows.append(events.cost(fault, before, lambda: heard(job.lines, events.steps_per_epoch).reached[-1]))
                time.sleep(2)  # some steps with as many ranks
            assert job.end(300) == 0
            assert job.left_behind() == []

    starts = events.all("ranks started")
    assert [start["ranks"] for start in starts] == [2, 1, 2]
    for row in rows:
        assert row.steps_lost <= row.steps_allowed, row

    expected, merged = expected_rows(config), {}
    for line in records(written):
        assert line["rows"].items() <= expected[line["step"]].items(), f"step {line['step']} on {line['ranks']} ranks"
        merged.setdefault((line["step"], line["ranks"]), {}).update(line["rows"])
    assert {step for step, _ in merged} == set(range(STEPS))
    assert {ranks for _, ranks in merged} == {1, 2}
    checkpoints = {images_seen(path): path for path in CheckpointStore(events.folder).paths()}
    log = {line["images_seen"]: line["metrics"] for line in load_log(Path(result_of(config)["checkpoint"]))}
    for start in starts:
        done, others = start["images_seen"] // events.batch, 3 - start["ranks"]
        checkpoint = checkpoints.get(start["images_seen"], "")
        reference = run_ranks(others, take_losses, plan_run(config), checkpoint, steps)[0]
        logged = [log[(done + i) * events.batch] for i in range(1, steps + 1)]
        losses = torch.tensor([[metrics["loss/d"], metrics["loss/g"]] for metrics in logged], dtype=torch.float64)
        torch.testing.assert_close(losses, reference, rtol=0, atol=tolerance)
    missing = missing_points(config.tracking_uri, result_of(config))
    table([dataclasses.replace(row, record_complete=not missing) for row in rows], "within tolerance")
    assert missing == set()
