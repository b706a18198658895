"""Whole runs on a real local Ray, with real tars and a real tracking database."""

import dataclasses
import json
import os
import shutil
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import psutil
import pytest
import torch

from dcgan_dist.config import TrainConfig
from dcgan_dist.data.shards.schema import MANIFEST_NAME
from dcgan_dist.errors import InputError
from dcgan_dist.models.latents import draw_latents, seeded
from dcgan_dist.registry.load import load_discriminator, load_generator
from dcgan_dist.runs import attempt, fit
from dcgan_dist.runs.checkpoint_store import CheckpointStore
from dcgan_dist.runs.driver import run_training
from dcgan_dist.runs.rank import train_rank
from dcgan_dist.storage.run_folder import RunFolder
from tests.helpers.logs import listening
from tests.helpers.processes import RANK, actors

MakeConfig = Callable[..., TrainConfig]


def result(config: TrainConfig) -> dict:
    return json.loads((Path(config.storage) / config.run_name / "result.json").read_text())


class KillRank(threading.Thread):
    """Kills one training process for good as soon as a checkpoint of so many images lies in the storage."""

    def __init__(self, config: TrainConfig, session: str, images_seen: int) -> None:
        super().__init__(daemon=True)
        self.session = session
        self.store = CheckpointStore(RunFolder(config.storage, config.run_name))
        self.images_seen, self.killed = images_seen, 0

    def run(self) -> None:
        while not self.killed:
            if any(f"checkpoint_{self.images_seen:012}" in path for path in self.store.paths()):
                for rank in actors(self.session, RANK)[-1:]:
                    rank.kill()
                    self.killed = rank.pid
            time.sleep(0.02)


@pytest.fixture(scope="module")
def straight_run(
    ray_cluster: str, make_config_in: MakeConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainConfig, str]:
    """Config and output of a run without interruption, whose ranks note their network card."""
    config, lines = make_config_in(tmp_path_factory.mktemp("straight")), []

    def note_card(arguments: dict[str, Any]) -> None:
        Path(config.storage, "card").write_text(os.environ.get("GLOO_SOCKET_IFNAME", ""))
        train_rank(arguments)

    with pytest.MonkeyPatch.context() as patch, listening(lines.append):
        patch.setattr(fit, "train_rank", note_card)
        assert run_training(config) == 0
    return config, "\n".join(lines)


