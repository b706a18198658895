"""Shards are standard tars: other readers see in them what was written, and the index points at the same bytes."""

import io
import json
import tarfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from webdataset.compat import WebDataset

from dcgan_dist.data.shards.index import decode_index, index_name
from dcgan_dist.data.shards.writer import BLOCK_SAMPLES, Sample, write_shard
from tests.helpers.shards import pixels_of, write_shards


def samples(n: int = 5) -> list[Sample]:
    return [Sample(key=f"dir/k{i}", pixels=pixels_of(i), label=i % 3, details={"i": i}) for i in range(n)]


def read_with_webdataset(path: Path) -> list[dict]:
    return list(WebDataset(str(path), shardshuffle=False, empty_check=False))


def test_webdataset_reads_the_samples_that_were_written(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", "train", samples(), layout="samples", encoding="png")

    read = read_with_webdataset(tmp_path / "a.tar")

    assert [sample["__key__"] for sample in read] == [f"dir/k{i}" for i in range(5)]
    for i, sample in enumerate(read):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(sample["png"]))), pixels_of(i))
        assert (sample["cls"], json.loads(sample["json"])) == (b"%d" % (i % 3), {"i": i})


def test_webdataset_reads_the_blocks_that_were_written(tmp_path: Path) -> None:
    n = BLOCK_SAMPLES + 3
    write_shard(tmp_path / "a.tar", "train", samples(n), layout="blocks")

    read = read_with_webdataset(tmp_path / "a.tar")

    images = np.concatenate([np.load(io.BytesIO(block["images.npy"]), allow_pickle=False) for block in read])
    assert np.array_equal(images, np.stack([pixels_of(i).transpose(2, 0, 1) for i in range(n)]))
    assert [key for block in read for key in json.loads(block["keys.json"])] == [f"dir/k{i}" for i in range(n)]
    labels = np.concatenate([np.load(io.BytesIO(block["labels.npy"])) for block in read])
    assert labels.tolist() == [i % 3 for i in range(n)]


def test_the_index_points_at_what_tarfile_finds(tmp_path: Path) -> None:
    long_key = "d/" + "k" * 300  # needs an extended tar header, which moves the data
    write_shard(tmp_path / "a.tar", "train", [*samples(), Sample(key=long_key, pixels=pixels_of(9))], layout="samples")

    index = decode_index((tmp_path / index_name("a.tar")).read_bytes(), "a")
    with tarfile.open(tmp_path / "a.tar") as tar:
        members = {member.name.split(".")[0]: member for member in tar if member.name.endswith(".jpg")}

    data = (tmp_path / "a.tar").read_bytes()
    assert index.keys == list(members) == [index.key(i) for i in range(6)]
    for i, member in enumerate(members.values()):
        assert (index.offsets[i], index.sizes[i]) == (member.offset_data, member.size)
        assert index.crc32[i] == zlib.crc32(data[member.offset_data : member.offset_data + member.size])
    assert index.labels.tolist() == [0, 1, 2, 0, 1, -1]


def test_the_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    first = write_shards(tmp_path / "a", (4, 3))
    second = write_shards(tmp_path / "b", (4, 3))

    assert first.shards == second.shards
    assert first.hash == second.hash
    assert first.location != second.location


def test_no_sample_leaves_no_file(tmp_path: Path) -> None:
    assert write_shard(tmp_path / "a.tar", "train", [], layout="samples") is None
    assert list(tmp_path.iterdir()) == []
