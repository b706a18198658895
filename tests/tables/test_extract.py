"""Statistics and features of a data set: the same from one process and from Ray's, and made once."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from dcgan_dist.config import replace
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.data.stream import read_images
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.standing_statistics import restandardise
from dcgan_dist.prepare.preparations import ShardOptions
from dcgan_dist.prepare.sources.rooms import RoomSource
from dcgan_dist.prepare.write_shards import prepare
from dcgan_dist.presets import preset
from dcgan_dist.registry.load import untrained
from dcgan_dist.tables import extract
from dcgan_dist.tables.extract import Workers, extract_features, fit_to
from dcgan_dist.tables.features import discriminator_features


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    options = ShardOptions(out=str(tmp_path_factory.mktemp("rooms")), layout="blocks", shard_samples=200, cpus=1)
    return prepare(RoomSource(n=300, image_size=32), options).manifest


@pytest.fixture(scope="module")
def network() -> Discriminator:
    config = replace(preset("demo32"), "model.discriminator_width", 4).model
    return untrained(Discriminator, config, seed=0)


def test_statistics_and_features_are_those_of_plain_batches(
    rooms: Manifest, network: Discriminator, tmp_path: Path
) -> None:
    images = read_images(rooms, np.arange(300), image_size=32)
    plain = copy.deepcopy(network)
    restandardise(plain, [(images[i : i + 128].float() / 127.5 - 1,) for i in (0, 128)])

    extractor = fit_to(network, rooms, tmp_path, Workers(dtype="float32"), name="test")
    table = extract_features(extractor, rooms, tmp_path, Workers(dtype="float32"))

    torch.testing.assert_close(table.take(np.arange(300)), discriminator_features(plain, images), rtol=1e-4, atol=1e-5)


def test_processes_on_ray_give_the_same_features_as_one(
    rooms: Manifest, network: Discriminator, tmp_path: Path, ray_cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extract, "rows_of", lambda *_: 100)
    tables = []
    for count in (1, 2):
        workers, folder = Workers(count=count, dtype="float32"), tmp_path / str(count)
        tables.append(extract_features(fit_to(network, rooms, folder, workers, name="test"), rooms, folder, workers))

    one, two = (table.take(np.arange(300)) for table in tables)

    torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


def test_half_precision_files_hold_three_digits(rooms: Manifest, network: Discriminator, tmp_path: Path) -> None:
    extractor = fit_to(network, rooms, tmp_path, Workers(), name="test")

    half, whole = (
        extract_features(extractor, rooms, tmp_path, Workers(dtype=dtype)).take(np.arange(300))
        for dtype in ("float16", "float32")
    )

    torch.testing.assert_close(half, whole, rtol=1e-3, atol=1e-4)


def test_a_part_that_is_missing_is_made_again_and_the_others_are_kept(
    rooms: Manifest, network: Discriminator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extract, "rows_of", lambda *_: 100)
    extractor = fit_to(network, rooms, tmp_path, Workers(), name="test")
    table = extract_features(extractor, rooms, tmp_path, Workers())
    before = table.take(np.arange(300))
    written_at = table.part(0).stat().st_mtime_ns
    table.part(1).unlink()

    extract_features(extractor, rooms, tmp_path, Workers())

    assert torch.equal(table.take(np.arange(300)), before)
    assert table.part(0).stat().st_mtime_ns == written_at
