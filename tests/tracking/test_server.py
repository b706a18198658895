"""Whether a tracking place can be used is known before anything starts."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, nullcontext
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from dcgan_dist.errors import InputError
from dcgan_dist.tracking.address import holds_secret, sqlite_uri, without_password
from dcgan_dist.tracking.database import sqlite_path
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.tracking.server import check_reachable, connect
from tests.helpers.listener import listener


def test_a_running_server_and_a_new_database_are_fine(server: str, tmp_path: Path) -> None:
    check_reachable(server)
    check_reachable(f"sqlite:///{tmp_path}/new/folder/mlflow.db")

    assert not (tmp_path / "new").exists(), "checking must make nothing"


@pytest.mark.parametrize("uri", ["/tmp/runs", "file:///tmp/runs", "sqlite://", "databricks", "postgresql://h/d", ""])
def test_other_kinds_of_place_are_refused_with_a_remedy(uri: str) -> None:
    with pytest.raises(InputError, match=r"neither a server .* nor a database file .*: name one of these"):
        check_reachable(uri)


def test_a_server_that_is_not_there_is_named_with_the_cause() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, but not listening
        address = f"http://somebody:secret@127.0.0.1:{unused.getsockname()[1]}"

        with pytest.raises(InputError, match=r"does not answer \(Connection refused\): start it, correct") as error:
            check_reachable(address)

    assert "secret" not in str(error.value)


def test_a_server_that_never_answers_costs_ten_seconds_at_most() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()

        with pytest.raises(InputError, match=r"does not answer \(timed out\)"):
            check_reachable(f"http://127.0.0.1:{silent.getsockname()[1]}")

    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "refuses access.*MLFLOW_TRACKING_USERNAME"), (403, "refuses access"), (404, "not as a tra")],
)
def test_answers_of_other_kinds_are_told_apart(status: int, message: str) -> None:
    with listener(status) as (address, _), pytest.raises(InputError, match=message):
        check_reachable(address)


@pytest.mark.parametrize(
    ("body", "fits"),
    [(b"{}", True), (b'{"experiments": []}', True), (b'{"models": []}', False), (b"[]", False), (b"hi", False)],
)
def test_a_server_that_shows_an_account_no_experiment_is_a_tracking_server_all_the_same(
    body: bytes, fits: bool
) -> None:
    """MLflow leaves an empty list out of its answer, so a new account without permissions gets `{}`."""
    with (
        listener(body=body) as (address, _),
        nullcontext() if fits else pytest.raises(InputError, match="not as a tracking server"),
    ):
        check_reachable(address)


def test_a_database_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database")

    for place, message in (
        (tmp_path, "is a folder"),
        (tmp_path / "notes.txt", "is not an SQLite database"),
        (tmp_path / "notes.txt" / "mlflow.db", r"cannot be made, since .*notes.txt is a file"),
    ):
        with pytest.raises(InputError, match=message):
            check_reachable(f"sqlite:///{place}")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_database_file_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    with pytest.raises(InputError, match="no permission"):
        check_reachable(f"sqlite:///{tmp_path}/mlflow.db")


def test_reading_from_a_database_that_does_not_exist_makes_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no tracking database .*mlflow\.db"):
        connect(f"sqlite:///{tmp_path}/mlflow.db", must_exist=True)

    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:pass@host:5000/x", "https://host:5000/x"),
        ("https://me:pa/ss@host/x", "https://host/x"),
        ("s3://bucket/a?secret_key=abc&region=eu", "s3://bucket/a?secret_key=...&region=eu"),
        ("https://host/a?token=abc", "https://host/a?token=..."),
        ("https://host/a?x=1&X-Amz-Signature=abc", "https://host/a?x=1&X-Amz-Signature=..."),
    ],
)
def test_credentials_are_not_shown_and_told_as_such(text: str, shown: str) -> None:
    assert without_password(text) == shown
    assert holds_secret(text)


@pytest.mark.parametrize(
    "place",
    [
        *("sqlite:////a/b@c.db", "sqlite:////home/me@corp/mlflow.db", "sqlite:////@home/x.db", "/home/me@corp/runs"),
        *("s3://bucket/me@corp/runs", "file:///home/a:b@c/x", "http://[::1]:5000/x@y", "/data//me@corp", "/a?token=b"),
        "https://host/shards?region=eu",
    ],
)
def test_what_looks_like_a_password_in_a_path_is_none(place: str) -> None:
    assert without_password(place) == place or "://" not in place
    assert not holds_secret(place)


def test_several_first_starts_on_one_new_database_get_one_experiment(tmp_path: Path) -> None:
    """Each with a temporary folder of its own, as MLflow's own lock lies there."""
    code = (
        "import sys; from dcgan_dist.tracking.runs import TrackedRun; print('ready', flush=True); input()\n"
        "print(TrackedRun.create(sys.argv[1], 'first', 'a run', {}, {}).experiment_id)"
    )
    starts = []
    for number in range(3):
        (tmp_path / str(number)).mkdir()
        starts.append(
            subprocess.Popen(
                [sys.executable, "-c", code, f"sqlite:///{tmp_path}/new/mlflow.db"],
                env=os.environ | {"TMPDIR": str(tmp_path / str(number))},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    for start in starts:
        assert start.stdout is not None
        assert start.stdout.readline() == "ready\n"
    ids = [start.communicate("\n", timeout=120)[0].strip() for start in starts]

    assert [start.returncode for start in starts] == [0, 0, 0]
    assert len(set(ids)) == 1, ids


@pytest.fixture
def copied(database: str, tmp_path: Path) -> Path:
    """A database of the test's own: a copy, as making one takes seconds."""
    TrackedRun.create(database, "tests", "a run", {}, {})
    return Path(shutil.copy(sqlite_path(database), tmp_path / "mlflow.db"))


@pytest.mark.parametrize(
    ("revision", "message"),
    [
        ("90e64c465722", r"written by an older MLflow than .*: keep a copy, then .* mlflow db upgrade 'sqlite:///"),
        ("ffffffffffff", r"written by a newer MLflow than .*: install that one, or name another file"),
    ],
)
def test_a_database_of_another_schema_says_what_to_do(copied: Path, revision: str, message: str) -> None:
    with closing(sqlite3.connect(copied)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    copied = copied.rename(copied.with_name("it's.db"))

    with pytest.raises(InputError, match=message.replace("'sqlite", "'?sqlite")):
        connect(f"sqlite:///{copied}")


def test_a_database_that_is_damaged_is_said(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 40)

    with pytest.raises(InputError, match="refused"):
        connect(f"sqlite:///{tmp_path}/mlflow.db")


@pytest.mark.parametrize("name", ["100% #1 @me", "%41 50%25", "a?b=c", "\u00fcml\u00e4ut \u65e5\u672c", "it's; a & b"])
def test_a_database_works_in_a_folder_of_any_name(copied: Path, name: str, tmp_path: Path) -> None:
    folder = tmp_path / "places" / name
    folder.mkdir(parents=True)
    uri = sqlite_uri(copied.rename(folder / "mlflow.db"))

    run = TrackedRun.create(uri, name, "a run", {}, {})
    run.log_dict({"a": 1}, "result.json")

    assert sqlite_path(uri) == folder / "mlflow.db"
    assert run.failures == 0
    assert TrackedRun.attach(run.tracking_uri, run.run_id).run_id == run.run_id
    assert [path.name for path in (tmp_path / "places").iterdir()] == [name]
    assert len(list((folder / "mlartifacts").rglob("result.json"))) == 1


def test_a_database_that_was_moved_with_its_files_goes_on_where_it_is(copied: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "old %", tmp_path / "new #"
    old.mkdir()
    run = TrackedRun.create(sqlite_uri(copied.rename(old / "mlflow.db")), "moved", "a run", {}, {})
    files = Path(unquote(urlsplit(run.client.get_run(run.run_id).info.artifact_uri).path))
    files.mkdir(parents=True)  # MLflow remembers, within a process, where it wrote a run's files: nothing is logged yet
    (files / "first.json").write_text("{}")
    old.rename(new)

    again = TrackedRun.attach_or_create(
        {"run_id": run.run_id, "tracking_uri": run.tracking_uri}, sqlite_uri(new / "mlflow.db"), "moved", "", {}, {}
    )
    again.log_dict({"a": 2}, "second.json")
    other = TrackedRun.create(again.tracking_uri, "moved", "another run", {}, {})
    other.log_dict({"a": 3}, "third.json")

    assert again.run_id == run.run_id
    assert again.failures == other.failures == 0
    assert [file.path for file in again.client.list_artifacts(run.run_id)] == ["first.json", "second.json"]
    assert len(list((new / "mlartifacts").rglob("*.json"))) == 3
    assert not old.exists()
