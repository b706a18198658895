"""Which code made a run: commit and versions."""

import getpass
import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "torchvision", "ray", "mlflow", "webdataset", "faiss-gpu", "faiss-cpu", "numpy")


def git_commit(folder: Path) -> str:
    """Commit of the repository whose root is the folder: 40 hex digits, with `-dirty` after local changes.

    "unknown" where the folder is no root (an installed package inside somebody else's repository must not pass for a
    commit of theirs, and a Ray job's working directory comes without `.git`) or git is not there.
    """
    if not (folder / ".git").exists():
        return "unknown"
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def environment_tags() -> dict[str, str]:
    """Tags of a run that name what made it: `git.commit`, `version.python`, `version.<package>`, and what MLflow's pages show.

    These are user, source (the job's file) and its kind; `command` is the whole command line. No job takes a secret there.
    A package that is not installed has no tag (there is one of the two faiss packages, never both).
    """
    commit = git_commit(Path(__file__).parents[2])
    tags = {
        "git.commit": commit,
        "version.python": platform.python_version(),
        "mlflow.user": getpass.getuser(),
        "mlflow.source.name": "/".join(Path(sys.argv[0]).parts[-2:]),
        "mlflow.source.type": "JOB" if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ else "LOCAL",
        "command": shlex.join(sys.argv),
    }
    if commit != "unknown":
        tags["mlflow.source.git.commit"] = commit  # the name under which MLflow's pages show it
    for package in PACKAGES:
        try:
            tags[f"version.{package}"] = version(package)
        except PackageNotFoundError:
            continue
    return tags
