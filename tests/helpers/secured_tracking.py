"""A tracking server as a team runs it: PostgreSQL, accounts without any permission to begin with, files over HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.helpers.tracking_server import TrackingServer

ADMIN = "admin"


@contextmanager
def secured_server(
    folder: Path, database: str, host: str, accounts: dict[str, str], admin_password: str
) -> Iterator[TrackingServer]:
    """A server with basic authentication on a PostgreSQL; accounts (passwords by name) may do only what they own."""
    pytest.importorskip("flask_wtf", reason="what its accounts need is not installed")
    settings = folder / "auth.ini"
    settings.write_text(
        f"[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = {database}\nadmin_username = {ADMIN}\n"
    )
    server = TrackingServer(
        folder,
        database,
        host=host,
        options=["--app-name", "basic-auth", "--serve-artifacts", "--allowed-hosts", f"{host}:*"],
        environment={
            "MLFLOW_AUTH_CONFIG_PATH": str(settings),
            "MLFLOW_AUTH_ADMIN_PASSWORD": admin_password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "secret of this test",
        },
    )
    try:
        for name, password in accounts.items():
            body = {"username": name, "password": password}
            call(f"{server.address}/api/2.0/mlflow/users/create", ADMIN, admin_password, body)
        yield server
    finally:
        server.stop()


def call(url: str, user: str, password: str, body: dict[str, Any] | None = None, **headers: str) -> bytes:
    """What an address answers to a user; with a body, to a POST."""
    method = "GET" if body is None else "POST"
    answer = requests.request(method, url, json=body, headers=headers, auth=(user, password), timeout=30)
    answer.raise_for_status()
    return answer.content
