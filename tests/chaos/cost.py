"""What a fault cost, from what the job said and from its journal."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dcgan_dist.config import TrainConfig
from dcgan_dist.runs.event_recorder import JOURNAL
from dcgan_dist.runs.plan import plan_run
from dcgan_dist.storage.run_folder import RunFolder

PATIENCE_SECONDS = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class Injected:
    """A fault and what it cost."""

    fault: str
    detail: str = ""
    step: int = 0
    """Steps that had been done."""
    steps_lost: int = 0
    """Steps that were done again."""
    steps_allowed: int = 0
    """One interval (two where the newest checkpoint was damaged) and the steps done while the newest was being written."""
    seconds: float | None = None
    """From the fault to the first new step; None where ranks did not have to start again."""
    record_complete: bool = False
    """Whether the tracked run has every report of the log."""


Table = Callable[[list[Injected], str], None]
"""Takes what faults cost, and how the run ended, into the table of a session."""


@dataclass(slots=True)
class Heard:
    """How far a run is, by the lines its driver prints."""

    steps_per_epoch: int
    step: int = 0
    """Steps done."""
    reached: list[int] = field(default_factory=list)
    """Steps that had been done each time that ranks went on from a checkpoint."""
    said: list[str] = field(default_factory=list)

    def __call__(self, line: str) -> None:
        """Hear a line."""
        self.said.append(line)
        if "goes on from" in line:
            self.reached.append(self.step)
            self.step = 0
        if match := re.search(r"epoch (\d+\.\d\d)/", line):
            self.step = round(float(match[1]) * self.steps_per_epoch)


def heard(lines: Sequence[str], steps_per_epoch: int) -> Heard:
    """What some lines tell."""
    told = Heard(steps_per_epoch)
    for line in list(lines):
        told(line)
    return told


class Events:
    """The journal of a run, as its driver writes it."""

    def __init__(self, config: TrainConfig) -> None:
        self.folder = RunFolder(config.storage, config.run_name)
        self.batch, self.interval = config.data.batch_size, config.checkpoint_every_images // config.data.batch_size
        self.steps_per_epoch = plan_run(config).shard_plan.steps_per_epoch

    def line_of(self, step: int) -> str:
        """How the progress line of a step begins."""
        return f"epoch {step / self.steps_per_epoch:.2f}/"

    def all(self, *names: str, since: float = 0.0) -> list[dict[str, Any]]:
        """Events of some names since a time, in order."""
        journal = self.folder.read_json(JOURNAL) or {"events": []}
        return [one for one in journal["events"] if one["event"] in names and one["time"] >= since]

    def wait_for(self, name: str, since: float = 0.0, *, where: Callable[[dict], bool] = lambda one: True) -> dict:
        """The first event of a name since a time that fits."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            if events := [one for one in self.all(name, since=since) if where(one)]:
                return events[0]
            time.sleep(0.05)
        raise AssertionError(f"{name!r} did not happen")

    def cost(self, fault: str, before: float, reached: Callable[[], int], detail: str = "") -> Injected:
        """Wait until the run goes on after a fault, and tell what that cost.

        Args:
            fault: its name; two intervals are allowed where it says "damaged".
            before: just before the fault.
            reached: tells, once ranks have started again, the steps that had been done.
            detail: of the fault.
        """
        again = self.wait_for("ranks started", before)
        first = self.wait_for("first step", again["time"])
        step = reached()
        return Injected(
            fault=fault,
            detail=detail,
            step=step,
            # A checkpoint that a notice or signal asked for may be ahead of the last line that was heard.
            steps_lost=max(0, step - again["images_seen"] // self.batch),
            steps_allowed=(2 if "damaged" in fault else 1) * self.interval + self.being_written(step, again["time"]),
            seconds=round(first["time"] - before, 1),
        )

    def being_written(self, step: int, until: float) -> int:
        """Steps done while the newest checkpoint before a time was being written, 0 where it was done."""
        events = [one for one in self.all("checkpoint begun", "checkpoint kept") if one["time"] < until]
        begun = [one["images_seen"] // self.batch for one in events if one["event"] == "checkpoint begun"]
        kept = [one["images_seen"] // self.batch for one in events if one["event"] == "checkpoint kept"]
        return max(0, step - begun[-1]) if begun and begun[-1] not in kept else 0
