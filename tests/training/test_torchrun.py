"""Training under plain torchrun, with torch alone."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "images.pt"
    torch.save(torch.randint(256, (140, 3, 32, 32), dtype=torch.uint8), path)
    return path


def run(ranks: int, images: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    command += ["-m", "dcgan_dist.training", "--images", str(images), "--out", str(out), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


def sha256(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr[-2000:]
    return next(line for line in done.stdout.splitlines() if line.startswith("sha256 "))


@pytest.fixture(scope="module")
def straight(images: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Folder and hash of two epochs on two ranks without interruption."""
    folder = tmp_path_factory.mktemp("straight")
    return folder, sha256(run(2, images, folder, "--epochs", "2"))


def test_two_ranks_end_with_the_same_hash_straight_or_resumed(
    images: Path, straight: tuple[Path, str], tmp_path: Path
) -> None:
    run(2, images, tmp_path / "resumed", "--epochs", "1")
    resumed = sha256(run(2, images, tmp_path / "resumed", "--epochs", "2"))

    assert resumed == straight[1]
    assert len(list((tmp_path / "resumed").iterdir())) == 1, "older checkpoints go once the new one is in place"


def test_another_seed_in_the_same_folder_is_refused(images: Path, straight: tuple[Path, str]) -> None:
    again = run(1, images, straight[0], "--seed", "1")

    assert again.returncode != 0
    assert "another preset or seed" in again.stderr
