"""What each stage of a job took, and how much of it tasks of the cluster did."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dcgan_dist.cluster.tasks import TASK_TIME


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSeconds:
    """Seconds by the name of the stage."""

    wall: dict[str, float] = field(default_factory=dict)
    """By the clock."""
    tasks: dict[str, float] = field(default_factory=dict)
    """Those in which tasks ran on the cluster: more machines make them shorter."""
    number_of_tasks: dict[str, float] = field(default_factory=dict)
    """How many there were."""
    driver_beside_tasks: dict[str, float] = field(default_factory=dict)
    """Processor time of the job's own process in these."""


@contextmanager
def timed(seconds: StageSeconds, name: str) -> Iterator[None]:
    """Add the time that a stage takes to what is noted of it."""
    before = _now()
    yield
    kept = (seconds.wall, seconds.tasks, seconds.number_of_tasks, seconds.driver_beside_tasks)
    for noted, begin, end in zip(kept, before, _now(), strict=True):
        noted[name] = round(noted.get(name, 0) + end - begin, 2)


def _now() -> tuple[float, float, float, float]:
    return time.perf_counter(), TASK_TIME.seconds, TASK_TIME.number, TASK_TIME.driver
