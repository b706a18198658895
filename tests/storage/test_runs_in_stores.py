"""A whole run with everything in a store: shards, keep list, storage and MLflow's files. Its weights are those of a local run."""

import json
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
from dcgan_dist.runs.plan import plan_run
from dcgan_dist.storage.run_folder import RunFolder
from dcgan_dist.storage.stored_folder import StoredFolder
from dcgan_dist.training.whole_checkpoint import state_sha256
from tests.helpers.fault_proxy import Fault
from tests.helpers.jobs import draw_rooms
from tests.helpers.steps import take_steps
from tests.helpers.tracking_places import new_database
from tests.helpers.tracking_server import TrackingServer
from tests.helpers.training_job import TrainingJob
from tests.storage.store_faults import Place, store

SMALL = {
    "engine.precision": "float32",  # as the steps without a cluster that a run is compared with
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


def config(place: str, tracking_uri: str, images: int, **changes: object) -> TrainConfig:
    """A run of which everything lies at a place: rooms, keep.json, runs."""
    made = preset("demo32")
    places = {"shards": f"{place}/rooms", "keep_list": f"{place}/keep.json", "storage": f"{place}/runs"}
    given = {name.replace("__", "."): value for name, value in changes.items()}
    for name, value in (SMALL | places | {"tracking_uri": tracking_uri, "images": images} | given).items():
        made = replace(made, name, value)
    return made


@contextmanager
def tracking(folder: Path, files: str) -> Iterator[TrackingServer]:
    """An MLflow server that keeps the files of its runs at a place."""
    folder.mkdir()
    server = TrackingServer(folder, options=["--artifacts-destination", files])
    yield server
    server.stop()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 160 rooms and a keep list without two of them."""
    folder = tmp_path_factory.mktemp("local")
    rooms = draw_rooms(folder / "rooms", 160, "--shard-samples", "64")
    kept = KeepList(manifest_hash=load_manifest(str(rooms)).hash, positions=np.delete(np.arange(160), [3, 77]))
    write_keep_list(kept, folder / "keep.json")
    return folder


@contextmanager
def store_with(local: Path, name: str) -> Iterator[Place]:
    """A bucket in a store that holds the same rooms and keep list."""
    with store(name) as place:
        for file in ("rooms", "keep.json"):
            StoredFolder(f"{place.location}/{file}").replace_by(local / file)
        yield place


def wait_for_checkpoint(run: TrainConfig, job: TrainingJob, images: int) -> None:
    """Until the storage has one of so many images."""
    until, folder = time.monotonic() + 400, RunFolder(run.storage, run.run_name)
    while not any(path[-19:-7] >= f"{images:012}" for path in CheckpointStore(folder).paths()):
        assert job.process.poll() is None, job.said
        assert time.monotonic() < until, job.said
        time.sleep(0.2)


def finish(run: TrainConfig, *, killed_after: int = 0, environment: dict[str, str] | None = None) -> str:
    """Hash of a run's weights; its job is killed at its first checkpoint of so many images, and started again."""
    folder = RunFolder(run.storage, run.run_name)
    if killed_after:
        with TrainingJob(run) as job:
            wait_for_checkpoint(run, job, killed_after)
    with TrainingJob(run, environment=environment) as job:
        assert job.end(400) == 0, job.said
        assert not killed_after or "goes on from" in job.said, job.said
    return folder.read_json("result.json")["sha256"]


VARIABLES = [("S3", "AWS_"), ("Google Cloud Storage", "STORAGE_EMULATOR_HOST")]
SHORT = {"num_workers": "1", "data__loader_workers": 1, "checkpoint_every_images": 32}


@pytest.fixture(scope="module")
def local_weights(local: Path) -> str:
    """Hash of the weights after four steps without a cluster."""
    plan = plan_run(config(str(local), "", 64, **SHORT))
    return state_sha256(take_steps(0, 1, plan, "", 4)[0].state())


def of_ranks(variables: str, ray_cluster: str) -> dict[str, str]:
    """Environment of a job on a running cluster that tells its ranks these variables, as a submitted one does."""
    ranks = {name: value for name, value in os.environ.items() if name.startswith(variables)}
    job = {"RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps({"runtime_env": {"env_vars": ranks}})}
    return job | {"RAY_ADDRESS": ray_cluster}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "variables"), VARIABLES)
def test_a_short_run_in_a_store_ends_with_the_weights_of_local_steps(
    ray_cluster: str, local: Path, local_weights: str, tmp_path: Path, name: str, variables: str
) -> None:
    tracking_uri = new_database(tmp_path)
    with store_with(local, name) as place:
        run = config(place.location, tracking_uri, 64, **SHORT)
        client = mlflow.MlflowClient(tracking_uri)
        client.create_experiment(run.experiment, f"{place.location}/mlflow")

        assert finish(run, environment=of_ranks(variables, ray_cluster)) == local_weights

        run_id = RunFolder(run.storage, "run").read_json("run.json")["run_id"]
        assert client.list_artifacts(run_id, "grids")
        assert StoredFolder(f"{place.location}/mlflow").files("")
    assert not list(tmp_path.glob("*:*"))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "variables"), VARIABLES)
def test_a_run_waits_for_a_store_that_goes_away_and_ends_with_the_same_weights(
    ray_cluster: str, local: Path, local_weights: str, tmp_path: Path, name: str, variables: str
) -> None:
    with store_with(local, name) as place:
        run = config(place.location, new_database(tmp_path), 64, **SHORT)
        with TrainingJob(run, environment=of_ranks(variables, ray_cluster)) as job:
            place.proxy.fault = away = Fault(mode="reset", until=time.monotonic() + 40)
            time.sleep(40)  # this process, too, asks through the proxy
            wait_for_checkpoint(run, job, 32)
            place.proxy.fault = busy = Fault(mode="503", times=10)
            assert job.end(400) == 0, job.said

        assert away.met, "the job came after the outage"
        assert busy.met == busy.times
        assert RunFolder(run.storage, "run").read_json("result.json")["sha256"] == local_weights


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["S3", "Google Cloud Storage"])
def test_a_killed_run_in_a_store_ends_with_the_weights_of_a_local_run(local: Path, name: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        place = stack.enter_context(store_with(local, name)).location
        server = stack.enter_context(tracking(tmp_path / "stored", f"{place}/mlflow"))
        local_server = stack.enter_context(tracking(tmp_path / "local", str(tmp_path / "files")))

        stored_run = config(place, server.address, 192)
        weights = finish(stored_run, killed_after=64)

        assert weights == finish(config(str(local), local_server.address, 192))
        run_id = RunFolder(stored_run.storage, "run").read_json("run.json")["run_id"]
        assert mlflow.MlflowClient(server.address).list_artifacts(run_id, "grids")
        assert StoredFolder(f"{place}/mlflow").files("")
        load_generator("models:/dcgan-rooms-generator@candidate", server.address)
    assert not list(tmp_path.glob("*:*"))
    assert "DCGAN_DIST_STORAGE" not in os.environ
