"""Fixtures of a tracking database and a tracking server; making one takes seconds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.tracking_server import TrackingServer


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
    """URI of a database file; made at its first use."""
    return f"sqlite:///{tmp_path_factory.mktemp('tracking')}/a folder/mlflow.db"


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
