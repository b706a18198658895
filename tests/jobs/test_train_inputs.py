"""Bad input to a training job: one sentence with cause, place and remedy, exit code 2, nothing written."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dcgan_dist.cli.logs import render_flags
from dcgan_dist.errors import InputError
from tests.helpers.jobs import JOBS, draw_rooms, load_job
from tests.helpers.tracking_server import free_port

train_lsun = load_job("train_lsun")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_rooms(tmp_path_factory.mktemp("shards"), 40, "--shard-samples", "20")


def arguments(shards: Path, storage: Path, *more: str) -> list[str]:
    base = ["--preset", "demo32", "--shards", str(shards), "--storage", str(storage), "--data.batch-size", "16"]
    return [*base, *more]


def test_dry_run_prints_config_plan_and_costs_and_writes_nothing(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_lsun(arguments(shards, tmp_path / "runs", "--dry-run")) == 0

    said = capsys.readouterr().out
    for part in ("optimizer_d.lr = 0.0002", "2 batches of 16 per epoch", "generator 370,624", "GiB", "time: about"):
        assert part in said
    assert not list(tmp_path.iterdir())


def damaged(damage: Callable[[Path], object], pattern: str = "*.tar") -> Callable[[Path, Path], list[str]]:
    """A fault: a copy of the shards in which one file that fits the pattern was damaged."""

    def flags(shards: Path, tmp_path: Path) -> list[str]:
        copy = Path(shutil.copytree(shards, tmp_path / "copy"))
        damage(next(copy.glob(pattern)))
        return ["--shards", str(copy)]

    return flags


def empty_folder(shards: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "empty").mkdir()
    return ["--shards", str(tmp_path / "empty")]


FAULTS = {
    "missing shards": (lambda s, t: ["--shards", str(t / "nowhere")], "nowhere"),
    "empty shards": (empty_folder, "empty"),
    "cut shard": (damaged(lambda tar: tar.write_bytes(tar.read_bytes()[:-1024])), "rooms-train"),
    "lost shard": (damaged(Path.unlink), "rooms-train"),
    "torn manifest": (
        damaged(lambda manifest: manifest.write_text(manifest.read_text()[:100]), "manifest.json"),
        "manifest",
    ),
    "fewer samples than a batch": (lambda s, t: ["--data.batch-size", "64"], "40 samples do not fill one batch of 64"),
    "fewer rows than ranks": (lambda s, t: ["--num-workers", "17"], "fewer rows than ranks"),
    "more ranks than streams": (lambda s, t: ["--num-workers", "3", "--data.streams", "2"], "3 ranks cannot share 2"),
    "images of another size": (lambda s, t: ["--preset", "examples64"], "32 px images"),
    "labels that are not there": (
        lambda s, t: ["--preset", "mnist28", "--model.image-size", "32", "--model.image-channels", "3"],
        "0 classes",
    ),
    "unknown preset": (lambda s, t: ["--preset", "lsun46"], "did you mean 'lsun64'"),
    "unreachable server": (
        lambda s, t: ["--tracking-uri", f"http://127.0.0.1:{free_port()}"],
        "http://127.0.0.1",
    ),
    "elastic without synchronised statistics": (lambda s, t: ["--num-workers", "1:2"], "--norm-group synchronised"),
    "password in the address": (
        lambda s, t: ["--tracking-uri", "http://me:secret@host:5000"],
        "MLFLOW_TRACKING_PASSWORD",
    ),
    "token in the storage": (
        lambda s, t: ["--storage", "s3://secret@bucket", "--tracking-uri", "http://host"],
        "the store's usual credentials",
    ),
    "no weights": (lambda s, t: ["--quality.inception-weights", str(t / "w.pth")], "w.pth is no file"),
    "one row per rank": (lambda s, t: ["--num-workers", "16"], "no variance to normalise by"),
    "no patience": (lambda s, t: ["--alarm.patience", "0"], "--alarm.patience 0"),
    "negative interval": (lambda s, t: ["--checkpoint-every-images", "-5"], "--checkpoint-every-images -5"),
    "keep list that is not there": (lambda s, t: ["--keep-list", str(t / "keep.json")], "keep.json"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_input_is_refused_with_a_message_and_leaves_nothing(
    fault: str, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, text = FAULTS[fault]
    storage = tmp_path / "runs"

    try:
        load = arguments(shards, storage, *make(shards, tmp_path))
        with pytest.raises((InputError, SystemExit)) as caught:
            train_lsun(load)
    finally:
        said = capsys.readouterr()

    if isinstance(caught.value, SystemExit):  # refused by the command line itself
        assert caught.value.code == 2
        message = " ".join((said.out + said.err).replace("│", " ").split())
    else:
        message = render_flags(caught.value)
    assert text in message
    assert "secret" not in message
    assert not storage.exists()


def test_a_password_in_the_environment_is_refused_too(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:sec/ret@host")

    with pytest.raises(InputError, match="`tracking_uri` holds a user name or password") as caught:
        train_lsun(arguments(shards, tmp_path / "runs"))

    assert "ret" not in str(caught.value)


def test_a_relative_database_becomes_absolute(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_lsun(arguments(shards, tmp_path, "--tracking-uri", "sqlite:///some.db", "--dry-run")) == 0

    assert f"sqlite:///{Path('some.db').absolute()}" in capsys.readouterr().out


def test_unknown_flag_exits_2_and_names_the_nearest() -> None:
    done = subprocess.run(
        [sys.executable, str(JOBS / "train_lsun.py"), "--optimizer-d.lrate", "1"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "--optimizer-d.lr" in done.stdout + done.stderr


def test_a_sentence_and_exit_code_2_reach_the_shell(tmp_path: Path) -> None:
    command = [str(JOBS / "train_lsun.py"), "--shards", str(tmp_path / "nowhere"), "--storage", str(tmp_path)]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_relative_paths_inside_a_ray_job_are_refused(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps({}))

    with pytest.raises(InputError, match="working directory is thrown away"):
        train_lsun(["--preset", "demo32", "--shards", str(shards), "--storage", "runs"])


def test_more_ranks_than_the_cluster_can_ever_have_are_refused(ray_cluster: str, shards: Path, tmp_path: Path) -> None:
    storage = tmp_path / "runs"

    with pytest.raises(InputError, match=r"8 ranks need 8 CPU.*at most 4 CPU.*`num_workers`"):
        train_lsun(arguments(shards, storage, "--num-workers", "8"))
    with pytest.raises(InputError, match=r"1 GPU.*at most 0 GPU.*`use_gpu`"):
        train_lsun(arguments(shards, storage, "--use-gpu"))

    assert not storage.exists()


def test_ranks_that_find_no_room_give_up_after_the_placement_timeout(
    ray_cluster: str, shards: Path, tmp_path: Path
) -> None:
    from ray.util.placement_group import placement_group, remove_placement_group

    taken = placement_group([{"CPU": 3}])
    assert taken.wait(30)
    try:
        with pytest.raises(InputError, match=r"no room for 2 ranks \(2 CPU\) within 2 s"):
            train_lsun(arguments(shards, tmp_path / "runs", "--num-workers", "2", "--placement-timeout", "2"))
    finally:
        remove_placement_group(taken)

    assert not (tmp_path / "runs").exists()
