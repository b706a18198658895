"""Looking at every image once, and reading what shards say about their samples."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dcgan_dist.data.scan import scan_images
from dcgan_dist.data.shards.details import read_details
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import Layout
from dcgan_dist.data.stream import read_images, read_keys
from dcgan_dist.errors import InputError
from dcgan_dist.prepare.sources.room_drawing import draw_room
from tests.helpers.jobs import draw_rooms


@pytest.fixture(scope="module", params=["samples", "blocks"])
def shards(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    layout: Layout = request.param
    folder = tmp_path_factory.mktemp("rooms") / layout
    return draw_rooms(folder, 50, "--shard-samples", "20", "--cpus", "1", "--layout", layout, image_size=16)


def test_every_image_comes_once_in_order_whatever_the_batches(shards: Path) -> None:
    manifest = load_manifest(str(shards))
    expected = read_images(manifest, list(range(50)), image_size=16)

    for size in (7, 64):
        batches = list(scan_images(manifest, image_size=16, batch_size=size))
        assert [len(batch.images) for batch in batches] == [7] * 7 + [1] if size == 7 else [50]
        assert torch.equal(torch.cat([batch.images for batch in batches]), expected)
        assert batches[0].labels is None


def test_bad_samples_are_left_out_and_told(shards: Path, tmp_path: Path) -> None:
    for file in shards.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    manifest = load_manifest(str(tmp_path))
    tar = tmp_path / manifest.shards[0].name
    content = bytearray(tar.read_bytes())
    content[len(content) // 2] ^= 255
    tar.write_bytes(bytes(content))
    bad = []

    images = sum(len(batch.images) for batch in scan_images(manifest, image_size=16, on_bad_sample=bad.append))

    # The changed byte may lie in a header or in a .json, which holds no image.
    assert images + len(bad) == 50
    assert len(bad) <= 1


def test_details_are_the_truth_about_each_room(shards: Path) -> None:
    manifest = load_manifest(str(shards))

    details = read_details(manifest)

    assert set(details) == set(read_keys(manifest))
    for number in (0, 23, 49):
        truth = details[f"room-0-{number:07d}"]
        assert truth.get("window_box") == pytest.approx(draw_room(0, number, 16)[1].get("window_box"))


def test_details_of_a_cut_shard_are_refused(shards: Path, tmp_path: Path) -> None:
    for file in shards.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    manifest = load_manifest(str(tmp_path))
    tar = tmp_path / manifest.shards[1].name
    tar.write_bytes(tar.read_bytes()[:3000])

    with pytest.raises(InputError, match="json members cannot be read"):
        read_details(manifest)
