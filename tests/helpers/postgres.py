"""A real PostgreSQL of a test's own, from the packages of the system; listens to a socket file only."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def programs() -> Path:
    """Folder of initdb and pg_ctl; skips the test where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    named = [str(found[-1])] if found else [path] if (path := shutil.which("initdb")) else []
    for initdb in named:
        if (folder := Path(initdb).resolve().parent) and (folder / "postgres").exists():
            return folder
    pytest.skip("PostgreSQL is not installed (initdb)")


def account() -> str | None:
    """Who may run it: it refuses root."""
    if os.geteuid() != 0:
        return None
    names = [entry.pw_name for entry in pwd.getpwall()]
    return "postgres" if "postgres" in names else "nobody"


@contextmanager
def postgres() -> Iterator[str]:
    """Yields the URI of an empty database; the server and its files are gone afterwards."""
    pytest.importorskip("psycopg2", reason="its driver for python is not installed")
    bin, user = programs(), account()
    # Short, as the socket lies in it, and not below pytest's own, which only its owner may enter.
    folder = Path(tempfile.mkdtemp(prefix="dp", dir="/tmp"))
    if user:
        shutil.chown(folder, user)

    def call(*command: str) -> None:
        done = subprocess.run(command, cwd=folder, user=user, text=True, capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr + read_log(folder)

    settings = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    try:
        call(str(bin / "initdb"), "-D", f"{folder}/data", "-U", "mlflow", "--auth=trust", "--no-sync")
        # pg_ctl hands its output to the server, which would keep a pipe open: so into a file.
        call(str(bin / "pg_ctl"), "-D", f"{folder}/data", "-l", f"{folder}/log", "-o", settings, "-w", "start")
        yield f"postgresql+psycopg2://mlflow@/postgres?host={folder}"
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            call(str(bin / "pg_ctl"), "-D", f"{folder}/data", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def read_log(folder: Path) -> str:
    """What the server said."""
    return (folder / "log").read_text() if (folder / "log").exists() else ""
