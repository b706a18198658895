"""Every job called with nothing: a sentence or its usage and exit code 2, never a traceback, and nothing written."""

from pathlib import Path

import pytest

from dcgan_dist.cli.command_line import run
from tests.helpers.jobs import JOBS, load_job

COMPLETE = {"prepare_rooms"}  # draws its images itself, so it needs no argument


@pytest.mark.parametrize("job", sorted(path.stem for path in JOBS.glob("[!_]*.py") if path.stem not in COMPLETE))
def test_a_job_without_arguments_says_what_it_needs(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DCGAN_DIST_SHARDS", "DCGAN_DIST_STORAGE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [f"{job}.py"])

    with pytest.raises(SystemExit) as leaving:
        run(load_job(job))

    assert leaving.value.code == 2
    assert capsys.readouterr().err
    assert not list(tmp_path.iterdir())
