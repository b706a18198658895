"""Events from ranks to the driver: ranks report what happened, the driver answers whether to stop.

Ranks restart, move and die; the driver and this actor live as long as the job. So the driver alone prints, and alone
talks to the tracking server: one run, one writer, whatever happens to the ranks.
"""

from dataclasses import dataclass, field

from dcgan_dist.data.shards.index_table import BadSample


class RankEvent:
    """What a rank reports."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RanksStarted(RankEvent):
    """All ranks are up, and begin or go on."""

    images_seen: int
    nodes: tuple[str, ...]
    """Id of every rank's node, by rank."""
    checkpoint: str = ""
    """Name of the checkpoint they go on from; empty: they begin."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heartbeat(RankEvent):
    """Rank 0 is alive: it took a step, or waits for a checkpoint to be written."""

    images_seen: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Metrics(RankEvent):
    """Means since the last report."""

    images_seen: int
    values: dict[str, float]
    """By metric name."""
    progress: str
    """The progress line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Collapse(RankEvent):
    """The collapse alarm was raised."""

    images_seen: int
    alarm: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointBegun(RankEvent):
    """A checkpoint is being written."""

    images_seen: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointWritten(RankEvent):
    """A checkpoint lies whole in the storage, or the storage refused it."""

    images_seen: int
    quality: dict[str, float] = field(default_factory=dict)
    """Figures of its samples by metric name, where they were measured."""
    grid: bytes = b""
    """Its samples as a PNG, where quality was measured."""
    refusal: str = ""
    """Why it could not be kept; empty: it was."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RolledBack(RankEvent):
    """A loss was NaN or infinite, and the run went back."""

    images_seen: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BadSampleReplaced(RankEvent):
    """A sample could not be used; each rank reports each once."""

    sample: BadSample


@dataclass(frozen=True, kw_only=True, slots=True)
class Preempted(RankEvent):
    """The ranks left before the end, although nothing failed."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed(RankEvent):
    """The run cannot go on, not even after a restart."""

    reason: str
    exit_code: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class RankWarning(RankEvent):
    """Something people should know; the run goes on."""

    message: str


class EventQueue:
    """Holds events in order until the driver takes them; runs as an actor."""

    def __init__(self) -> None:
        self._events: list[RankEvent] = []
        self._stop = False
        self._failed = False

    def put(self, event: RankEvent) -> bool:
        """Add an event; returns whether the driver wants the ranks to stop."""
        self._events.append(event)
        self._failed = self._failed or isinstance(event, Failed)
        return self._stop

    def failed(self) -> bool:
        """Whether some rank reported that the run cannot go on: ranks that are restarted then need not begin."""
        return self._failed

    def drain(self) -> list[RankEvent]:
        """All events since the last call."""
        events, self._events = self._events, []
        return events

    def request_stop(self) -> None:
        """Ask the ranks to save a checkpoint and leave."""
        self._stop = True
