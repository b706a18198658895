"""A training job as a user starts it: a process of its own, with a Ray of its own."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from dcgan_dist.config import TrainConfig, flatten
from dcgan_dist.presets import preset
from tests.helpers.jobs import JOBS
from tests.helpers.processes import end_all, left_behind


def flags(config: TrainConfig) -> list[str]:
    """The command line that asks for a config."""
    usual = flatten(preset(config.preset))
    arguments: list[str] = ["--preset", config.preset]
    for name, value in flatten(config).items():
        if value == usual[name]:
            continue
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            head, _, last = flag.rpartition(".")
            arguments.append(f"--{head + '.' if head else ''}{'' if value else 'no-'}{last}")
        else:
            arguments += [f"--{flag}", str(value)]
    return arguments


class Job:
    """A python command in a session of its own; what it says is kept."""

    def __init__(
        self, command: Sequence[str], home: Path | None = None, environment: dict[str, str] | None = None
    ) -> None:
        """Start a python command; at the end of a `with` block it is killed, and its home is removed.

        Without a home it gets a short one, as sockets lie below it. The environment names changes to this process's.
        """
        self.home = str(home or tempfile.mkdtemp(prefix="dj", dir="/tmp"))
        self.lines: list[str] = []
        self.began = time.monotonic()
        usual = {"HOME": self.home, "RAY_TMPDIR": self.home, "PYTHONPATH": str(JOBS.parent), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, *command],
            env=os.environ | usual | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            print(line, end="")

    @property
    def said(self) -> str:
        """Everything it printed so far."""
        return "\n".join(self.lines)

    def wait_for(self, *texts: str, seconds: float = 120) -> None:
        """Wait until it has said one of some texts."""
        until = time.monotonic() + seconds
        while not any(text in self.said for text in texts):
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.said}"
            assert time.monotonic() < until, f"did not say {texts}:\n{self.said}"
            time.sleep(0.05)

    def end(self, seconds: float = 120) -> int:
        """Exit code, once it has ended."""
        return self.process.wait(seconds)

    def left_behind(self, seconds: float = 30) -> Sequence[str]:
        """Processes that still exist some seconds after the end; they are killed then."""
        until = time.monotonic() + seconds
        while (commands := left_behind(self.home)) and time.monotonic() < until:
            time.sleep(0.2)
        self.kill()
        return commands

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    def kill(self) -> None:
        """End every process of this job and no other."""
        if self.process.poll() is None:
            self.process.kill()
        end_all(self.home)
        self.process.wait()


class TrainingJob(Job):
    """python jobs/train_lsun.py, or another command that takes the same flags."""

    def __init__(
        self,
        config: TrainConfig,
        home: Path | None = None,
        environment: dict[str, str] | None = None,
        *,
        command: Sequence[str] = (str(JOBS / "train_lsun.py"),),
    ) -> None:
        """Start it with the command line that asks for the config."""
        super().__init__([*command, *flags(config)], home, environment)
