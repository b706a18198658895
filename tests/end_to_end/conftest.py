"""Small rooms, a small model and one tracking database for all runs of this folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dcgan_dist.config import TrainConfig, replace
from dcgan_dist.presets import preset
from tests.helpers.jobs import draw_rooms
from tests.helpers.tracking_places import new_database


@pytest.fixture(scope="session")
def room_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """320 rooms of 32 px in several shards, a tenth of them held out."""
    return draw_rooms(tmp_path_factory.mktemp("rooms"), 320, "--val-fraction", "0.1", "--shard-samples", "64")


@pytest.fixture(scope="session")
def tracking_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database that all runs share."""
    return new_database(tmp_path_factory.mktemp("tracking"))


@pytest.fixture(scope="session")
def make_config_in(room_shards: Path, tracking_uri: str) -> Callable[..., TrainConfig]:
    """(storage, changes) -> a run of 40 steps of 16 images; changes are dotted paths with __ for the dot."""

    def make(storage: Path, **changes: object) -> TrainConfig:
        config = preset("demo32")
        small = {
            "model.generator_width": 8,
            "model.discriminator_width": 8,
            "data.batch_size": 16,
            "data.window": 32,
            "quality.samples": 64,
            "quality.share": 1.0,
            "quality.held_out": 32,
            "snapshot_batches": 4,
            "images": 640,
            "checkpoint_every_images": 160,
            "num_workers": "2",
            "shards": str(room_shards),
            "storage": str(storage),
            "tracking_uri": tracking_uri,
            "run_name": "run",
            "heartbeat_seconds": 1.0,
        }
        # In the order in which they were given, as one setting may ask for another.
        given = {name.replace("__", "."): value for name, value in changes.items()}
        for path, value in (given | {name: small[name] for name in small if name not in given}).items():
            config = replace(config, path, value)
        return config

    return make


@pytest.fixture
def make_config(make_config_in: Callable[..., TrainConfig], tmp_path: Path) -> Callable[..., TrainConfig]:
    """The same in a storage of the test's own."""
    return lambda **changes: make_config_in(tmp_path / "runs", **changes)
