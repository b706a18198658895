"""jobs/search_svhn.py: what it refuses, and what it prints before it starts."""

from pathlib import Path

import pytest

from dcgan_dist.cli.logs import render_flags
from dcgan_dist.errors import InputError
from tests.helpers.jobs import load_job
from tests.helpers.search import write_data

search = load_job("search_svhn")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "svhn")


def test_a_dry_run_says_all_and_writes_nothing(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage = tmp_path / "runs"

    code = search(
        ["--data", str(data), "--protocol", "small", "--dry-run", "--storage", str(storage), "--trials", "20"]
    )

    printed = capsys.readouterr().out
    assert code == 0
    for line in (
        "optimizer.lr: {'log_uniform': [0.0001, 0.01]}",
        "trial.optimizer.beta2 = 0.999",
        "140 validation images, 200 test images",
        "... and 10 more",
        "TFLOP in all trials",
        "name search-svhn-",
        "nothing was written",
    ):
        assert line in printed, line
    assert not storage.exists()


def test_the_plan_says_what_it_starts_measures_and_writes_nothing(
    ray_cluster: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(data), "--protocol", "small", "--plan", "--storage", str(tmp_path / "runs")]

    code = search([*arguments, "--trials", "4"])

    printed = capsys.readouterr().out
    assert code == 0
    assert 0 < printed.index("starting: 20 steps of trial 0 on 1 CPU and 0 GPU") < printed.index("probe: ")
    assert "4 trials, 4 at a time: about " in printed
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "DATA"], "the train split has 700 images and SVHN's has 73,257"),
        (["--data", "DATA/train_32x32.mat", "--protocol", "paper"], "the train split has 700 images"),
        (["--data", "DATA/test_32x32.mat", "--protocol", "small"], "has no train split, only test"),
        (["--data", "digits", "--trials", "0"], "--trials 0 must be at least 1"),
        (["--data", "digits", "--gpus-per-trial", "1.5"], "must be a share of one GPU, or whole ones"),
        (["--data", "digits", "--cpus-per-trial", "0"], "--cpus-per-trial 0.0 must be positive"),
        (["--data", "digits", "--space", "none"], "--space none is neither one of svhn, digits nor a JSON file"),
        (["--data", "digits", "--trial.dropout", "1"], "dropout 1"),
        (["--data", "digits", "--trial.classifier.classes", "5"], "tell 10 classes apart"),
        (["--data", "digits", "--asha", "--measurements", "1"], "gives it none: raise it"),
        (["--data", "digits", "--repeats", "0"], "trains no network to register"),
        (["--data", "digits", "--tracking-uri", "http://me:secret@host"], "holds a user name or password"),
        (["--data", "digits", "--tracking-uri", "postgresql://host"], "is neither a server"),
    ],
)
def test_bad_input_is_refused_and_leaves_nothing(
    arguments: list[str], message: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = tmp_path / "runs"

    with pytest.raises((InputError, SystemExit)) as refused:
        search([*(argument.replace("DATA", str(data)) for argument in arguments), "--storage", str(storage)])

    printed = render_flags(refused.value) + capsys.readouterr().err
    assert message in " ".join(printed.split())
    assert not storage.exists()
