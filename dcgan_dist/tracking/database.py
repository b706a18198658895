"""A database file of runs: whether it can be used, and that it is used where it lies now."""

import fcntl
import os
import re
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import mlflow

from dcgan_dist.errors import InputError
from dcgan_dist.tracking.address import sqlite_uri

SQLITE_HEADER = b"SQLite format 3\0"
ARTIFACTS = "mlartifacts"  # the folder beside a database in which the files of its runs lie
PLACES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""Columns of MLflow's tables that hold where files lie."""


def sqlite_path(tracking_uri: str) -> Path:
    """File of a `sqlite:///` URI, absolute."""
    return Path(unquote(tracking_uri.removeprefix("sqlite:///").split("?")[0])).absolute()


def artifacts_uri(path: Path) -> str:
    """URI of the folder for the files of a database's runs."""
    return (path.parent / ARTIFACTS).as_uri()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for the same lock out; a file system that has no locks goes without."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def other_schema(path: Path, message: str) -> InputError | None:
    """What to do about a database of another MLflow, from that MLflow's refusal; None where it refuses something else."""
    found = re.search(r"database schema \(found version (\w+)", message)
    if found is None:
        return None
    known = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    if any(known.glob(f"{found[1]}_*.py")):
        age, remedy = (
            "an older",
            f"keep a copy, then bring it up to date: mlflow db upgrade {shlex.quote(sqlite_uri(path))}",
        )
    else:
        age, remedy = "a newer", "install that one, or name another file with `tracking_uri`"
    return InputError(f"the tracking database {path} was written by {age} MLflow than {mlflow.__version__}: {remedy}")


def follow_move(path: Path) -> None:
    """Where a database was moved together with the files of its runs, let it name their new place.

    Without this, models would not be found, and what is logged would make the old folder again.
    """
    if not (path.parent / ARTIFACTS).is_dir():
        return
    new = artifacts_uri(path)
    with closing(sqlite3.connect(path, timeout=20)) as connection, connection:
        locations = [location for (location,) in connection.execute("SELECT artifact_location FROM experiments")]
        for old in {location for location in locations if location and location.endswith(f"/{ARTIFACTS}")} - {new}:
            if Path(unquote(urlsplit(old).path)).exists():
                continue  # a copy, or another name of the same folder
            for table, columns in PLACES.items():
                for column in columns:
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                        (new, len(old) + 1, len(old), old),
                    )


def check_file(uri: str, path: Path) -> None:
    """Raise InputError, with a remedy, for a file that cannot hold runs."""

    def refuse(cause: str, remedy: str) -> InputError:
        return InputError(f"the tracking database {path} (from {uri}) {cause}: {remedy}")

    if path.is_dir():
        raise refuse("is a folder", "name a file in it, for example mlflow.db")
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise refuse(f"cannot be made, since {folder} is a file", "choose another place with `tracking_uri`")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise refuse(f"cannot be written: no permission in {folder}", "choose another place with `tracking_uri`")
    if not path.exists():
        return
    if not os.access(path, os.R_OK | os.W_OK):
        raise refuse("cannot be written: no permission", "choose another file, or change its permissions")
    with path.open("rb") as file:
        header = file.read(len(SQLITE_HEADER))
    if header not in (b"", SQLITE_HEADER):
        raise refuse("is not an SQLite database", "choose another file")
