"""The command of the README on a real head: ray job submit, with a token, streaming logs, and the right exit status."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.jobs import JOBS, load_job

RAY = Path(sys.executable).with_name("ray")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def head() -> Iterator[dict[str, str]]:
    """A head of its own; yields the environment of its clients."""
    home = tempfile.mkdtemp(prefix="dh", dir="/tmp")
    dashboard, gcs, agent = free_port(), free_port(), free_port()
    environment = os.environ | {
        "HOME": home,
        "RAY_AUTH_MODE": "token",
        "RAY_TMPDIR": home,
        "RAY_USAGE_STATS_ENABLED": "0",
    }
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
    yield environment | {"RAY_API_SERVER_ADDRESS": address}
    os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    shutil.rmtree(home, ignore_errors=True)


def submit(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(RAY), "job", "submit", "--", sys.executable, str(JOBS / "train_lsun.py"), *arguments]
    deadline = time.monotonic() + 60
    while True:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
        ready = not any(words in done.stdout + done.stderr for words in ("Failed to connect", "No available agent"))
        if ready or time.monotonic() > deadline:
            return done
        time.sleep(2)  # the dashboard listens before its job service does


def test_bedrooms_train_on_two_ranks_and_the_logs_stream(
    ray_cluster: str, head: dict[str, str], real_data: Path, tmp_path: Path
) -> None:
    shards, storage = tmp_path / "shards", tmp_path / "runs"
    photographs = [
        str(real_data / "bedrooms" / name) for name in ("rooms_clean_messy_128.tar", "scene15_bedroom_gray.tar")
    ]
    arguments = ["--image-size", "64", "--val-fraction", "0.1", "--out", str(shards)]
    assert load_job("prepare_folder")(["--source", *photographs, *arguments]) == 0

    done = submit(
        head,
        *("--preset", "examples64", "--shards", str(shards), "--storage", str(storage), "--run-name", "bedrooms"),
        *("--num-workers", "2", "--images", "320", "--checkpoint-every-images", "160", "--data.batch-size", "32"),
        *("--model.generator-width", "8", "--model.discriminator-width", "8", "--snapshot-batches", "2"),
        *("--quality.samples", "64", "--quality.held-out", "32"),
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "320/320 images" in done.stdout
    assert "dcgan-lsun-generator@candidate" in done.stdout
    result = json.loads((storage / "bedrooms" / "result.json").read_text())
    assert result["status"] == "FINISHED"
    assert result["images_seen"] == 320


def test_a_failed_job_says_why_and_has_exit_status_1(head: dict[str, str], tmp_path: Path) -> None:
    done = submit(head, "--shards", str(tmp_path / "nowhere"))

    assert done.returncode == 1
    assert "nowhere does not exist" in done.stdout + done.stderr


def test_without_the_token_nobody_gets_in(head: dict[str, str], tmp_path: Path) -> None:
    stranger = {name: value for name, value in head.items() if name != "RAY_AUTH_MODE"} | {"HOME": str(tmp_path)}

    done = submit(stranger, "--dry-run")

    assert done.returncode != 0
    assert "uthenticat" in done.stdout + done.stderr
