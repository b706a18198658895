"""Every injected fault is found and named; nothing is found where nothing is wrong."""

import io
import tarfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan_dist.data.shards import images
from dcgan_dist.data.shards.images import ImageFault, decode
from dcgan_dist.data.shards.index import decode_index, index_name
from dcgan_dist.data.shards.inspection import inspect
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import Layout, Manifest, write_manifest
from dcgan_dist.data.shards.tar_members import Damage
from dcgan_dist.data.shards.writer import describe_shard
from dcgan_dist.errors import InputError
from dcgan_dist.prepare.preparations import ShardOptions
from dcgan_dist.prepare.sources.folder import FolderSource
from dcgan_dist.prepare.write_shards import prepare
from tests.helpers.shards import flip, pixels_of, write_shards
from tests.helpers.tars import tar_of


def members_of(path: Path) -> list[tarfile.TarInfo]:
    with tarfile.open(path) as tar:
        return tar.getmembers()


def damages(folder: Path) -> list[Damage]:
    return inspect(load_manifest(str(folder), check_shards=False)).damages


@pytest.mark.parametrize("layout", ["samples", "blocks"])
def test_whole_shards_have_no_fault_and_their_counts_are_right(tmp_path: Path, layout: Layout) -> None:
    write_shards(tmp_path, (5, 7), layout=layout)

    inspection = inspect(load_manifest(str(tmp_path)))

    assert inspection.damages == []
    assert (inspection.readable, inspection.sizes) == ({"train": 12}, {"8x8": 12})
    assert inspection.labels == {i: 2 if i < 2 else 1 for i in range(10)}
    assert len(inspection.sheet) == 12


