"""A tracking server or database: whether it can be used, and a client of it."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from sqlalchemy.exc import SQLAlchemyError

from dcgan_dist.errors import InputError
from dcgan_dist.tracking.address import sqlite_uri, without_password
from dcgan_dist.tracking.database import check_file, follow_move, locked, other_schema, sqlite_path

EXPERIMENTS_KEYS = {"experiments", "next_page_token"}


def check_reachable(tracking_uri: str) -> None:
    """Find out within about 10 seconds whether runs can be recorded; writes nothing, creates no file.

    Args:
        tracking_uri: `http(s)://...` of a tracking server, or `sqlite:///FILE`.

    Raises:
        InputError: no answer, no permission, not a tracking server, a file that cannot be used, or another kind of URI.
    """
    scheme = urlsplit(tracking_uri).scheme
    if scheme in ("http", "https"):
        _check_server(tracking_uri)
    elif tracking_uri.startswith("sqlite:///"):
        check_file(tracking_uri, sqlite_path(tracking_uri))
    else:
        raise InputError(
            f"tracking URI {without_password(tracking_uri)!r} is neither a server (http://HOST:PORT) nor a database file "
            "(sqlite:////absolute/path/mlflow.db): name one of these; for another database start "
            "`mlflow server --backend-store-uri ...` on it and name that server"
        )


def connect(tracking_uri: str, *, must_exist: bool = False) -> MlflowClient:
    """A client of tracking and registry at one URI.

    Args:
        tracking_uri: as for `check_reachable`.
        must_exist: a database file that is not there is an error; else it is made, with its folder, at the first use.

    Raises:
        InputError: as `check_reachable` says.
    """
    check_reachable(tracking_uri)
    # MLflow's own settings allow 7 retries of 120 s: a rank would stand still for minutes while its server is away.
    for name, value in (("MAX_RETRIES", "1"), ("TIMEOUT", "20"), ("BACKOFF_FACTOR", "1")):
        os.environ.setdefault(f"MLFLOW_HTTP_REQUEST_{name}", value)
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    logging.getLogger("mlflow.store").setLevel(logging.CRITICAL)  # a traceback at every attempt; what it raises is told
    if tracking_uri.startswith("sqlite"):
        path = sqlite_path(tracking_uri)
        if must_exist and not path.exists():
            raise InputError(f"there is no tracking database {path}: correct `tracking_uri` (from {tracking_uri})")
        return _open_file(path)
    return MlflowClient(tracking_uri, registry_uri=tracking_uri)


def _open_file(path: Path) -> MlflowClient:
    """A client of a database file, whose tables are made, checked and brought to where the file is by one process at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    uri = sqlite_uri(path)
    with locked(path.parent), refusals_as_input_errors(uri):
        try:
            client = MlflowClient(uri, registry_uri=uri)
            client.search_registered_models(max_results=1)  # the registry's tables too
        except MlflowException as error:
            raise other_schema(path, error.message) or error from error
        if "%" in uri:  # MLflow makes a folder of the quoted name
            with suppress(OSError):
                os.removedirs(Path(uri.removeprefix("sqlite:///")).parent)
        follow_move(path)
        return client


@contextmanager
def refusals_as_input_errors(tracking_uri: str) -> Iterator[None]:
    """Turn what MLflow raises inside the block into an InputError that names the server or database."""
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        reason = str(getattr(error, "message", error))
        raise InputError(f"tracking at {without_password(tracking_uri)} refused: {reason}") from error


def _check_server(uri: str) -> None:
    try:
        response = http_request(
            get_default_host_creds(uri),
            "/api/2.0/mlflow/experiments/search",
            "POST",
            max_retries=0,
            timeout=5,
            raise_on_status=False,
            json={"max_results": 1},
        )
    except (MlflowException, OSError) as error:
        uri = without_password(uri)
        raise InputError(
            f"the tracking server {uri} does not answer ({_cause(error)}): start it, correct `tracking_uri`, or use a "
            "database file with `tracking_uri` sqlite:////absolute/path/mlflow.db"
        ) from error
    assert response is not None
    uri = without_password(uri)
    if response.status_code in (401, 403):
        raise InputError(
            f"the tracking server {uri} refuses access (HTTP {response.status_code}): set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, to an account that may write"
        )
    try:
        content = response.json()
    except ValueError:
        content = None
    # A server with accounts leaves "experiments" out where ours may see none yet.
    known = response.status_code == 200 and isinstance(content, dict) and content.keys() <= EXPERIMENTS_KEYS
    if not known:
        raise InputError(
            f"{uri} answers with HTTP {response.status_code}, but not as a tracking server does: give the address that "
            "`mlflow server` prints, without a page's path"
        )


def _cause(error: Exception) -> str:
    """The operating system's message out of a chain of wrapped ones."""
    match = re.search(
        r"\[Errno -?\d+\] ([^'\")>(]+)|([Cc]onnection refused|timed out|Name or service not known)", str(error)
    )
    return (match[1] or match[2]).strip() if match else without_password(str(error))[:200]
