"""The wheel, installed where the clone is not: it holds all it needs, and the command finds every job."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def installed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the programs of an environment that has the wheel, and takes all other packages from this one."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, repository], check=True)
    venv.create(folder / "env", with_pip=False)
    site = folder / "env" / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    python = folder / "env" / "bin" / "python"
    wheel = next(folder.glob("*.whl"))
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True)
    (site / "others.pth").write_text(sysconfig.get_paths()["purelib"])  # its own .pth files, the clone's, do not count
    return python.parent


def call(installed: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    program, *flags = command
    return subprocess.run([installed / program, *flags], cwd=folder, env=environment, capture_output=True, text=True)


def test_the_command_lists_every_job_and_runs_it_without_the_clone(
    installed: Path, repository: Path, tmp_path: Path
) -> None:
    where = call(installed, tmp_path, "python", "-c", "import dcgan_dist; print(dcgan_dist.__file__)").stdout
    listed = call(installed, tmp_path, "dcgan", "--help").stdout

    assert where.startswith(str(installed.parent))
    for job in (repository / "jobs").glob("[!_]*.py"):
        assert f"\n  {job.stem.replace('_', '-')} " in listed
    flags = ["--n", "64", "--image-size", "32", "--cpus", "1", "--out", "rooms"]
    prepared = call(installed, tmp_path, "dcgan", "prepare-rooms", *flags)
    assert prepared.returncode == 0, prepared.stderr
    assert "64" in call(installed, tmp_path, "dcgan", "inspect-shards", "--shards", "rooms").stdout


def test_what_has_no_python_in_it_is_in_the_wheel_and_benchmarks_are_not(installed: Path, tmp_path: Path) -> None:
    code = (
        "import importlib.util as u, pathlib, dcgan_dist\n"
        "folder = pathlib.Path(dcgan_dist.__file__).parent\n"
        "for name in ('py.typed', 'neighbors/hamming.cpp', 'similarity/pair_scores.cpp', 'explore/annotate.html', 'cli/prices.yaml'):\n"
        "    assert (folder / name).is_file(), name\n"
        "assert u.find_spec('dcgan_dist.bench') is None\n"
    )

    done = call(installed, tmp_path, "python", "-c", code)

    assert done.returncode == 0, done.stderr


def test_an_unknown_job_is_refused_with_the_nearest_name(installed: Path, tmp_path: Path) -> None:
    done = call(installed, tmp_path, "dcgan", "train-lsum")

    assert (done.returncode, done.stderr) == (2, "error: there is no job 'train-lsum': did you mean 'train-lsun'?\n")
