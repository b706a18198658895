"""Jobs in a home of their own, and the small data sets and runs that several parts look at."""

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
JOBS = REPOSITORY / "jobs"
FOREIGN = ("RAY_ADDRESS", "MLFLOW_TRACKING_URI", "DCGAN_DIST_SHARDS", "DCGAN_DIST_STORAGE")
"""Environment variables that would lead a job to a cluster, a server or data of its user."""
JOB_SECONDS = 300
HELP_COLUMNS = "120"
"""Wide enough for long values, and too narrow for a second column of options."""


class JobError(Exception):
    """A job did not exit with 0."""


class Workspace:
    """Home and working directory of all jobs: a folder whose path is short, as Ray's sockets lie below it."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def run(self, job: str, *arguments: str) -> str:
        """Standard output of jobs/<job>.py."""
        environment = {name: value for name, value in os.environ.items() if name not in FOREIGN} | {
            "HOME": str(self.folder),
            "RAY_TMPDIR": str(self.folder),
            "PYTHONPATH": str(REPOSITORY),
            "OMP_NUM_THREADS": "1",  # sums over several threads are rounded in another order
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "PYTHONUTF8": "1",  # else the boxes of a help text depend on the locale
            "COLUMNS": HELP_COLUMNS,
        }
        done = subprocess.run(
            [sys.executable, str(JOBS / f"{job}.py"), *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            timeout=JOB_SECONDS,
        )
        if done.returncode != 0:
            output = (done.stdout + done.stderr)[-3000:]
            raise JobError(f"jobs/{job}.py {' '.join(arguments)} exited with {done.returncode}:\n{output}")
        return done.stdout

    def read_json(self, path: str | Path) -> Any:
        """Content of a JSON file; a relative path is one in the folder."""
        return json.loads((self.folder / path).read_text())

    @functools.cached_property
    def rooms(self) -> Path:
        """Shards of 320 drawn rooms of 32 pixels, a tenth of them near duplicates of others, a tenth for validation."""
        flags = ["--n", "320", "--image-size", "32", "--duplicates", "0.1", "--val-fraction", "0.1"]
        self.run("prepare_rooms", *flags, "--shard-samples", "100", "--cpus", "1", "--out", "rooms")
        return self.folder / "rooms"

    @functools.cached_property
    def runs(self) -> dict[int, dict[str, Any]]:
        """result.json of a short training run on 1 rank and of one on 2, by number of ranks."""
        results = {}
        for ranks in (1, 2):
            flags = ["--preset", "demo32", "--images", "320", "--data.batch-size", "32", "--snapshot-batches", "2"]
            flags += ["--checkpoint-every-images", "160", "--report-every-images", "32", "--deterministic"]
            flags += ["--quality.samples", "64", "--quality.share", "1", "--quality.held-out", "32"]
            flags += ["--storage", "runs", "--run-name", f"ranks-{ranks}", "--num-workers", str(ranks)]
            self.run("train_lsun", *flags, "--shards", str(self.rooms))
            results[ranks] = self.read_json(f"runs/ranks-{ranks}/result.json")
        return results

    @functools.cached_property
    def checkpoint(self) -> str:
        """Copy of the last checkpoint of the run on 1 rank, by a name in the folder that is the same in every run.

        Pictures name their model and are as wide as its name needs; the end of a checkpoint's own name is random.
        """
        shutil.copytree(self.runs[1]["checkpoint"], self.folder / "model")
        return "model"
