"""One long run with fault after fault, replayable by its seed, and what each fault cost."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from dcgan_dist.config import TrainConfig
from dcgan_dist.launch.journal import JOURNAL
from dcgan_dist.launch.run_folder import RunFolder
from dcgan_dist.launch.training import run_training
from tests.chaos.faults import FAULTS, Target

PATIENCE_SECONDS = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class Injected:
    """A fault and what it cost."""

    fault: str
    detail: str
    step: int
    """Steps that had been done."""
    steps_lost: int
    """Steps that were done again."""
    seconds: float
    """From the fault to the first new step."""


class Soak:
    """Trains, and lets a thread inject faults; each waits until the run took some steps after the one before."""

    def __init__(self, config: TrainConfig, session: str, faults: Sequence[str], *, seed: int, steps: int) -> None:
        """Plan the faults.

        Args:
            config: of the run; every step must be reported.
            session: folder of the Ray session.
            faults: names in FAULTS, in order.
            seed: of every draw.
            steps: at most so many steps lie between the first step after a fault and the next fault.
        """
        self.config, self.faults, self.steps = config, faults, steps
        self.folder = RunFolder(config.storage, config.run_name)
        self.target = Target(session=session, folder=self.folder, random=random.Random(seed))
        self.injected: list[Injected] = []
        self.said: list[str] = []
        self.step = self.reached = 0
        """Steps done, and steps that had been done when ranks last went on from a checkpoint."""

    def run(self) -> int:
        """Exit code of the training."""
        injector = threading.Thread(target=self._inject, daemon=True)
        injector.start()
        code = run_training(self.config, say=self._hear)
        injector.join(5)
        return code

    def _hear(self, line: str) -> None:
        self.said.append(line)
        print(line)
        if "goes on from" in line:
            self.reached, self.step = self.step, 0
        if match := re.search(r"\| ([\d,]+)/[\d,]+ images", line):
            self.step = int(match[1].replace(",", "")) // self.config.data.batch_size

    def _events(self, name: str, since: float) -> list[dict]:
        journal = self.folder.read_json(JOURNAL) or {"events": []}
        return [one for one in journal["events"] if one["event"] == name and one["time"] >= since]

    def _wait_for(self, name: str, since: float) -> dict:
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            if events := self._events(name, since):
                return events[0]
            time.sleep(0.05)
        raise AssertionError(f"{name!r} did not happen")

    def _inject(self) -> None:
        since = 0.0
        for fault in self.faults:
            begun = self._wait_for("first step", since)["images_seen"] // self.config.data.batch_size
            due = begun + self.target.random.randint(1, self.steps)
            while self.step < due or not self.target.store.paths():
                time.sleep(0.02)
            # The moment counts, not when the fault got through: looking for processes takes time too.
            before = time.time()
            detail = FAULTS[fault](self.target)
            again = self._wait_for("ranks started", before)
            first = self._wait_for("first step", again["time"])
            step = self.reached
            lost = step - again["images_seen"] // self.config.data.batch_size
            seconds = round(first["time"] - before, 1)
            self.injected.append(Injected(fault=fault, detail=detail, step=step, steps_lost=lost, seconds=seconds))
            since = again["time"]
