"""Random command lines: whatever a user types, there is a result or one sentence, never a traceback or a hang."""

import contextlib
import functools
import io
import os
import random
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcgan_dist.cli.logs import render_flags
from dcgan_dist.errors import InputError
from tests.helpers.jobs import load_job
from tests.helpers.mutations import CONTROL
from tests.helpers.shards import pixels_of, write_shards
from tests.hostile.formats import FORMATS
from tests.hostile.test_mutations import within

SECONDS = 120
# They would start a cluster, a download or a training.
LEFT_OUT = re.compile(r"--(no-dry-run|plan|no-plan|download|no-download|help|accept-risk)")


@dataclass(frozen=True, slots=True)
class Place:
    """What command lines can name."""

    values: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]
    """Jobs with flags that are right."""


def make_place(folder: Path) -> Place:
    """Small files of every kind, good ones and others."""
    write_shards(folder / "shards", [8, 4], size=32, layout="blocks")
    (folder / "images" / "cat").mkdir(parents=True)
    for number in range(4):
        Image.fromarray(pixels_of(number, 24)).save(folder / "images" / "cat" / f"{number}.png")
    for name in (
        "checkpoint: config",
        "CIFAR-10 batch",
        "mat: plain",
        "idx: plain",
        "result: train",
        "boxes: list",
        "ImageNet npz",
    ):
        (folder / name).mkdir()
        FORMATS[name](folder / name)
    (folder / "empty").mkdir()
    (folder / "text.json").write_text("{")
    np.save(folder / "z.npy", np.zeros((2, 2)))
    os.mkfifo(folder / "pipe")
    out = str(folder / "out")
    shards, model, images = (str(folder / name) for name in ("shards", "checkpoint: config/c", "images"))
    commands = [
        ("train_lsun", "--preset", "demo32", "--shards", shards, "--storage", out, "--dry-run"),
        ("train_mnist", "--shards", shards, "--storage", out, "--dry-run"),
        ("search_svhn", "--data", "digits", "--protocol", "small", "--storage", out, "--dry-run"),
        ("search_svhn", "--data", str(folder / "mat: plain"), "--storage", out, "--dry-run"),
        ("dedup_lsun", "--shards", shards, "--out", out, "--dry-run"),
        ("evaluate_mnist", "--model", model, "--data", str(folder / "idx: plain"), "--out", out, "--dry-run"),
        ("evaluate_svhn", "--model", model, "--data", str(folder / "mat: plain"), "--out", out, "--dry-run"),
        ("evaluate_cifar10", "--model", model, "--data", str(folder / "CIFAR-10 batch"), "--out", out, "--dry-run"),
        ("sample", "--model", model, "--out", f"{out}.png", "--n", "2"),
        ("inspect_shards", "--shards", shards),
        ("report", "--model", model, "--results", str(folder / "result: train"), "--out", f"{out}.html"),
        ("promote", "--model", model),
        ("check_memorization", "--samples", images, "--train", images, "--held-out", images, "--out", out),
        *(("explore", name, "--model", model, "--out", out) for name in ("walk", "filters", "windows", "turn")),
    ]
    sources = {
        "folder": images,
        "lsun": images,
        "imagenet": images,
        "cifar10": "CIFAR-10 batch",
        "svhn": "mat: plain",
        "mnist": "idx: plain",
    }
    commands += [
        (f"prepare_{name}", "--source", str(folder / source), "--out", out, "--cpus", "1", "--dry-run")
        for name, source in sources.items()
    ]
    values = (
        "",
        "0",
        "-1",
        "3",
        "nan",
        "inf",
        "1e400",
        "9" * 30,
        "0.5",
        "x",
        "../../x",
        "a\0b",
        CONTROL[:5],
        "\udc80",
        "-",
    )
    values += (
        "/dev/null",
        "/dev/full",
        "/proc/self/mem",
        "/nonexistent/x",
        "~nobody/x",
        "pipe:ls",
        "s3://",
        "ftp://x/y",
    )
    values += (
        "models:/x/1",
        "models:/",
        "runs:/../x",
        "untrained:x",
        "untrained:demo32",
        "sqlite:////dev/null/x.db",
        "True",
    )
    values += (*map(str, sorted(folder.rglob("*"))), str(folder), "n" * 5000)
    return Place(values, tuple(commands))


@functools.cache
def flags_of(command: tuple[str, ...]) -> list[str]:
    """All flags of a job or subcommand, as its help shows them."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        load_job(command[0])([*command[1:], "--help"])
    flags = dict.fromkeys(re.findall(r"(?<![\w-])--[a-z][\w.-]*", shown.getvalue()))
    return [flag for flag in flags if not LEFT_OUT.fullmatch(flag)]


ENVIRONMENTS = {
    "MLFLOW_TRACKING_URI": ("x://y", "sqlite:////dev/null/x", "", "\x1b"),
    "DCGAN_DIST_STORAGE": ("/dev/null", "", "x\ny"),
    "DCGAN_DIST_SHARDS": ("/dev/null", "", "pipe:x"),
    "HOME": ("/nonexistent", "/dev/null"),
    "COLUMNS": ("0", "x"),
}


def _change(argv: list[str], flags: list[str], place: Place, rng: random.Random) -> None:
    """Give a flag another value, give one more flag, or break the line anywhere."""
    given = [number for number, word in enumerate(argv) if number and not word.startswith("--")]
    match rng.randrange(10):
        case 0:
            argv.insert(rng.randrange(len(argv) + 1), rng.choice([*flags, *place.values]))
        case number if number < 5 and given:
            argv[rng.choice(given)] = rng.choice(place.values)
        case _:
            argv += [rng.choice(flags), rng.choice(place.values)]


def check_command_lines(place: Place, numbers: range) -> None:
    """Call jobs with flags that are right but for some; numbers are the seeds.

    Raises:
        AssertionError: one ended otherwise than with an exit code or a sentence.
    """
    for number in numbers:
        rng = random.Random(number)
        job, *argv = rng.choice(place.commands)
        flags = flags_of((job, argv[0]) if job == "explore" else (job,))
        with pytest.MonkeyPatch.context() as variables:
            for name in rng.sample(sorted(ENVIRONMENTS), rng.choice((0, 0, 1))):
                variables.setenv(name, rng.choice(ENVIRONMENTS[name]))
            for _ in range(rng.choice((1, 1, 1, 2))):
                _change(argv, flags, place, rng)
            if job.startswith(("train", "search", "dedup", "evaluate", "prepare")):
                argv.append("--dry-run")
            check_command_line(job, argv)


def check_command_line(job: str, argv: list[str]) -> str:
    """Call one job; returns how it ended."""
    shown, code, message = io.StringIO(), 2, ""
    try:
        with within(SECONDS), contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
            code = load_job(job)(argv)
    except InputError as error:
        message = render_flags(error)
    except ModuleNotFoundError:
        pass  # of an extra, which `run` names
    except SystemExit as leaving:
        code = leaving.code
    except BaseException as error:
        raise AssertionError(f"{job} {argv}: {type(error).__name__}: {str(error)[:300]}") from error
    assert code in (0, 1, 2), (job, argv)
    assert message.replace("\n", "").isprintable(), (job, argv, message)
    return message or f"{code}: {shown.getvalue()}"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return make_place(tmp_path / "files")


def test_twenty_random_command_lines_end_with_a_sentence(place: Place) -> None:
    check_command_lines(place, range(20))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_hundred_random_command_lines_end_with_a_sentence(place: Place) -> None:
    check_command_lines(place, range(200))
