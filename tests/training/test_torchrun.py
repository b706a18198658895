"""Training under plain torchrun, with torch alone."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch


@pytest.fixture
def images(tmp_path: Path) -> Path:
    torch.save(torch.randint(256, (140, 3, 32, 32), dtype=torch.uint8), tmp_path / "images.pt")
    return tmp_path / "images.pt"


def run(ranks: int, images: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    command += ["-m", "dcgan_dist.training", "--images", str(images), "--out", str(out), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


def sha256(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr[-2000:]
    return next(line for line in done.stdout.splitlines() if line.startswith("sha256 "))


def test_two_ranks_end_with_the_same_hash_straight_or_resumed(images: Path, tmp_path: Path) -> None:
    straight = sha256(run(2, images, tmp_path / "straight", "--epochs", "2"))

    run(2, images, tmp_path / "resumed", "--epochs", "1")
    resumed = sha256(run(2, images, tmp_path / "resumed", "--epochs", "2"))

    assert resumed == straight
    assert len(list((tmp_path / "resumed").iterdir())) == 1, "older checkpoints go once the new one is in place"


def test_another_seed_in_the_same_folder_is_refused(images: Path, tmp_path: Path) -> None:
    run(1, images, tmp_path / "out")

    again = run(1, images, tmp_path / "out", "--seed", "1")

    assert again.returncode != 0
    assert "another preset or seed" in again.stderr
