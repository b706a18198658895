"""Which commit and versions a run says it was made with."""

import subprocess
import sys
from pathlib import Path

import torch

from dcgan_dist.tracking.environment import environment_tags, git_commit


def test_versions_are_those_installed() -> None:
    tags = environment_tags()

    assert tags["version.torch"] == torch.__version__.split("+")[0]
    assert tags["version.python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"version.ray", "version.mlflow", "version.webdataset", "git.commit"} <= set(tags)
    assert any(name.startswith("version.faiss-") for name in tags)


def test_commit_is_that_of_the_folder_itself(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.invalid"]
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    (tmp_path / "inside").mkdir()
    assert git_commit(tmp_path) == "unknown"

    git("init", "-q")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-q", "-m", "first")
    git("tag", "-a", "-m", "a tag", "v1")
    commit = git("rev-parse", "HEAD")

    assert git_commit(tmp_path) == commit
    assert git_commit(tmp_path / "inside") == "unknown", "a package inside somebody's repository is not their commit"
    (tmp_path / "file").write_text("2")
    assert git_commit(tmp_path) == f"{commit}-dirty"
