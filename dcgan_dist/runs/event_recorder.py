"""What the driver does with the events of the ranks: log for people, the journal, the tracked run, files of the run folder."""

import dataclasses
import logging
import time
from typing import Any

from dcgan_dist.cli.logs import CALM
from dcgan_dist.cli.progress import ranks_text
from dcgan_dist.data.shards.index_table import BadSample
from dcgan_dist.data.stream import BadSampleLog
from dcgan_dist.errors import InputError
from dcgan_dist.runs import events
from dcgan_dist.runs.async_checkpointer import GRIDS, grid_name
from dcgan_dist.runs.events import Failed, RankEvent
from dcgan_dist.runs.plan import RunPlan
from dcgan_dist.storage.run_folder import RunFolder
from dcgan_dist.tracking.spool import Spool

BAD_SAMPLES, JOURNAL = "bad_samples.json", "journal.json"

_log = logging.getLogger(__name__)


class Journal:
    """What happened to a run, over all its starts; for people, and to measure what a fault cost. Only the driver writes."""

    def __init__(self, folder: RunFolder) -> None:
        """Go on with what earlier starts wrote."""
        self.folder = folder
        recorded = folder.retried(lambda: folder.read_json(JOURNAL, dict[str, list[dict]]))
        self.events: list[dict[str, Any]] = (recorded or {}).get("events", [])

    def add(self, event: str, **more: Any) -> None:
        """Add an event with the time, in seconds since 1970."""
        self.events.append({"time": round(time.time(), 3), "event": event} | more)
        try:
            self.folder.write_json(JOURNAL, {"events": self.events})
        except OSError:
            pass  # a storage that is away shows in the checkpoints; the next event writes this one too

    def count(self, event: str) -> int:
        """How often something happened."""
        return sum(entry.get("event") == event for entry in self.events)


class EventRecorder:
    """Records events in order, and remembers whether the run failed or the ranks were preempted."""

    def __init__(self, plan: RunPlan, folder: RunFolder, journal: Journal, spool: Spool) -> None:
        self.folder, self.journal, self.spool = folder, journal, spool
        self.failure: Failed | None = None
        """The first one."""
        self.preemption = ""
        """Why the ranks left although nothing failed; empty: they did not."""
        self._bad_samples = BadSampleLog(plan.config.data.max_bad_fraction, plan.manifest.samples)
        self._first_step_is_due = False
        self._images, self._samples = plan.images, plan.measurements.samples

    def record(self, event: RankEvent) -> None:
        """Log, journal and track one event."""
        match event:
            case events.RanksStarted(images_seen=images_seen, nodes=nodes, checkpoint=checkpoint):
                self.journal.add("ranks started", ranks=len(nodes), nodes=list(nodes), images_seen=images_seen)
                self._first_step_is_due, self.preemption = True, ""
                if checkpoint:
                    _log.info(
                        "%s: goes on from %s at %s images", ranks_text(len(nodes)), checkpoint, f"{images_seen:,}"
                    )
            case events.Heartbeat(images_seen=images_seen):
                if self._first_step_is_due:
                    self.journal.add("first step", images_seen=images_seen)
                    self._first_step_is_due = False
            case events.Metrics(images_seen=images_seen, values=values, progress=progress):
                _log.info("%s", progress, extra=CALM)
                self._track(values, images_seen)
            case events.Collapse(images_seen=images_seen, alarm=alarm):
                self.warn(alarm)
                self._track({"alarm/collapse": 1.0}, images_seen)
            case events.CheckpointBegun(images_seen=images_seen):
                self.journal.add("checkpoint begun", images_seen=images_seen)
                if images_seen >= self._images and self._samples:
                    _log.info("trained; the quality of %s samples is measured", f"{self._samples:,}")
            case events.CheckpointWritten():
                self._record_checkpoint(event)
            case events.RolledBack(images_seen=images_seen, reason=reason):
                self.journal.add("rolled back", images_seen=images_seen)
                self.warn(reason)
            case events.BadSampleReplaced(sample=sample):
                self._count_bad_sample(sample)
            case events.Preempted(reason=reason):
                self.preemption = reason
            case events.Failed():
                self.failure = self.failure or event
            case events.RankWarning(message=message):
                self.warn(message)

    def warn(self, message: str) -> None:
        """Log a warning and keep it in the journal."""
        _log.warning("%s", message)
        self.journal.add("warning", line=f"warning: {message}")

    def newest_grid(self) -> str:
        """Path of the newest grid of samples in the run folder; empty if there is none."""
        return next(iter(self.folder.files(GRIDS)), "")

    def _record_checkpoint(self, event: events.CheckpointWritten) -> None:
        if event.refusal:
            self.warn(f"{event.refusal}: training goes on, the one before stays the newest")
        else:
            self.journal.add("checkpoint kept", images_seen=event.images_seen)
        if event.quality:
            self._track(event.quality, event.images_seen)
        if event.grid:
            self.spool.log_image(event.grid, grid_name(event.images_seen))

    def _track(self, values: dict[str, float], images_seen: int) -> None:
        self.spool.log_metrics(values | {"data/bad_samples": float(len(self._bad_samples))}, images_seen)

    def _count_bad_sample(self, sample: BadSample) -> None:
        """List a replaced sample in the run's files; the run fails where there are too many."""
        _log.warning("a bad sample was replaced: %s", sample)
        try:
            self._bad_samples(sample)
        except InputError as error:
            self.failure = self.failure or Failed(reason=str(error), exit_code=2)
        try:
            listed = {"bad_samples": [dataclasses.asdict(bad) for bad in self._bad_samples.samples]}
            self.folder.write_json(BAD_SAMPLES, listed)
        except OSError as error:
            _log.warning("%s could not be kept (%s)", BAD_SAMPLES, error)
