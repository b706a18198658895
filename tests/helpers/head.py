"""A Ray head as a user starts it: with a dashboard, a job service and a token."""

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
from typing import Any

from tests.helpers.processes import end_all
from tests.helpers.tracking_server import free_port
from tests.helpers.training_job import Job

RAY = Path(sys.executable).with_name("ray")


@contextmanager
def ray_head(
    options: Sequence[str] = ("--num-cpus", "2"),
    *,
    host: str = "127.0.0.1",
    gcs_port: int = 0,
    token: str = "a" * 64,
    **settings: str,
) -> Iterator[dict[str, str]]:
    """A head of its own, started with options of `ray start --head`; yields the environment of its clients.

    The token is what clients and nodes must have; settings are further environment variables.
    """
    home = tempfile.mkdtemp(prefix="dh", dir="/tmp")
    dashboard, gcs, agent = free_port(host), gcs_port or free_port(host), free_port(host)
    environment = os.environ | {
        "HOME": home,
        "RAY_AUTH_MODE": "token",
        "RAY_TMPDIR": home,
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    environment |= settings
    give_token(Path(home), token)
    command = [str(RAY), "start", "--head", "--block", "--temp-dir", f"{home}/r", *options]
    command += [f"--port={gcs}", f"--dashboard-port={dashboard}", f"--dashboard-host={host}"]
    command += [] if host == "127.0.0.1" else [f"--node-ip-address={host}"]
    command += [f"--dashboard-agent-listen-port={agent}"]  # its default may be another head's
    # A session of its own, so that the end of the test takes every process of this head and of no other along.
    process = subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection((host, dashboard), timeout=1):
                break
            time.sleep(0.5)
        yield environment | {"RAY_API_SERVER_ADDRESS": f"http://{host}:{dashboard}", "GCS_ADDRESS": f"{host}:{gcs}"}
    finally:
        end_group(process)
        end_all(home)  # nodes that an autoscaler started, jobs
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def ray_node(head: dict[str, str], host: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Another node of a head, with the environment of the head's clients; yields `ray start`, which blocks or says why not."""
    command = [str(RAY), "start", "--block", f"--address={head['GCS_ADDRESS']}", f"--node-ip-address={host}", *options]
    process = subprocess.Popen(
        command, env=head, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        end_group(process)


def give_token(home: Path, token: str) -> None:
    """Write Ray's token where a user whose home this is has it, readable for that user alone."""
    (home / ".ray").mkdir(parents=True)
    file = home / ".ray" / "auth_token"
    file.write_text(token)
    file.chmod(0o600)


def run_client(head: dict[str, str], code: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run Python code as a client that was told the address of a head."""
    environment = head | {"RAY_ADDRESS": head["GCS_ADDRESS"]} | settings
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def end_group(process: subprocess.Popen[Any]) -> None:
    """End a process and all of its session, at first politely."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def ray_cli(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """`ray ARGUMENTS` as a client of a head, asked again for a minute where its job service is not up yet."""
    until = time.monotonic() + 60
    while True:
        done = subprocess.run(
            [str(RAY), *arguments], env=environment, capture_output=True, text=True, timeout=200, check=False
        )
        # The dashboard listens before its job service does.
        ready = not any(
            words in done.stdout + done.stderr
            for words in ("Failed to connect", "No available agent", "ServerDisconnected")
        )
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
