"""Every job in a container as a user without a name, whose home cannot be written."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.helpers import forked_jobs
from tests.helpers.jobs import JOBS, draw_rooms
from tests.jobs.test_addresses import COMMANDS, text_flags

# It may read everything, as the interpreter may lie in a home folder.
READS = "+dac_read_search"
BARE = f"setpriv --reuid 12345 --regid 12345 --clear-groups --inh-caps {READS} --ambient-caps {READS}".split()
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/", "PYTHONDONTWRITEBYTECODE": "1"}

pytestmark = pytest.mark.skipif(not (shutil.which("setpriv") and os.getuid() == 0), reason="takes root and setpriv")


def start(*command: str, text: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """A python command of that user in the root folder."""
    return subprocess.run(
        [*BARE, sys.executable, *command],
        input=text,
        env=ENVIRONMENT | more,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


def wrong_path(command: list[str]) -> list[str]:
    """Arguments of which each path leads nowhere; of a job that needs none, its first."""
    flags = text_flags(*command)
    needed = [flag for flag, required in flags.items() if required] or [
        next(flag for flag in ("shards", "source", "out") if flag in flags)
    ]
    return [argument for flag in needed for argument in (f"--{flag}", "/nowhere/none")]


@pytest.mark.timeout(900)
def test_every_job_helps_and_refuses_as_it_does_for_others() -> None:
    asked = [[*command, *more] for command in COMMANDS for more in (["--help"], [], wrong_path(command))]

    done = start(forked_jobs.__file__, text=json.dumps(asked))

    assert done.returncode == 0, done.stderr
    for command, (code, output, errors) in zip(asked, json.loads(done.stdout), strict=True):
        assert "Traceback" not in errors, (command, errors)
        if command[-1] == "--help":
            assert (code, output.lstrip()[:6], errors) == (0, "usage:", ""), (command, errors)
        else:
            assert code == 2, (command, output, errors)
            assert errors.startswith("error: ") or "Required" in errors, (command, errors)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_trains_where_it_may_write(tmp_path: Path) -> None:
    shards = draw_rooms(tmp_path / "shards", 64)
    runs = Path(tempfile.mkdtemp(dir="/tmp"))  # what asks for permissions may not enter pytest's own folders
    runs.chmod(0o777)
    small = ["--images", "64", "--data.batch-size", "16", "--quality.samples", "0", "--num-workers", "1"]
    widths = ["--model.generator-width", "8", "--model.discriminator-width", "8", "--snapshot-batches", "2"]

    done = start(
        str(JOBS / "train_lsun.py"),
        *("--preset", "demo32", "--shards", str(shards), "--storage", str(runs), "--run-name", "run"),
        *(*small, *widths, "--checkpoint-every-images", "32"),
        RAY_USAGE_STATS_ENABLED="0",
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    result = json.loads((runs / "run" / "result.json").read_text())
    assert (result["status"], result["images_seen"]) == ("FINISHED", 64)
    shutil.rmtree(runs)
