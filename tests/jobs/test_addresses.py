"""Every flag of every job that takes text, given an address: it is used, or refused with the remedy; nothing lands on the disk."""

import contextlib
import functools
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dcgan_dist.cli.command_line import run
from dcgan_dist.cli.uri_flags import READ, SERVERS, STORED, check_address
from dcgan_dist.data.shards.keep_list import KeepList, load_keep_list, write_keep_list
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.errors import InputError
from dcgan_dist.storage.stored_folder import StoredFolder
from tests.helpers.jobs import JOBS, draw_rooms, load_job
from tests.helpers.object_store import s3_bucket, upload

COMMANDS = [[path.stem] for path in sorted(JOBS.glob("[!_]*.py")) if path.stem != "explore"]
COMMANDS += [["explore", name] for name in ("walk", "filters", "windows", "arithmetic", "turn")]
TEXT_FLAG = re.compile(r"^\W*--([a-z][\w.-]*) (?:\{None\}\|)?\[?STR\b(.*?)(?=^\W*-|\Z)", re.M | re.S)
LOCAL_WORK = {("dedup_lsun", "out"), *((f"evaluate_{name}", "out") for name in ("cifar10", "mnist", "svhn"))}
"""Results that are read and written piece by piece."""
WEB = ("http://127.0.0.1:9/x", "https://127.0.0.1:9/x")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_bucket() as address:
        yield address


@functools.cache
def text_flags(*command: str) -> dict[str, bool]:
    """Flags of a job that take text, as its --help shows them; whether each must be given."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        load_job(command[0])([*command[1:], "--help"])
    return {match[1]: "(required)" in match[2] for match in TEXT_FLAG.finditer(shown.getvalue())}


def field(flag: str) -> str:
    return flag.replace("-", "_")


def leave(command: list[str], *arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Exit code of a job as the shell starts it."""
    monkeypatch.setattr("sys.argv", [f"{command[0]}.py", *command[1:], *arguments])
    with pytest.raises(SystemExit) as leaving:
        run(load_job(command[0]))
    return int(leaving.value.code or 0)


def answer(value: str, flag: str) -> str:
    """What a flag says to an address; empty where it takes it."""
    try:
        check_address(value, field(flag))
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_flags_take_the_addresses_that_make_sense_and_refuse_all_others(command: list[str]) -> None:
    flags = text_flags(*command)
    assert flags

    for flag in flags.keys() - {name.replace("_", "-") for name in SERVERS}:
        name = field(flag).rpartition(".")[2]
        for value in ("s3://b/x", "gs://b/x", *WEB):
            told = answer(value, flag)
            assert (not told) == (name in READ or (name in STORED and value not in WEB)), (flag, value)
            assert not told or (f"`{field(flag)}`" in told and "give" in told)
        for value in (
            "file:///tmp/x",
            "s3:/b/x",
            "s3:b",
            "S3://b/x",
            "s3://",
            "gs:///x",
            "http://[::1/x",
            "nonsense://b/x",
            "s3://key:secret@b/x",
        ):
            assert answer(value, flag) or (name == "storage" and value.startswith("nonsense")), (flag, value)
        assert "secret@" not in answer("s3://key:secret@b/x", flag)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_address_where_nothing_is_leaves_with_code_2_and_nothing_on_the_disk(
    command: list[str],
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for variable, place in (("DCGAN_DIST_STORAGE", "runs"), ("DCGAN_DIST_SHARDS", "none")):
        monkeypatch.setenv(variable, str(tmp_path / place))
    flags = text_flags(*command)
    needed = {flag: f"{tmp_path}/none" for flag, required in flags.items() if required}
    looked_at = {
        "out",
        "keep-list",
        "shards",
        "model",
        "json",
        "sheet",
        "source",
        "rewrite",
        "data",
        "coder",
    } & flags.keys()
    for flag in looked_at if command != ["prepare_rooms"] else ():
        given = needed | {flag: f"{bucket}/none"}
        arguments = [text for name, value in given.items() for text in (f"--{name}", value)]

        code = leave(command, *arguments, monkeypatch=monkeypatch)

        shown = capsys.readouterr().err
        assert code == 2, (flag, shown)
        assert shown.startswith("error: "), (flag, shown)
        refused = answer(f"{bucket}/none", flag) or (command[0], flag) in LOCAL_WORK
        assert not refused or ("aws s3 sync" in shown and f"--{flag}" in shown), (flag, shown)
    assert not list(tmp_path.iterdir()), "something was written"


def test_shards_are_prepared_into_a_bucket_inspected_and_read_there(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rooms = ["--n", "40", "--image-size", "32", "--shard-samples", "20", "--cpus", "1"]
    stored = f"{bucket}/all%20rooms"

    assert load_job("prepare_rooms")([*rooms, "--out", stored]) == 0
    assert f"manifest {stored}/manifest.json" in capsys.readouterr().out
    local = load_manifest(str(draw_rooms(tmp_path / "local", 40, *rooms[4:])))
    assert load_manifest(stored).hash == local.hash
    assert sorted(Path(path).name for path in StoredFolder(stored).files("")) == sorted(
        path.name for path in (tmp_path / "local").iterdir()
    )
    assert load_job("prepare_rooms")([*rooms, "--out", stored]) == 0
    assert "prepared already" in capsys.readouterr().out

    assert (
        load_job("inspect_shards")(["--shards", stored, "--json", f"{bucket}/found.json", "--sheet", f"{bucket}/s.png"])
        == 0
    )
    assert StoredFolder(bucket).read_json("found.json")["damages"] == []
    assert StoredFolder(bucket).read_bytes("s.png").startswith(b"\x89PNG")

    write_keep_list(KeepList(manifest_hash=local.hash, positions=np.arange(0, 40, 2)), tmp_path / "local" / "keep.json")
    upload(tmp_path / "local", "local")
    assert len(load_keep_list(f"{bucket}/local/keep.json", load_manifest(f"{bucket}/local")).positions) == 20
    assert not [path for path in tmp_path.iterdir() if ":" in path.name]


@pytest.mark.slow
def test_shards_in_a_bucket_are_thinned_out_into_it(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    upload(draw_rooms(tmp_path / "rooms", 300, "--duplicates", "0.2", "--cpus", "1"), "rooms")
    flags = [
        "--out",
        "dedup",
        "--rewrite",
        f"{bucket}/clean",
        "--cpus",
        "1",
        "--tracking-uri",
        f"sqlite:///{tmp_path}/m.db",
    ]

    assert load_job("dedup_lsun")(["--shards", f"{bucket}/rooms", *flags]) == 0

    kept = load_keep_list("dedup/keep_list.json", load_manifest("rooms"))
    assert 0 < len(kept.positions) < 300
    assert load_manifest(f"{bucket}/clean").samples == len(kept.positions)
