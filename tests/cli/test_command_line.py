"""What a job shows of an error: flags and files of jobs, where the library names fields and jobs."""

import dataclasses
import logging
import subprocess
import sys

import pytest

from dcgan_dist.cli.command_line import parse, run
from dcgan_dist.cli.logs import render_flags, show_logs
from dcgan_dist.errors import InputError, require


@dataclasses.dataclass(frozen=True)
class Options:
    batch_size: int = 8
    """Rows."""

    def __post_init__(self) -> None:
        require(self.batch_size > 1, f"`batch_size` {self.batch_size} must be at least 2")


@dataclasses.dataclass(frozen=True)
class Job:
    data: Options = dataclasses.field(default_factory=Options)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("`out` /tmp cannot be written", "--out /tmp cannot be written"),
        ("raise `data.batch_size`, or `seed`", "raise --data.batch-size, or --seed"),
        ("`optimizer_d.lr` 0 must be positive", "--optimizer-d.lr 0 must be positive"),
        ("add `norm_group=synchronised`", "add --norm-group synchronised"),
        ("or `accept_risk=no-token`", "or --accept-risk no-token"),
        ("add `register_as=''`", "add --register-as ''"),
        ("run the job `inspect_shards`", "run jobs/inspect_shards.py"),
        ("(the jobs `prepare_*` make one)", "(jobs/prepare_*.py make one)"),
        ("the job `sample` with `n`", "jobs/sample.py with --n"),
    ],
)
def test_fields_are_shown_as_flags_and_jobs_as_files(message: str, shown: str) -> None:
    assert render_flags(InputError(message)) == shown
    assert render_flags(f"warning: {message}") == f"warning: {shown}"


@pytest.mark.parametrize(
    "text",
    [
        "start `mlflow server --backend-store-uri ...`",
        "seed 3, data.batch_size, batch_size=4",
        "`/tmp/a`, `Linear(3)` and `A.b`",
    ],
)
def test_other_text_is_shown_as_it_is(text: str) -> None:
    assert render_flags(text) == text


def test_a_job_prints_the_error_with_flags_and_exits_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(argv: list[str]) -> int:
        raise InputError("`tracking_uri` is away: start it, or run the job `train_lsun` elsewhere")

    monkeypatch.setattr(sys, "argv", ["job"])

    with pytest.raises(SystemExit) as exit_info:
        run(refuse)

    assert exit_info.value.code == 2
    assert capsys.readouterr().err == "error: --tracking-uri is away: start it, or run jobs/train_lsun.py elsewhere\n"


def test_a_missing_library_is_named_with_the_extra_that_brings_it(capsys: pytest.CaptureFixture[str]) -> None:
    def job(_: list[str]) -> int:
        raise ModuleNotFoundError("No module named 'lmdb'", name="lmdb")

    with pytest.raises(SystemExit) as leaving:
        run(job)

    assert leaving.value.code == 2
    assert capsys.readouterr().err == "error: lmdb is missing: pip install 'dcgan_dist[lsun]'\n"


def test_what_a_job_logs_is_printed_once_with_flags_and_the_level_of_warnings(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("dcgan_dist.runs.driver")
    for _ in range(2):
        show_logs()

    log.info("run %s goes on\nwith `use_gpu`", "a")
    log.warning("lower `%s`", "num_workers")
    log.error("stopped")

    shown = "run a goes on\nwith --use-gpu\nwarning: lower --num-workers\nerror: stopped\n"
    assert capsys.readouterr().out == shown
    assert caplog.messages == ["run a goes on\nwith `use_gpu`", "lower `num_workers`", "stopped"]


def test_a_value_that_the_dataclass_refuses_is_an_input_error_and_nothing_else_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(InputError, match="`batch_size` 1 must be at least 2"):
        parse(Job, ["--data.batch-size", "1"], description="", joins=False)

    assert capsys.readouterr().err == ""


def test_a_value_of_another_type_exits_2_and_names_the_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        parse(Job, ["--data.batch-size", "many"], description="", joins=False)

    assert exit_info.value.code == 2
    assert "--data.batch-size" in capsys.readouterr().err


def test_what_a_config_refuses_reaches_the_shell_with_flags() -> None:
    code = (
        "from dcgan_dist.cli.command_line import run; from dcgan_dist.runs.job import train\n"
        "run(lambda argv: train(argv, default_preset='demo32', description=''))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--num-workers", "1:2"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert done.stderr.startswith("error: --num-workers 1:2 changes the rows per rank")
    assert done.stderr.endswith("add --norm-group synchronised\n")
