"""Tracking databases and servers for tests; MLflow takes seconds to make the tables of one, so they are made once."""

import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from dcgan_dist.tracking.server import connect
from tests.helpers.tracking_server import TrackingServer


@cache
def _empty_database() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        connect(f"sqlite:///{folder}/mlflow.db")
        return Path(folder, "mlflow.db").read_bytes()


def new_database(folder: Path) -> str:
    """URI of an empty tracking database in a folder, as MLflow makes it at the first use."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mlflow.db").write_bytes(_empty_database())
    return f"sqlite:///{folder}/mlflow.db"


@pytest.fixture(autouse=True)
def _nothing_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow's defaults write `mlflow.db` and `mlruns` there; a rank's is thrown away."""
    folder = tmp_path / "working_directory"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """URI of a database file."""
    return new_database(tmp_path_factory.mktemp("tracking") / "a folder")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a tracking server that keeps the files of its runs itself."""
    server = TrackingServer(tmp_path_factory.mktemp("server"))
    yield server.address
    server.stop()


@pytest.fixture(params=["database", "server"])
def tracking_uri(request: pytest.FixtureRequest) -> str:
    """Both kinds of place, one after the other."""
    return request.getfixturevalue(request.param)
