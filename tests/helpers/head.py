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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.tracking_server import free_port

RAY = Path(sys.executable).with_name("ray")


@contextmanager
def ray_head(**settings: str) -> Iterator[dict[str, str]]:
    """A head of its own, with further environment variables; yields the environment of its clients."""
    home = tempfile.mkdtemp(prefix="dh", dir="/tmp")
    dashboard, gcs, agent = free_port(), free_port(), free_port()
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
    command = [str(RAY), "start", "--head", "--block", "--num-cpus", "2", "--temp-dir", f"{home}/r"]
    command += [f"--port={gcs}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1"]
    command += [f"--dashboard-agent-listen-port={agent}"]  # its default may be another head's
    # A session of its own, so that the end of the test takes every process of this head and of no other along.
    process = subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{dashboard}"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", dashboard), timeout=1):
            break
        time.sleep(0.5)
    try:
        yield environment | {"RAY_API_SERVER_ADDRESS": address}
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
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
