"""Samples as they are stored, in both layouts and in tars of others, with what is told about them."""

import json
from pathlib import Path

import numpy as np
import pytest

from dcgan_dist.data.shards.images import ImageFault, encode_png
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import Layout
from dcgan_dist.data.shards.stored_samples import ShardSamples, read_details
from dcgan_dist.errors import InputError
from dcgan_dist.prepare.preparations import ShardOptions
from dcgan_dist.prepare.sources.room_drawing import draw_room
from dcgan_dist.prepare.sources.rooms import RoomSource
from dcgan_dist.prepare.write_shards import prepare
from tests.helpers.shards import damage_sample, pixels_of, write_shards
from tests.helpers.tars import tar_of


@pytest.mark.parametrize("layout", ["samples", "blocks"])
def test_samples_come_back_with_pixels_label_and_key(tmp_path: Path, layout: Layout) -> None:
    manifest = write_shards(tmp_path, (3, 300), layout=layout)

    with ShardSamples(manifest, 1) as samples:
        for row in (0, 255, 256, 299):
            sample = samples.read(row)
            assert (sample.key, sample.label) == (f"s{row + 3:05d}", (row + 3) % 10)
            assert np.array_equal(sample.pixels().transpose(1, 2, 0), pixels_of(row + 3))


@pytest.mark.parametrize("layout", ["samples", "blocks"])
def test_details_are_those_of_their_sample(tmp_path: Path, layout: Layout) -> None:
    manifest = prepare(
        RoomSource(n=300, image_size=16), ShardOptions(out=str(tmp_path), layout=layout, cpus=1)
    ).manifest

    details = read_details(manifest)

    assert details == [json.loads(json.dumps(draw_room(0, row, 16)[1])) for row in range(300)]
    tar = tmp_path / manifest.shards[0].name
    tar.write_bytes(tar.read_bytes()[:3000])
    with pytest.raises(InputError, match="is cut before byte"):
        read_details(manifest)


def test_details_of_strangers_tars_are_found_before_and_after_the_image_and_under_long_names(tmp_path: Path) -> None:
    long = "folder/" + "n" * 150
    files = [("a.json", b'{"n": 1}'), ("a.png", b""), ("b.png", b""), ("b.txt", b"about"), (f"{long}.png", b"")]
    files += [(f"{long}.json", b'{"n": 3}'), ("d.png", b""), ("d.json", b"{torn")]
    (tmp_path / "own.tar").write_bytes(tar_of((name, data or encode_png(pixels_of(1))) for name, data in files))

    with ShardSamples(load_manifest(str(tmp_path)), 0) as samples:
        assert samples.keys == ["a", "b", long, "d"]
        assert list(samples.details(range(4))) == [{"n": 1}, None, {"n": 3}, None]


def test_changed_bytes_are_a_fault_of_their_sample_alone(tmp_path: Path) -> None:
    manifest = write_shards(tmp_path, (3,))
    damage_sample(manifest, 1)

    with ShardSamples(manifest, 0) as samples:
        samples.read(0)
        samples.read(2)
        with pytest.raises(ImageFault, match="crc32"):
            samples.read(1)


def test_a_shard_that_went_away_is_an_error_and_no_bad_sample(tmp_path: Path) -> None:
    manifest = write_shards(tmp_path, (3,))
    (tmp_path / manifest.shards[0].name).unlink()

    with ShardSamples(manifest, 0) as samples, pytest.raises(InputError, match="mend the storage"):
        samples.read(0)


def test_images_of_any_size_are_read(tmp_path: Path) -> None:
    grey = (
        (name, encode_png(np.full((*size, 1), 77, np.uint8))) for name, size in (("a.png", (5, 9)), ("b.png", (7, 4)))
    )
    (tmp_path / "own.tar").write_bytes(tar_of(grey))

    with ShardSamples(load_manifest(str(tmp_path)), 0) as samples:
        assert [samples.read(row).pixels().shape for row in range(2)] == [(3, 5, 9), (3, 7, 4)]
