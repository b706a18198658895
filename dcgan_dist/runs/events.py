"""Events from ranks to the driver: ranks report what happened, the driver answers whether to stop.

Ranks restart, move and die; the driver and this actor live as long as the job. So the driver alone prints, and alone
talks to the tracking server: one run, one writer, whatever happens to the ranks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from dcgan_dist.data.shards.index_table import BadSample


@dataclass(frozen=True, kw_only=True, slots=True)
class RankEvent:
    """Something a rank has to say; every part is optional."""

    line: str = ""
    """For people."""
    images_seen: int = 0
    """When it happened."""
    metrics: dict[str, float] = field(default_factory=dict)
    """For the tracking server, by name."""
    files: dict[str, bytes] = field(default_factory=dict)
    """Small files by path inside the run folder, such as grids."""
    beat: bool = False
    """Only a sign of life after a step."""
    started: tuple[str, ...] = ()
    """Node of every rank, by rank: all are up and begin, or go on, at images_seen."""
    checkpoint: Literal["", "begun", "kept"] = ""
    """The state of images_seen is being kept, or lies whole in the storage."""
    leaving: str = ""
    """Why the ranks left before the end, although nothing failed."""
    rolled_back: bool = False
    """A loss was not finite, and the run went back."""
    bad_sample: BadSample | None = None
    """A sample that could not be used and was replaced; each rank tells each once."""
    failure: str = ""
    """Why the run cannot go on, not even after a restart."""
    failure_code: int = 1
    """Exit code of the failure."""


class EventQueue:
    """Holds events in order until the driver takes them; runs as an actor."""

    def __init__(self) -> None:
        self._events: list[RankEvent] = []
        self._stop = False
        self._failed = False

    def post(self, notice: RankEvent) -> bool:
        """Add a notice; tells whether the driver wants the ranks to stop."""
        self._events.append(notice)
        self._failed = self._failed or bool(notice.failure)
        return self._stop

    def failed(self) -> bool:
        """Whether some rank said that the run cannot go on: ranks that are restarted then need not begin."""
        return self._failed

    def take(self) -> list[RankEvent]:
        """All events since the last call."""
        taken, self._events = self._events, []
        return taken

    def request_stop(self) -> None:
        """Ask the ranks to save a checkpoint and leave."""
        self._stop = True
