"""Whether a tracking place can be used is known before anything starts."""

import os
import socket
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from dcgan_dist.errors import InputError
from dcgan_dist.tracking.address import without_password
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


def test_passwords_are_not_shown() -> None:
    assert without_password("https://me:pass@host:5000/x") == "https://host:5000/x"
    assert without_password("sqlite:////a/b@c.db") == "sqlite:////a/b@c.db"
