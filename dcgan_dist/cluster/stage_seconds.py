"""What each stage of a job took: by the clock, in its own process, and how much of that was in nobody's way."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dcgan_dist.cluster.tasks import DRIVER


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSeconds:
    """Seconds by the name of the stage."""

    wall: dict[str, float] = field(default_factory=dict)
    """By the clock."""
    driver: dict[str, float] = field(default_factory=dict)
    """Processor time of the job's own process: what its tasks did not do."""
    driver_beside_tasks: dict[str, float] = field(default_factory=dict)
    """The part of it in which tasks ran."""


@contextmanager
def timed(seconds: StageSeconds, name: str) -> Iterator[None]:
    """Add the time that a stage takes to what is noted of it."""
    began, busy, beside = time.perf_counter(), time.process_time(), DRIVER.beside_tasks
    yield
    for noted, more in (
        (seconds.wall, time.perf_counter() - began),
        (seconds.driver, time.process_time() - busy),
        (seconds.driver_beside_tasks, DRIVER.beside_tasks - beside),
    ):
        noted[name] = round(noted.get(name, 0) + more, 2)
