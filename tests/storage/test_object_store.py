"""Shards and runs in a bucket: the same bytes as on a local disk, and errors that say what is wrong."""

import dataclasses
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pyarrow.fs
import pytest
import torch
from s3fs import S3FileSystem

from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import write_manifest
from dcgan_dist.errors import InputError
from dcgan_dist.storage.filesystems import (
    CredentialsError,
    UnreachableError,
    as_pyarrow,
    open_filesystem,
    storage_errors,
    with_retries,
)
from dcgan_dist.storage.read_ahead import RemoteFolder
from dcgan_dist.storage.run_folder import RunFolder
from tests.helpers import faulty_storage
from tests.helpers.object_store import s3_bucket, upload
from tests.helpers.shards import first_batches, write_shards
from tests.helpers.tracking_server import free_port


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_bucket() as address:
        yield address


def test_another_endpoint_is_asked_once_the_variable_names_it(bucket: str) -> None:
    before = open_filesystem(bucket)[0].ls(bucket)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        patch.setattr(S3FileSystem, "retries", 1)
        with pytest.raises(UnreachableError), storage_errors():
            open_filesystem(bucket)[0].ls(bucket)

    assert open_filesystem(bucket)[0].ls(bucket) == before


@pytest.mark.parametrize("layout", ["samples", "blocks"])
@pytest.mark.parametrize("loader_workers", [0, 1])
def test_shards_in_a_bucket_give_the_local_batches(bucket: str, tmp_path: Path, layout, loader_workers: int) -> None:
    write_shards(tmp_path, (9, 8), layout=layout)
    upload(tmp_path, f"shards-{layout}")

    remote = first_batches(f"{bucket}/shards-{layout}", loader_workers=loader_workers)

    assert torch.equal(remote, first_batches(str(tmp_path)))


def test_keys_that_need_quoting_are_read(bucket: str, tmp_path: Path) -> None:
    manifest = write_shards(tmp_path, (9, 8))
    prefix, renamed = "rooms of 64 px, 100% #1?+&", []
    for number, shard in enumerate(manifest.shards):
        name = f"a b+{number}%41#?&&.tar"
        (tmp_path / shard.name).rename(tmp_path / name)
        (tmp_path / shard.name).with_suffix(".index.npz").rename((tmp_path / name).with_suffix(".index.npz"))
        renamed.append(dataclasses.replace(shard, name=name))
    write_manifest(dataclasses.replace(manifest, shards=tuple(renamed)), tmp_path)
    upload(tmp_path, prefix)

    assert torch.equal(first_batches(f"{bucket}/{quote(prefix)}"), first_batches(str(tmp_path)))


def test_ranges_up_to_the_end_of_an_object_and_past_it_are_right(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(bytes(range(200)) * 10)
    (tmp_path / "empty.tar").write_bytes(b"")
    upload(tmp_path, "ranges")
    folder = RemoteFolder(f"{bucket}/ranges")

    assert folder.read("a.tar", 1990, 10) == bytes(range(190, 200))
    assert folder.read("a.tar", 1990, 50) == bytes(range(190, 200))
    assert folder.read("a.tar", 2000, 10) == b""
    assert folder.read_all("empty.tar") == b""
    folder.close()


@pytest.mark.parametrize("store", ["bucket", "folders"])
def test_a_run_is_written_listed_read_fetched_and_removed(bucket: str, tmp_path: Path, store: str) -> None:
    faulty_storage.register()
    storage = f"{bucket}/my%20runs" if store == "bucket" else f"faulty://{tmp_path}/my%20runs"
    folder = RunFolder(storage, "run")
    (tmp_path / "snapshot" / "deep").mkdir(parents=True)
    (tmp_path / "snapshot" / "deep" / "weights.pt").write_bytes(b"weights")

    assert not folder.local
    assert folder.files("") == []
    assert folder.read_json("run.json") is None
    with folder.heartbeat(1.0):
        folder.write_json("run.json", {"x": 1})
        path = folder.put(tmp_path / "snapshot", "snapshot")
        with pytest.raises(InputError, match="is alive"), RunFolder(storage, "run").heartbeat(1.0):
            pass

    assert folder.path.endswith("/my runs/run")
    assert folder.files("") == [path, f"{folder.path}/run.json"]
    assert RunFolder(storage, "run").read_json("run.json") == {"x": 1}
    assert (folder.fetch(path, tmp_path / "copy") / "deep" / "weights.pt").read_bytes() == b"weights"
    with pytest.raises(FileNotFoundError):
        folder.fetch(f"{folder.path}/nothing", tmp_path / "copy")
    folder.remove(path)
    assert not folder.exists(path)

    ray_files = pickle.loads(pickle.dumps(as_pyarrow(folder.fs)))  # noqa: S301  as Ray sends it to its controller
    ray_files.create_dir(folder.path, recursive=True)
    with ray_files.open_output_stream(f"{folder.path}/marker.json") as file:
        file.write(b"{}")
    assert folder.read_json("marker.json") == {}
    assert ray_files.get_file_info(folder.path).type == pyarrow.fs.FileType.Directory


def test_an_endpoint_may_stand_in_the_address(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    host = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
    RunFolder(f"{bucket}/runs", "addressed").write_json("run.json", {"x": 2})
    monkeypatch.delenv("AWS_ENDPOINT_URL")

    folder = RunFolder(f"{bucket}/runs?scheme=http&endpoint_override={host}&region=us-east-1", "addressed")

    assert folder.read_json("run.json") == {"x": 2}


def test_what_is_not_there_is_told_from_silence_and_from_missing_credentials(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"nothing/manifest\.json cannot be read"):
        load_manifest(f"{bucket}/nothing")
    assert RunFolder("s3://no-such-bucket/runs", "run").read_json("run.json") is None

    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr(S3FileSystem, "retries", 1)
    with pytest.raises(OSError, match="does not answer") as silence:
        RunFolder(f"{bucket}/runs", "run").read_json("run.json")
    assert not isinstance(silence.value, FileNotFoundError | CredentialsError)

    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    for variable in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(variable, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(CredentialsError, match="there are none"):
        with_retries(lambda: RunFolder(f"{bucket}/runs", "run").read_json("run.json"))
    with pytest.raises(InputError, match="credentials"):
        load_manifest(f"{bucket}/runs")
