"""Figures for people: bars, durations, percentages, and what each stage took."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tqdm import tqdm


def progress_bar(total: int, name: str, unit: str = "img") -> tqdm:
    """A bar with rate and remaining time; in a log, a line now and then."""
    return tqdm(total=total, unit=unit, desc=name, mininterval=0.5 if sys.stderr.isatty() else 10)


def ranks_text(ranks: int | str) -> str:
    """1 rank, 2 ranks, 2:8 ranks."""
    return f"{ranks} rank" + "s" * (str(ranks) != "1")


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSeconds:
    """What each stage of a job took."""

    wall: dict[str, float] = field(default_factory=dict)
    """By the clock."""
    driver: dict[str, float] = field(default_factory=dict)
    """Processor time of the job's own process: what its tasks did not do."""


@contextmanager
def timed(seconds: StageSeconds, name: str) -> Iterator[None]:
    """Add the time that a stage takes to what is noted of it."""
    began, busy = time.perf_counter(), time.process_time()
    yield
    for noted, more in ((seconds.wall, time.perf_counter() - began), (seconds.driver, time.process_time() - busy)):
        noted[name] = round(noted.get(name, 0) + more, 2)


def percent(share: float, digits: int = 2) -> str:
    """A share of 1 as a percentage: 5.11 %."""
    return f"{100 * share:.{digits}f} %"
