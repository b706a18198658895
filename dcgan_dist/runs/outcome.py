"""What a run ended with: its last checkpoint by hash, its best one in the registry, and a summary for people."""

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import ray

from dcgan_dist.cli.progress import duration
from dcgan_dist.runs.async_checkpointer import GRIDS, grid_name
from dcgan_dist.runs.checkpoint_store import CheckpointStore, StoredCheckpoint
from dcgan_dist.runs.event_recorder import Journal
from dcgan_dist.runs.plan import RunPlan
from dcgan_dist.runs.report_callback import progress_metrics
from dcgan_dist.runs.snapshot import register_snapshot, snapshot_task
from dcgan_dist.storage.run_folder import RunFolder
from dcgan_dist.storage.scratch import scratch_folder
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.tracking.spool import Spool
from dcgan_dist.training.whole_checkpoint import load_checkpoint, load_log, log_sha256, state_sha256

TRACKING_PATIENCE_SECONDS = 120.0
"""How long the end of a run waits for a tracking server that is away."""
SNAPSHOT_PATIENCE_SECONDS = 60.0
"""How long it waits in silence for the snapshot, and does not hear a signal, as it is nearly done."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a start of a run ended."""

    status: Literal["FINISHED", "FAILED", "KILLED"]
    exit_code: int
    details: dict[str, Any] = field(default_factory=dict)
    """What result.json has beside the figures of every run: the registered models, or the error."""

    @classmethod
    def failed(cls, reason: str, exit_code: int = 1) -> Self:
        """A run that failed; what was kept stays."""
        return cls("FAILED", exit_code, {"error": reason})


def run_result(
    plan: RunPlan, run: TrackedRun, store: CheckpointStore, journal: Journal, grid: str, seconds: float
) -> dict[str, Any]:
    """What result.json says of every run, however it ended.

    Args:
        plan: of the run.
        run: on the tracking server.
        store: its checkpoints.
        journal: of all its starts.
        grid: path of its newest grid of samples.
        seconds: that this start took.
    """
    return last_checkpoint(store) | {
        "job": "train",
        "run_name": plan.name,
        "run_id": run.run_id,
        "tracking": run.url,
        "images": plan.images,
        "seconds_of_this_start": round(seconds, 1),
        "grid": grid,
        "config": dataclasses.asdict(plan.config),
        "precision": plan.precision,
        "manifest_hash": plan.manifest.hash,
        "preemptions": journal.count("preempted"),
        "rollbacks": journal.count("rolled back"),
    }


def last_checkpoint(store: CheckpointStore) -> dict[str, Any]:
    """Where the newest whole checkpoint is, and its hashes: of all state, and of state and reports."""
    path = store.newest_whole()
    if path is None:
        return {"images_seen": 0, "checkpoint": "", "sha256": "", "sha256_with_log": ""}
    with scratch_folder() as scratch:
        folder = store.folder.fetch(path, scratch)
        _, progress, state = load_checkpoint(folder)
        log = load_log(folder)
    sha256 = state_sha256(state)
    return {
        "images_seen": progress.images_seen,
        "checkpoint": path,
        "sha256": sha256,
        "sha256_with_log": log_sha256(sha256, log),
    }


def register_best(
    plan: RunPlan, run: TrackedRun, store: CheckpointStore, stopped: Callable[[], bool] = lambda: False
) -> dict[str, Any]:
    """Standing statistics for the best checkpoint, and the registry; returns what the result says of it.

    Raises:
        RayError: the cluster failed, or `stopped` said while it was waited for that nothing more is to be done.
    """
    config, best = plan.config, store.best()
    if not config.register or best is None:
        return {}
    _log.info("measuring standing statistics of %s over %d batches", best.name, config.snapshot_batches)
    task = snapshot_task.options(num_cpus=1, num_gpus=int(config.use_gpu))
    reference = task.remote(plan, best.path)
    if not ray.wait([reference], timeout=SNAPSHOT_PATIENCE_SECONDS)[0]:
        _log.warning(
            "still waiting for the snapshot: it needs a node with a free %s", "GPU" if config.use_gpu else "CPU"
        )
    while not ray.wait([reference], timeout=1)[0]:
        if stopped():
            ray.cancel(reference)
            break
    snapshot = ray.get(reference)
    quality = _quality(store, best)
    with scratch_folder() as scratch:
        models = register_snapshot(plan, run, store.folder.fetch(snapshot, scratch), quality)
    return {"models": models, "registered_checkpoint": best.path, "snapshot": snapshot, "quality": quality}


def _quality(store: CheckpointStore, best: StoredCheckpoint) -> dict[str, float]:
    """Quality figures that were measured at a checkpoint."""
    log = store.log(best.path)
    last = log[-1]["metrics"] if log and log[-1]["images_seen"] == best.images_seen else {}
    return {name: value for name, value in last.items() if name.startswith("quality/")}


def summary(result: dict[str, Any]) -> str:
    """The end of a run in a few lines, from its result."""
    lines = [
        f"run {result['run_name']}: {result['images_seen']:,} images, last start took "
        f"{duration(result['seconds_of_this_start'])}",
        f"  samples     {result['grid']}",
        f"  checkpoint  {result['checkpoint']}",
        f"  tracked as  {result['tracking']}",
    ]
    lines += [f"  registered  {m['uri']} ({m['name']}@candidate)" for m in result.get("models", {}).values()]
    return "\n".join(lines)


def log_missing_reports(plan: RunPlan, store: CheckpointStore, spool: Spool) -> None:
    """Write to the tracked run what the log of the newest whole checkpoint and the folder of grids have and it lacks.

    Where storage or server do not answer, nothing is written, and a later call may.
    """
    try:
        if newest := store.newest_whole():
            lines = [(line["images_seen"], line["metrics"]) for line in store.log(newest)]
            spool.log_missing_metrics((seen, metrics | progress_metrics(plan, seen)) for seen, metrics in lines)
        grids = [int(Path(path).stem) for path in reversed(store.folder.files(GRIDS)) if path.endswith(".png")]
        tracked = spool.image_names(GRIDS) if grids else set()
        for images_seen in grids:
            if (name := grid_name(images_seen)) not in tracked:
                spool.log_image(store.folder.read_bytes(name), name)
    except Exception as error:  # whatever a storage or a tracking store raises: training goes on
        _log.warning("what tracking lacks of earlier reports is not known (%s); the next start looks again", error)


def send_unsent(plan: RunPlan, folder: RunFolder, run_id: str) -> None:
    """Send what the tracking server of a finished run did not take at its end.

    Raises:
        InputError: the server is away.
    """
    unsent = spool_folder(folder, run_id)
    if unsent.is_dir():
        spool = Spool(TrackedRun.attach(plan.config.tracking_uri, run_id), unsent)
        log_missing_reports(plan, CheckpointStore(folder), spool)
        if not spool.finish("FINISHED", patience=TRACKING_PATIENCE_SECONDS):
            _log.warning("tracking: %s", spool.missing())


def spool_folder(folder: RunFolder, run_id: str) -> Path:
    """Where events wait for the tracking server: on a local disk, whatever the storage is."""
    return Path(folder.path) / "tracking" if folder.local else Path.home() / ".cache" / "dcgan_dist" / run_id
