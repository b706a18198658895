"""The library call finds what the job finds."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcgan_dist import find_duplicates
from dcgan_dist.prepare.preparations import ShardOptions
from dcgan_dist.prepare.sources.planted import plant_duplicates
from dcgan_dist.prepare.sources.rooms import RoomSource
from dcgan_dist.prepare.write_shards import prepare
from jobs import dedup_lsun
from tests.helpers.tracking_places import new_database


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Shards of 300 rooms, 30 of them planted near duplicates."""
    source = plant_duplicates(RoomSource(n=300, encoding="png"), 0.1)
    options = ShardOptions(out=str(tmp_path_factory.mktemp("rooms")), shard_samples=100, cpus=1)
    return prepare(source, options).manifest.location


def test_pairs_and_groups_are_those_of_the_job(rooms: str, tmp_path: Path) -> None:
    tracking = new_database(tmp_path)
    arguments = ["--shards", rooms, "--out", str(tmp_path / "out"), "--tracking-uri", tracking, "--cpus", "1"]
    assert dedup_lsun.main(arguments) == 0
    with (tmp_path / "out" / "pairs.csv").open(newline="") as file:
        rows = [
            (row["key_a"], row["key_b"], int(row["distance"]), row["duplicate"] == "1") for row in csv.DictReader(file)
        ]

    duplicates = find_duplicates(rooms)

    assert [(pair.key_a, pair.key_b, pair.distance, pair.duplicate) for pair in duplicates.pairs] == rows
    accepted = {frozenset(row[:2]) for row in rows if row[3]}
    assert len(duplicates.groups) >= 27
    assert all(frozenset((keys[0], key)) in accepted for keys in duplicates.groups for key in keys[1:])


def test_copies_in_a_folder_of_photographs_are_named_by_their_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(256):
        cells = rng.integers(0, 256, (8, 8, 3), np.uint8)
        image = Image.fromarray(cells).resize((96, 96), Image.Resampling.BICUBIC)
        image.save(tmp_path / f"photo{number:03}.png")
        if number < 3:
            image.save(tmp_path / f"photo{number:03}_copy.jpg", quality=60)

    (tmp_path / "torn.png").write_bytes((tmp_path / "photo000.png").read_bytes()[:200])

    duplicates = find_duplicates(str(tmp_path))

    assert [key for key, _ in duplicates.unreadable] == ["torn"]
    assert {frozenset(keys) for keys in duplicates.groups} == {
        frozenset((f"photo{number:03}", f"photo{number:03}_copy")) for number in range(3)
    }
