"""A real tracking server that a test can stop and start again at the same address."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path


def free_port(host: str = "127.0.0.1") -> int:
    """A port of an address of this machine that nothing uses now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


class TrackingServer:
    """`mlflow server` on a database; keeps the files of its runs itself."""

    def __init__(
        self,
        folder: Path,
        database: str = "",
        *,
        host: str = "127.0.0.1",
        options: Sequence[str] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        """Start it, with more options of `mlflow server` and changes to the environment, and wait until it answers."""
        self.folder, self.database = folder, database or f"sqlite:///{folder}/mlflow.db"
        self.host, self.options, self.environment = host, options, environment or {}
        self.port = free_port(host)
        self.address = f"http://{host}:{self.port}"
        self.start()

    def start(self) -> None:
        """Start it, again where it was stopped, and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", self.host, "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", self.database]
        command += ["--artifacts-destination", f"{self.folder}/files", *self.options]
        # Eight more processes, for jobs that nothing here asks for, would start with it and take the cores for half a minute.
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"} | self.environment
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all its processes at once, as a lost machine would."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _wait(self) -> None:
        for _ in range(240):
            assert self.process.poll() is None, (self.folder / "log").read_text()
            try:
                urllib.request.urlopen(f"{self.address}/health", timeout=5).close()
            except OSError:
                time.sleep(0.5)
            else:
                return
        raise AssertionError(f"the tracking server did not start:\n{(self.folder / 'log').read_text()}")