@pytest.mark.parametrize("layout", ["samples", "blocks"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_flipped_byte_is_found_in_its_shard_near_its_place(
    tmp_path_factory: pytest.TempPathFactory, layout: Layout, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("flip")
    manifest = write_shards(folder, (3, 4), layout=layout)
    shard = folder / data.draw(st.sampled_from(manifest.shards)).name
    index = decode_index((folder / index_name(shard.name)).read_bytes(), shard.name)
    offset = data.draw(st.integers(0, shard.stat().st_size - 1))
    members = members_of(shard)

    flip(shard, offset)
    faults = damages(folder)

    assert {damage.shard for damage in faults} == {shard.name}
    inside = [i for i in range(len(index)) if index.offsets[i] <= offset < index.offsets[i] + index.sizes[i]]
    if inside:  # a flip inside an image names exactly that image
        assert [damage.offset for damage in faults] == [int(index.offsets[inside[0]])]
        holder = [m.name for m in members if m.offset_data <= index.offsets[inside[0]] < m.offset_data + m.size]
        assert faults[0].member in (*holder, index.key(inside[0]))


def test_a_shard_cut_between_members_is_named_with_what_is_lost(tmp_path: Path) -> None:
    manifest = write_shards(tmp_path, (3, 4))
    shard = tmp_path / manifest.shards[1].name
    images = [member for member in members_of(shard) if member.name.endswith(".png")]
    shard.write_bytes(shard.read_bytes()[: images[2].offset])

    (damage,) = damages(tmp_path)

    assert (damage.shard, damage.member, damage.offset) == (shard.name, "s00005", images[2].offset_data)
    assert "2 samples are lost" in damage.fault


def test_missing_and_exchanged_files_are_named(tmp_path: Path) -> None:
    manifest = write_shards(tmp_path, (3, 4, 2))
    (tmp_path / manifest.shards[0].name).unlink()
    flip(tmp_path / index_name(manifest.shards[2].name), 300)

    faults = damages(tmp_path)

    assert [(damage.shard, damage.member) for damage in faults] == [
        (manifest.shards[0].name, ""),
        (manifest.shards[2].name, index_name(manifest.shards[2].name)),
    ]


def rewritten(folder: Path, manifest: Manifest, members: list[tuple[str, bytes]]) -> Path:
    """Put a tar of these members in place of a data set's only shard, without manifest and index."""
    shard = folder / manifest.shards[0].name
    shard.write_bytes(tar_of(members))
    (folder / "manifest.json").unlink()
    (folder / index_name(shard.name)).unlink()
    return shard


def png(pixels: np.ndarray) -> bytes:
    return images.encode_png(pixels)


def png_that_claims(width: int, height: int) -> bytes:
    """A small valid PNG whose header claims another size."""
    data = bytearray(png(np.zeros((1, 1, 3), np.uint8)))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


def test_undecodable_images_and_bombs_are_named_and_never_unpacked(tmp_path: Path) -> None:
    manifest = write_shards(tmp_path, (1,))
    good, bomb = png(pixels_of(0)), png_that_claims(60000, 60000)
    rewritten(tmp_path, manifest, [("a.png", good), ("b.png", good[:40]), ("c.jpg", b"no image"), ("d.png", bomb)])

    faults = damages(tmp_path)

    assert [damage.member for damage in faults] == ["b.png", "c.jpg", "d.png"]
    assert "3600000000 pixels" in faults[2].fault


def test_a_jpeg_bomb_is_refused_by_its_header() -> None:
    data = bytearray(images.encode_jpeg(np.zeros((8, 8, 3), np.uint8)))
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = (60000).to_bytes(2, "big") * 2

    with pytest.raises(ImageFault, match="60000 x 60000 pixels"):
        decode(bytes(data), 3)


def test_duplicate_and_dotted_keys_and_empty_tars_are_refused_by_name(tmp_path: Path) -> None:
    manifest = write_shards(tmp_path, (1,))
    good = png(pixels_of(0))
    shard = rewritten(tmp_path, manifest, [("a.png", good), ("b.1.png", good), ("b.2.png", good), ("a.png", good)])

    with pytest.raises(InputError) as error:
        load_manifest(str(shard))

    assert "2 faults" in str(error.value)
    assert "b.2.png at byte" in str(error.value)
    assert "dotted key: readers merge it into b" in str(error.value)
    assert "duplicate key: a" in str(error.value)
    rewritten_empty = tmp_path / "none.tar"
    tarfile.open(rewritten_empty, "w").close()
    with pytest.raises(InputError, match=r"none\.tar.*empty: no image in it"):
        load_manifest(str(rewritten_empty))


def test_a_tar_without_a_manifest_that_was_cut_is_refused(tmp_path: Path) -> None:
    manifest = write_shards(tmp_path, (6,))
    data = (tmp_path / manifest.shards[0].name).read_bytes()
    third = [m for m in members_of(tmp_path / manifest.shards[0].name) if m.name.endswith(".png")][2]
    cut = tmp_path / "cut.tar"
    cut.write_bytes(data[: third.offset])  # at a member boundary: other readers see a shorter, whole tar

    with pytest.raises(InputError, match="closing zero blocks are missing"):
        load_manifest(str(cut))


def test_a_compressed_tar_is_refused_and_never_unpacked(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "bomb.tar", "w:gz") as tar:
        info = tarfile.TarInfo("a.png")
        info.size = 1 << 20
        tar.addfile(info, io.BytesIO(bytes(1 << 20)))

    with pytest.raises(InputError, match="not a plain tar"):
        load_manifest(str(tmp_path / "bomb.tar"))


def test_someone_s_tars_become_a_data_set_with_labels(tmp_path: Path) -> None:
    manifest = write_shards(tmp_path / "a", (4,))
    (tmp_path / "theirs").mkdir()
    theirs = tmp_path / "theirs" / "x.tar"
    theirs.write_bytes((tmp_path / "a" / manifest.shards[0].name).read_bytes())

    opened = load_manifest(str(theirs))

    assert (opened.samples, opened.classes, opened.image_size) == (4, 4, 8)
    assert load_manifest(str(tmp_path / "theirs")) == opened
    assert inspect(opened).damages == []


def test_keys_shared_by_two_shards_are_found(tmp_path: Path) -> None:
    manifest = write_shards(tmp_path, (3, 2))
    first = manifest.shards[0]
    copy = tmp_path / "t-train-000009.tar"
    copy.write_bytes((tmp_path / first.name).read_bytes())
    copy.with_name(index_name(copy.name)).write_bytes((tmp_path / index_name(first.name)).read_bytes())
    write_manifest(replace(manifest, shards=(*manifest.shards, describe_shard(copy, "train", 3))), tmp_path)

    faults = damages(tmp_path)

    assert [damage.member for damage in faults] == ["s00000", "s00001", "s00002"]
    assert "duplicate key" in faults[0].fault


def test_no_false_alarm_on_real_photographs(real_data: Path, tmp_path: Path) -> None:
    source = FolderSource(
        paths=(
            str(real_data / "bedrooms" / "rooms_clean_messy_128.tar"),
            str(real_data / "faces" / "unaligned_mixed_formats.tar"),
        ),
        image_size=32,
    )
    prepare(source, ShardOptions(out=str(tmp_path / "a"), shard_samples=300, cpus=1))

    assert damages(tmp_path / "a") == []
    theirs = tmp_path / "theirs.tar"
    theirs.write_bytes((real_data / "imagenet" / "imagenette_1500_96.tar").read_bytes())
    assert inspect(load_manifest(str(theirs))).damages == []
