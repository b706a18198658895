"""The wheel, installed where the clone is not: it holds all it needs, and the command finds every job."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest
import torch

from dcgan_dist.cli.command_line import EXTRAS
from dcgan_dist.config import replace
from dcgan_dist.presets import preset
from dcgan_dist.training.players import build_players
from dcgan_dist.training.whole_checkpoint import Progress, save_checkpoint


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


def test_it_trains_without_ray_and_draws_samples(installed: Path, tmp_path: Path) -> None:
    torch.save(torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8), tmp_path / "images.pt")
    narrow = replace(preset("demo32"), "model.generator_width", 4)
    save_checkpoint(tmp_path / "narrow", narrow, Progress(), build_players(narrow).state())

    trained = call(installed, tmp_path, "python", "-m", "dcgan_dist.training", "--images", "images.pt", "--out", "run")
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / "run" / "checkpoint_000000000064").is_dir()
    drawn = call(installed, tmp_path, "dcgan", "sample", "--model", "narrow", "--out", "grid.png")

    assert drawn.returncode == 0, drawn.stderr
    assert (tmp_path / "grid.png").stat().st_size > 0


@pytest.mark.timeout(900)
def test_data_run_duplicates_and_verdict_of_an_installed_wheel(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    network = ("--model.generator-width", "4", "--model.discriminator-width", "4", "--quality.samples", "64")
    size = ("--images", "64", "--quality.held-out", "64", "--snapshot-batches", "2", "--run-name", "run")
    model = (
        "--model",
        "models:/dcgan-rooms-generator@candidate",
        "--tracking-uri",
        f"sqlite:///{tmp_path}/runs/mlflow.db",
    )
    rooms = ("--n", "600", "--image-size", "32", "--val-fraction", "0.3", "--duplicates", "0.1", "--cpus", "1")
    commands = {
        "rooms/manifest.json": ("prepare-rooms", *rooms, "--out", "rooms"),
        "runs/run/result.json": (
            "train-lsun",
            "--preset",
            "demo32",
            "--shards",
            "rooms",
            "--storage",
            "runs",
            *network,
            *size,
        ),
        "grid.png": ("sample", *model, "--out", "grid.png"),
        "dedup/keep_list.json": ("dedup-lsun", "--shards", "rooms", "--out", "dedup", "--cpus", "1"),
        "check/result.json": (
            "check-memorization",
            *model,
            "--n",
            "100",
            "--train",
            "rooms",
            "--held-out",
            "rooms",
            "--out",
            "check",
        ),
    }

    for made, command in commands.items():
        done = call(installed, tmp_path, "dcgan", *command)
        assert done.returncode == 0, (command, done.stderr[-3000:])
        assert (tmp_path / made).exists()

    assert json.loads((tmp_path / "dedup" / "keep_list.json").read_text())["counts"]["kept"] < 600
    assert json.loads((tmp_path / "check" / "result.json").read_text())["verdict"] in ("pass", "fail", "inconclusive")


def test_every_extra_that_a_message_names_exists_and_the_image_has_them_all(installed: Path, repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    (everything,) = extras["all"]
    image = (repository / "cluster" / "Dockerfile").read_text()
    (wanted,) = re.findall(r"--editable '\.\[(\w+)\]'", image)

    code = "from importlib.metadata import metadata; print(*metadata('dcgan_dist').get_all('Provides-Extra'))"
    offered = call(installed, installed, "python", "-c", code).stdout.split()

    assert {*EXTRAS.values(), "all"} <= set(offered)
    assert set(EXTRAS.values()) | {"gpu"} == set(everything.removeprefix("dcgan_dist[").removesuffix("]").split(","))
    assert "dcgan_dist[all]" in extras[wanted]


def test_what_has_no_python_in_it_is_in_the_wheel_and_benchmarks_are_not(installed: Path, tmp_path: Path) -> None:
    code = (
        "import importlib.util as u, pathlib, dcgan_dist\n"
        "folder = pathlib.Path(dcgan_dist.__file__).parent\n"
        "for name in ('py.typed', 'neighbors/hamming.cpp', 'similarity/pair_scores.cpp', 'tables/row_products.cpp', 'explore/annotate.html', 'cli/prices.yaml'):\n"
        "    assert (folder / name).is_file(), name\n"
        "assert u.find_spec('dcgan_dist.bench') is None\n"
    )

    done = call(installed, tmp_path, "python", "-c", code)

    assert done.returncode == 0, done.stderr


def test_an_unknown_job_is_refused_with_the_nearest_name(installed: Path, tmp_path: Path) -> None:
    done = call(installed, tmp_path, "dcgan", "train-lsum")

    assert (done.returncode, done.stderr) == (2, "error: there is no job 'train-lsum': did you mean 'train-lsun'?\n")
