"""The command of the documentation from a laptop: the code is sent along, and nothing that should stay at home."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dcgan_dist.config import TrainConfig
from tests.chaos.conftest import result_of
from tests.helpers.head import ray_head, status, submit
from tests.helpers.training_job import flags

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(600)]

STAYS = (
    ".git/objects/pack",
    ".venv/lib/torch.so",
    "shards/train-000.tar",
    "runs/run/latest",
    "demo/shards/a",
    "rooms.tar",
)
MOST_MEGABYTES = 10


@pytest.fixture(scope="module")
def head() -> Iterator[dict[str, str]]:
    """A head whose `python` has the dependencies."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with ray_head(PATH=path, OMP_NUM_THREADS="1") as environment:
        yield environment


@pytest.fixture
def folder(repository: Path, tmp_path: Path) -> Path:
    """A checkout on a laptop, with what gathers in one."""
    home = tmp_path / "checkout"
    for name in ("dcgan_dist", "jobs", "cluster", "docs", "tests"):
        shutil.copytree(repository / name, home / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(repository / ".gitignore", home)
    for name in STAYS:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(os.urandom(MOST_MEGABYTES << 20))
    return home


def test_the_code_goes_along_and_data_history_and_environment_stay(
    head: dict[str, str],
    folder: Path,
    make_config: Callable[..., TrainConfig],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = make_config(images=160, num_workers="1", norm_group="rank", quality__samples=0, register=False)
    monkeypatch.chdir(folder)
    environment = folder / "cluster" / "runtime_env.yaml"
    environment.write_text(environment.read_text().partition("\npip:")[0])  # as on nodes that have the dependencies
    options = ("--working-dir", ".", "--runtime-env", "cluster/runtime_env.yaml")

    job = submit(head, "sent", "python", "jobs/train_lsun.py", *flags(config), options=options)
    assert job.end(300) == 0
    assert status(head, "sent") == "SUCCEEDED"
    assert result_of(config)["status"] == "FINISHED"

    location = submit(head, "where", "python", "-c", "import dcgan_dist; print(dcgan_dist.__file__)", options=options)
    assert location.end(100) == 0
    (sent,) = Path(head["HOME"]).glob("r/session_latest/runtime_resources/working_dir_files/_ray_pkg_*/")
    assert str(sent.resolve()) in location.said.replace("/./", "/"), "the code that runs is the code that was sent"
    names = [str(path.relative_to(sent)) for path in sent.rglob("*") if path.is_file()]
    assert "jobs/train_lsun.py" in names
    assert "dcgan_dist/config.py" in names
    assert not set(STAYS) & set(names)
    assert not [name for name in names if name.split("/")[0] in {path.split("/")[0] for path in STAYS}]
    megabytes = sum((sent / name).stat().st_size for name in names) / 1e6
    print(f"{len(names)} files of {megabytes:.1f} MB were sent")
    assert megabytes < MOST_MEGABYTES
