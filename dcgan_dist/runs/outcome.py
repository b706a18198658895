"""What a run ended with: its last checkpoint by hash, its best one in the registry, and a summary for people."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import ray

from dcgan_dist.cli.progress import duration
from dcgan_dist.runs.checkpoint_store import CheckpointStore, Kept
from dcgan_dist.runs.plan import RunPlan
from dcgan_dist.runs.snapshot import register_snapshot, snapshot_task
from dcgan_dist.storage.scratch import scratch_folder
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.training.checkpoint import load_checkpoint, load_log, log_sha256, state_sha256


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


def register_best(plan: RunPlan, run: TrackedRun, store: CheckpointStore, say: Callable[[str], None]) -> dict[str, Any]:
    """Standing statistics for the best checkpoint, and the registry; returns what the result says of it."""
    config, best = plan.config, store.best()
    if not config.register or best is None:
        return {}
    say(f"measuring standing statistics of {best.name} over {config.snapshot_batches} batches")
    task = snapshot_task.options(num_cpus=1, num_gpus=int(config.use_gpu))
    snapshot = ray.get(task.remote(dataclasses.asdict(config), plan.name, best.path))
    quality = _quality(store, best)
    with scratch_folder() as scratch:
        models = register_snapshot(plan, run, store.folder.fetch(snapshot, scratch), quality)
    return {"models": models, "registered_checkpoint": best.path, "snapshot": snapshot, "quality": quality}


def _quality(store: CheckpointStore, kept: Kept) -> dict[str, float]:
    """Quality figures that were measured at a checkpoint."""
    with scratch_folder() as scratch:
        log = load_log(store.folder.fetch(kept.path, scratch))
    last = log[-1]["metrics"] if log and log[-1]["images_seen"] == kept.images_seen else {}
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
