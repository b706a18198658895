"""The command of the README on a real head: ray job submit, with a token, streaming logs, and the right exit status."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REAL_DATA
from tests.helpers.head import ray_cli, ray_head
from tests.helpers.jobs import JOBS, load_job
from tests.helpers.photographs import bedrooms
from tests.helpers.tars import tar_of


@pytest.fixture(scope="module")
def head() -> Iterator[dict[str, str]]:
    """A head of its own; yields the environment of its clients."""
    with ray_head() as environment:
        yield environment


def submit(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return ray_cli(environment, "job", "submit", "--", sys.executable, str(JOBS / "train_lsun.py"), *arguments)


def test_bedrooms_train_on_two_ranks_and_the_logs_stream(head: dict[str, str], tmp_path: Path) -> None:
    shards, storage = tmp_path / "shards", tmp_path / "runs"
    real = [REAL_DATA / "bedrooms" / name for name in ("rooms_clean_messy_128.tar", "scene15_bedroom_gray.tar")]
    (tmp_path / "drawn.tar").write_bytes(tar_of(bedrooms(200).items()))
    photographs = map(str, real if real[0].exists() else [tmp_path / "drawn.tar"])
    arguments = ["--cpus", "1", "--image-size", "64", "--val-fraction", "0.1", "--out", str(shards)]
    assert load_job("prepare_folder")(["--source", *photographs, *arguments]) == 0

    done = submit(
        head,
        *("--preset", "examples64", "--shards", str(shards), "--storage", str(storage), "--run-name", "bedrooms"),
        *("--num-workers", "2", "--images", "320", "--checkpoint-every-images", "160", "--data.batch-size", "32"),
        *("--model.generator-width", "8", "--model.discriminator-width", "8", "--snapshot-batches", "2"),
        *("--quality.samples", "64", "--quality.share", "1", "--quality.held-out", "32"),
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert re.search(r"^.*epoch \d+\.\d\d/\d+ \| .* img/s \| ETA ", done.stdout, re.M), done.stdout
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