def test_a_run_ends_with_grids_metrics_result_and_registered_models(straight_run: tuple[TrainConfig, str]) -> None:
    config, output = straight_run
    seen = result(config)

    assert seen["images_seen"] == 640
    assert Path(seen["grid"]).stat().st_size > 1000
    assert "ETA" in output
    assert seen["grid"] in output
    client = mlflow.MlflowClient(config.tracking_uri)
    run = client.get_run(seen["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["optimizer_d.lr"] == "0.0002"
    assert run.inputs is not None
    assert run.inputs.dataset_inputs[0].dataset.name == "rooms"
    for name in ("loss/d", "score/real", "gradient_norm/g", "diversity/fake_to_real", "quality/frechet_random"):
        points = client.get_metric_history(seen["run_id"], name)
        assert points[-1].step == 640, name
    assert [f.path for f in client.list_artifacts(seen["run_id"], "grids")], "no grid was tracked"
    generator = load_generator("models:/dcgan-rooms-generator@candidate", config.tracking_uri)
    discriminator = load_discriminator("models:/dcgan-rooms-discriminator@candidate", config.tracking_uri)
    with torch.no_grad():
        logits = discriminator(generator(draw_latents(config.model, 3, seeded(0))))
    assert torch.isfinite(logits).all()


def test_every_rank_chooses_its_network_card(straight_run: tuple[TrainConfig, str]) -> None:
    """Otherwise ranks of several nodes cannot connect where a machine's own name leads to 127.0.1.1."""
    assert Path(straight_run[0].storage, "card").read_text() in psutil.net_if_addrs()


def test_a_run_whose_rank_was_killed_ends_with_the_same_hash(
    make_config: MakeConfig, straight_run: tuple[TrainConfig, str], session: str
) -> None:
    straight, config = result(straight_run[0]), make_config()
    killer = KillRank(config, session, images_seen=320)
    killer.start()

    assert run_training(config) == 0

    assert killer.killed
    assert result(config)["sha256"] == straight["sha256"]
    assert result(config)["sha256_with_log"] == straight["sha256_with_log"]


def test_the_same_command_extends_a_finished_run_and_refuses_another_config(
    make_config: MakeConfig, straight_run: tuple[TrainConfig, str], caplog: pytest.LogCaptureFixture
) -> None:
    half = make_config(images=320, quality__samples=0, register=False)
    assert run_training(half) == 0
    assert run_training(half) == 0
    assert "is finished" in caplog.text

    whole = dataclasses.replace(half, images=640, num_workers="1", norm_group="rank")
    with pytest.raises(InputError, match=r"seed was 0 and is now 1"):
        run_training(dataclasses.replace(whole, seed=1))
    with pytest.raises(InputError, match="longer, not shorter"):
        run_training(dataclasses.replace(half, images=160))
    assert run_training(dataclasses.replace(whole, num_workers="2")) == 0

    assert "goes on from checkpoint_000000000320" in caplog.text
    assert result(whole)["sha256"] == result(straight_run[0])["sha256"]


def test_a_collapsed_run_stops_where_that_is_asked_for_and_is_failed(make_config: MakeConfig) -> None:
    config = make_config(quality__samples=0, alarm__stop=True, alarm__min_diversity=1e9, alarm__patience=2)

    assert run_training(config) == 1

    seen = result(config)
    assert seen["status"] == "FAILED"
    assert seen["images_seen"] < 640
    assert "collapse alarm" in seen["error"]
    assert mlflow.MlflowClient(config.tracking_uri).get_run(seen["run_id"]).info.status == "FAILED"


@pytest.fixture(scope="module")
def damaged_shards(room_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A copy of the shards with one flipped byte inside an image, and that image's key."""
    copy = Path(shutil.copytree(room_shards, tmp_path_factory.mktemp("damaged") / "shards"))
    tar = sorted(copy.glob("*train*.tar"))[0]
    with tarfile.open(tar) as members:
        member = next(m for m in members if m.name.endswith(".jpg"))
    content = bytearray(tar.read_bytes())
    content[member.offset_data + member.size // 2] ^= 1
    tar.write_bytes(content)
    return copy, member.name.partition(".")[0]


@pytest.fixture(scope="module")
def run_on_damaged_shards(
    make_config_in: MakeConfig, damaged_shards: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> TrainConfig:
    """Config of a run over every image of the damaged shards, whose manifest went away once the driver had read it."""
    shards = Path(shutil.copytree(damaged_shards[0], tmp_path_factory.mktemp("without_manifest") / "shards"))
    start_fit = attempt.start_fit

    def without_manifest(*arguments: Any) -> Any:
        (shards / MANIFEST_NAME).unlink()
        return start_fit(*arguments)

    folder = tmp_path_factory.mktemp("damaged")
    config = make_config_in(folder, shards=str(shards), images=576, data__max_bad_fraction=0.1, quality__samples=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempt, "start_fit", without_manifest)
        assert run_training(config) == 0
    return config


def test_a_bad_sample_is_replaced_counted_and_listed_in_the_run_s_files(
    run_on_damaged_shards: TrainConfig, damaged_shards: tuple[Path, str]
) -> None:
    config, key = run_on_damaged_shards, damaged_shards[1]

    listed = json.loads((Path(config.storage) / "run" / "bad_samples.json").read_text())["bad_samples"]
    assert [bad["key"] for bad in listed] == [key]
    client = mlflow.MlflowClient(config.tracking_uri)
    run_id = result(config)["run_id"]
    assert client.get_metric_history(run_id, "data/bad_samples")[-1].value == 1
    assert "bad_samples.json" in [file.path for file in client.list_artifacts(run_id)]


def test_ranks_take_the_driver_s_plan_and_do_not_read_the_manifest(run_on_damaged_shards: TrainConfig) -> None:
    assert not Path(run_on_damaged_shards.shards, MANIFEST_NAME).exists()
    assert result(run_on_damaged_shards)["images_seen"] == 576
    assert result(run_on_damaged_shards)["models"], "the networks' statistics are measured by the same plan"


@pytest.mark.slow
def test_shards_that_change_between_plan_and_start_end_the_run_at_once(
    make_config: MakeConfig, room_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a node where another folder lies at the same path."""
    shards = Path(shutil.copytree(room_shards, tmp_path / "shards"))
    start_fit = attempt.start_fit

    def with_another_index(*arguments: Any) -> Any:
        for index in shards.glob("*train*.index.npz"):
            index.write_bytes(b"another")
        return start_fit(*arguments)

    monkeypatch.setattr(attempt, "start_fit", with_another_index)
    config = make_config(shards=str(shards), images=160, quality__samples=0, register=False)

    assert run_training(config) == 2

    assert "share one folder" in result(config)["error"]
    assert result(config)["images_seen"] == 0


def test_more_bad_samples_than_allowed_end_the_run_with_their_list(
    make_config: MakeConfig, damaged_shards: tuple[Path, str], caplog: pytest.LogCaptureFixture
) -> None:
    shards, key = damaged_shards
    config = make_config(shards=str(shards), data__max_bad_fraction=0.0, quality__samples=0)

    assert run_training(config) == 2

    assert result(config)["status"] == "FAILED"
    assert key in result(config)["error"]
    assert "inspect_shards" in caplog.messages[-1]
