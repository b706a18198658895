"""Tars without a manifest become a data set; tars that come later join it, and nothing is read twice."""

import logging
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcgan_dist.data.shards import indexing
from dcgan_dist.data.shards.index import ShardIndex
from dcgan_dist.data.shards.indexing import IndexedTar
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.errors import InputError
from dcgan_dist.files import sha256_of
from tests.helpers.shards import write_shards


@pytest.fixture
def tars(tmp_path: Path) -> list[Path]:
    """Three tars of 3, 4 and 5 images."""
    write_shards(tmp_path / "written", (3, 4, 5))
    return sorted((tmp_path / "written").glob("*.tar"))


def plain(folder: Path, tars: Sequence[Path]) -> Path:
    folder.mkdir(exist_ok=True)
    for tar in tars:
        shutil.copy(tar, folder)
    return folder


def test_a_folder_that_grew_is_the_data_set_of_all_its_tars_and_only_new_ones_are_read(
    tars: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read: list[str] = []

    def noting(function: Callable[[Path], IndexedTar], tars: Sequence[Path]) -> Iterable[IndexedTar]:
        read.extend(tar.name for tar in tars)
        return map(function, tars)

    grown = plain(tmp_path / "grown", [tars[0], tars[2]])
    assert load_manifest(str(grown), map_tars=noting).samples == 8
    plain(grown, [tars[1]])

    with caplog.at_level(logging.WARNING):
        whole = load_manifest(str(grown), map_tars=noting)

    assert read == [tars[0].name, tars[2].name, tars[1].name]
    assert f"1 tars are new since it was indexed, the first is {tars[1].name}" in caplog.text
    fresh = load_manifest(str(plain(tmp_path / "fresh", tars)))
    assert replace(whole, dataset=fresh.dataset, location=fresh.location) == fresh
    assert load_manifest(str(grown), map_tars=noting) == whole
    assert len(read) == 3
    for index in (tmp_path / "fresh").glob("*.index.npz"):
        assert (grown / index.name).read_bytes() == index.read_bytes()


@pytest.fixture
def replaced(tmp_path: Path) -> tuple[Path, Manifest, Path]:
    """A folder of one tar, its data set, and another tar of the same size."""
    write_shards(tmp_path / "written", (4, 4))
    old, new = sorted((tmp_path / "written").glob("*.tar"))
    assert old.stat().st_size == new.stat().st_size
    folder = plain(tmp_path / "tars", [old])
    return folder, load_manifest(str(folder)), new


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_a_tar_that_was_replaced_is_read_again_at_the_same_size_whatever_its_time(
    seconds: int, replaced: tuple[Path, Manifest, Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder, before, new = replaced
    (tar,) = folder.glob("*.tar")
    time = tar.stat().st_mtime + seconds  # as tools that keep times write it, or a machine whose clock is ahead

    tar.write_bytes(new.read_bytes())
    os.utime(tar, (time, time))
    with caplog.at_level(logging.WARNING):
        after = load_manifest(str(folder))

    assert f"1 tars were written since it was indexed, the first is {tar.name}" in caplog.text
    assert before.shards[0].sha256 != after.shards[0].sha256 == sha256_of(new)
    assert load_manifest(str(tar)) == after
    caplog.clear()
    assert load_manifest(str(folder)) == after
    assert not caplog.text, "nothing changed since"


def test_a_copy_without_times_is_the_same_data_set_and_its_tars_are_hashed_once(
    replaced: tuple[Path, Manifest, Path], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, before, _ = replaced
    (tar,) = folder.glob("*.tar")
    os.utime(tar)
    hashed = []
    monkeypatch.setattr(indexing, "sha256_of", lambda path: hashed.append(path.suffix) or sha256_of(path))

    assert load_manifest(str(folder)) == load_manifest(str(folder)) == before

    assert hashed.count(".tar") == 1
    assert not caplog.text


def test_an_index_of_another_user_that_cannot_get_the_time_of_its_tar_serves_all_the_same(
    replaced: tuple[Path, Manifest, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, before, _ = replaced
    (tar,) = folder.glob("*.tar")
    os.utime(tar)

    def refused(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "utime", refused)

    assert load_manifest(str(folder)) == load_manifest(str(folder)) == before


def test_a_kill_between_index_and_manifest_is_mended_by_the_next_call(
    replaced: tuple[Path, Manifest, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _, new = replaced
    (tar,) = folder.glob("*.tar")
    tar.write_bytes(new.read_bytes())
    os.utime(tar, (0, 0))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(indexing, "write_manifest", killed)
    with pytest.raises(KeyboardInterrupt):
        load_manifest(str(folder))
    monkeypatch.undo()

    assert load_manifest(str(folder)).shards[0].sha256 == sha256_of(new)


def test_a_link_that_leads_nowhere_is_a_missing_shard(replaced: tuple[Path, Manifest, Path]) -> None:
    folder, _, _ = replaced
    (tar,) = folder.glob("*.tar")
    tar.unlink()
    tar.symlink_to(folder / "not-fetched")

    with pytest.raises(InputError, match=rf"{tar.name} is missing though the manifest lists it"):
        load_manifest(str(folder))


def test_a_tar_beside_prepared_shards_is_named_and_left_out(
    tars: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(tars[0], tars[0].with_name("more.tar"))

    with caplog.at_level(logging.WARNING):
        manifest = load_manifest(str(tars[0].parent))

    assert manifest.samples == 12
    assert "left out are 1 tars that its manifest does not list, the first is more.tar" in caplog.text


@given(st.lists(st.text("ab/", min_size=1, max_size=5), min_size=1, max_size=40, unique=True), st.integers(0, 40))
def test_a_key_in_two_tars_is_found_whatever_the_keys(keys: list[str], shared: int) -> None:
    first, second = keys[: len(keys) // 2 + 1], [f"{key}c" for key in keys] + keys[:shared]

    different = indexing._all_different([index_of(first), index_of(second)])

    assert different == (not set(first) & set(second))


def index_of(keys: list[str]) -> ShardIndex:
    """An index of which only the keys count."""
    n, text = len(keys), "".join(keys).encode()
    return ShardIndex(
        offsets=np.zeros(n, np.int64),
        sizes=np.zeros(n, np.int64),
        crc32=np.zeros(n, np.uint32),
        labels=np.zeros(n, np.int64),
        gap_crc32=np.zeros(n + 1, np.uint32),
        key_bytes=np.frombuffer(text, np.uint8),
        key_ends=np.cumsum([len(key) for key in keys], dtype=np.int64),
    )
