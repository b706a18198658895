"""A Ray head as a user starts it: with a dashboard, a job service and a token."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.processes import end_all
from tests.helpers.tracking_server import free_port
from tests.helpers.training_job import Job

RAY = Path(sys.executable).with_name("ray")


@contextmanager
def ray_head(
    options: Sequence[str] = ("--num-cpus", "2"), *, host: str = "127.0.0.1", gcs_port: int = 0, **settings: str
) -> Iterator[dict[str, str]]:
    """A head of its own; yields the environment of its clients.

    Args:
        options: of `ray start --head`.
        host: address of its node, its job service and its dashboard.
        gcs_port: where other nodes join; 0: any.
        settings: further environment variables.
    """
    home = tempfile.mkdtemp(prefix="dh", dir="/tmp")
    dashboard, gcs, agent = free_port(), gcs_port or free_port(), free_port()
    environment = os.environ | {
        "HOME": home,
        "RAY_AUTH_MODE": "token",
        "RAY_TMPDIR": home,
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    environment |= settings
    (Path(home) / ".ray").mkdir()
    token = Path(home) / ".ray" / "auth_token"
    token.write_text("a" * 64)
    token.chmod(0o600)
    command = [str(RAY), "start", "--head", "--block", "--temp-dir", f"{home}/r", *options]
    command += [
        f"--node-ip-address={host}",
        f"--port={gcs}",
        f"--dashboard-host={host}",
        f"--dashboard-port={dashboard}",
    ]
    command += [f"--dashboard-agent-listen-port={agent}"]  # its default may be another head's
    # A session of its own, so that the end of the test takes every process of this head and of no other along.
    process = subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((host, dashboard), timeout=1):
            break
        time.sleep(0.5)
    try:
        yield environment | {"RAY_API_SERVER_ADDRESS": f"http://{host}:{dashboard}", "GCS_ADDRESS": f"{host}:{gcs}"}
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        end_all(home)  # nodes that an autoscaler started, jobs
        shutil.rmtree(home, ignore_errors=True)


def ray_cli(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """`ray ARGUMENTS` as a client of a head, asked again for a minute where its job service is not up yet."""
    until = time.monotonic() + 60
    while True:
        done = subprocess.run(
            [str(RAY), *arguments], env=environment, capture_output=True, text=True, timeout=200, check=False
        )
        # The dashboard listens before its job service does.
        ready = not any(words in done.stdout + done.stderr for words in ("Failed to connect", "No available agent"))
        if ready or time.monotonic() > until:
            return done
        time.sleep(2)


def submit(environment: dict[str, str], name: str, *command: str, options: Sequence[str] = ()) -> Job:
    """`ray job submit OPTIONS -- COMMAND`; returns what `ray job logs -f` of it reads."""
    done = ray_cli(environment, "job", "submit", "--no-wait", "--submission-id", name, *options, "--", *command)
    assert done.returncode == 0, done.stdout + done.stderr
    return Job(["-m", "ray.scripts.scripts", "job", "logs", "-f", name], Path(environment["HOME"]), environment)


def status(environment: dict[str, str], name: str) -> str:
    """What `ray job status` says of a job, in one word."""
    said = ray_cli(environment, "job", "status", name).stdout
    return next(word for word in ("SUCCEEDED", "FAILED", "STOPPED", "RUNNING", "PENDING") if word in said.upper())
