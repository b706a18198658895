"""A data set opens only when its shards are those of its manifest; otherwise one sentence says what to mend."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan_dist.data.shards.images import encode_png
from dcgan_dist.data.shards.keep_list import Dropped, KeepList, load_keep_list, write_keep_list
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.stream import read_images
from dcgan_dist.errors import InputError
from tests.helpers.shards import pixels_of, write_shards
from tests.helpers.tars import tar_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shards(tmp_path / "shards", (3, 4))
    return tmp_path / "shards"


def test_folder_and_manifest_file_open_the_same_data_set_wherever_it_lies(folder: Path, tmp_path: Path) -> None:
    opened = load_manifest(str(folder))
    shutil.copytree(folder, tmp_path / "moved")

    moved = load_manifest(str(tmp_path / "moved" / "manifest.json"))

    assert moved == opened
    assert moved.hash == opened.hash
    assert moved.location == str(tmp_path / "moved")
    assert (opened.samples, opened.splits) == (7, ("train",))


def test_the_hash_changes_with_the_content(folder: Path) -> None:
    manifest = load_manifest(str(folder))

    assert replace(manifest, preprocessing={"crop": "none"}).hash != manifest.hash
    assert manifest.split("train").hash == manifest.hash


def torn(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text()[:200])


def changed(folder: Path, **entries: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def unfinished(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    (folder / ".prepare").mkdir()


def cut_shard(folder: Path) -> None:
    shard = folder / "t-train-000001.tar"
    shard.write_bytes(shard.read_bytes()[:-512])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shutil.rmtree, "does not exist"),
        (lambda folder: [path.unlink() for path in folder.iterdir()], r"has no manifest\.json and no tar"),
        (unfinished, "its preparation did not finish"),
        (torn, r"manifest\.json is torn"),
        (lambda folder: changed(folder, format=99), "has format 99, this program reads 1"),
        (lambda folder: changed(folder, shards=[]), "lists no sample"),
        (cut_shard, r"t-train-000001\.tar has \d+ bytes, the manifest says \d+"),
        (lambda folder: (folder / "t-train-000000.tar").unlink(), r"t-train-000000\.tar is missing"),
    ],
)
def test_what_is_wrong_with_a_data_set_is_named(folder: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(folder)

    with pytest.raises(InputError, match=message):
        load_manifest(str(folder))


def test_an_unknown_split_is_answered_with_the_known_ones(folder: Path) -> None:
    with pytest.raises(InputError, match="no split 'val', only train"):
        load_manifest(str(folder)).split("val")


@settings(max_examples=25, deadline=None)
@given(kept=st.lists(st.booleans(), min_size=7, max_size=7))
def test_a_keep_list_comes_back_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, kept: list[bool]) -> None:
    folder = tmp_path_factory.mktemp("keep")
    manifest = write_shards(folder, (3, 4))
    written = KeepList(
        manifest_hash=manifest.hash, positions=np.flatnonzero(kept), radius=3, counts={"kept": sum(kept)}
    )

    write_keep_list(written, folder / "keep_list.json")
    read = load_keep_list(str(folder / "keep_list.json"), manifest)

    assert np.array_equal(read.positions, np.flatnonzero(kept))
    assert (read.hash, read.radius, read.counts) == (written.hash, 3, {"kept": sum(kept)})


def test_a_keep_list_of_another_manifest_is_refused(folder: Path) -> None:
    manifest = load_manifest(str(folder))
    path = folder / "keep_list.json"
    write_keep_list(KeepList(manifest_hash=manifest.hash, positions=np.arange(3)), path)

    with pytest.raises(InputError, match="was made for manifest"):
        load_keep_list(str(path), replace(manifest, dataset="other"))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"keep_lists": []}', '{"keep_lists": 3}', "null"])
def test_a_file_that_is_no_keep_list_is_refused(folder: Path, text: str) -> None:
    manifest = load_manifest(str(folder))
    path = folder / "keep_list.json"
    path.write_text(text)

    with pytest.raises(InputError, match="torn or not a keep list"):
        load_keep_list(str(path), manifest)


def test_one_file_holds_the_keep_lists_of_several_data_sets(folder: Path) -> None:
    manifest = load_manifest(str(folder))
    other = replace(manifest, dataset="other")
    reason = Dropped(position=2, key="s00002", reason="near duplicate", kept="s00000", distance=0, score=0.5)
    first = KeepList(manifest_hash=manifest.hash, positions=np.array([0, 1, 3]), dropped=[reason])
    second = KeepList(manifest_hash=other.hash, positions=np.array([0, 6]))
    write_keep_list([first, second], folder / "keep_list.json")

    read = load_keep_list(str(folder / "keep_list.json"), manifest)

    assert (read.hash, list(read.dropped)) == (first.hash, [reason])
    assert load_keep_list(str(folder / "keep_list.json"), other).hash == second.hash
    with pytest.raises(InputError, match="was made for manifest"):
        load_keep_list(str(folder / "keep_list.json"), replace(manifest, dataset="a third"))


def test_labels_beyond_the_classes_of_a_manifest_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.tar").write_bytes(tar_of([("a.png", encode_png(pixels_of(0, 24))), ("a.cls", b"4")]))
    load_manifest(str(tmp_path))
    file = tmp_path / "manifest.json"
    file.write_text(file.read_text().replace('"classes": 5', '"classes": 3'))

    with pytest.raises(InputError, match="has labels that are not from 0 to 2"):
        read_images(load_manifest(str(tmp_path)), 1, image_size=24)


def test_a_tar_of_a_prepared_set_is_that_part_of_it_and_nothing_is_written(folder: Path) -> None:
    whole, before = load_manifest(str(folder)), (folder / "manifest.json").read_bytes()

    parts = [load_manifest(str(folder / shard.name)) for shard in whole.shards]

    assert [part.shards for part in parts] == [(shard,) for shard in whole.shards]
    assert {(part.dataset, part.preprocessing.get("crop"), part.location) for part in parts} == {
        (whole.dataset, whole.preprocessing.get("crop"), whole.location)
    }
    assert (folder / "manifest.json").read_bytes() == before
    (folder / whole.shards[0].name).write_bytes(b"cut")
    with pytest.raises(InputError, match="has 3 bytes, the manifest says"):
        load_manifest(str(folder / whole.shards[0].name))
