"""A training run from the driver's side: start or resume, watch, register, sum up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dcgan_dist.config import InputError, TrainConfig, flatten
from dcgan_dist.launch.attempt import Attempt, summary
from dcgan_dist.launch.cluster import join_cluster, wait_for_ranks
from dcgan_dist.launch.estimate import describe
from dcgan_dist.launch.run_folder import RunFolder
from dcgan_dist.launch.run_plan import RunPlan, check_same_run, plan_run, record
from dcgan_dist.tracking.environment import environment_tags
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.tracking.server import check_reachable, without_password


def run_training(config: TrainConfig, *, say: Callable[[str], None] = print) -> int:
    """Train, or go on where an earlier start of the same run ended, and register the result.

    Args:
        config: with absolute paths.
        say: prints a line.

    Returns:
        Exit code: 0 finished, 1 failed, 130 or 143 stopped by a signal.

    Raises:
        InputError: something a user can mend; nothing was written.
    """
    plan = plan_run(config)
    if config.dry_run:
        say(describe(plan))
        return 0
    folder = RunFolder(config.storage, plan.name)
    recorded = folder.read_json("run.json")
    if recorded:
        check_same_run(plan, recorded)
        finished = folder.read_json("result.json")
        if finished and finished["status"] == "FINISHED" and finished["images_seen"] >= plan.images:
            say(f"run {plan.name} is finished; for more give a larger --epochs or --images")
            say(summary(finished))
            return 0
    folder.refuse_if_alive()
    check_reachable(config.tracking_uri)
    join_cluster(config)
    wait_for_ranks(config, say)

    say(f"run {plan.name}: {plan.images:,} images on {config.num_workers} ranks")
    say(f"shards {config.shards}, storage {config.storage}, tracking {without_password(config.tracking_uri)}")
    run = open_tracked_run(plan, recorded)
    folder.write_json("run.json", record(plan, run_id=run.run_id, tracking_uri=config.tracking_uri))
    with folder.heartbeat(config.heartbeat_seconds), run.system_metrics():
        try:
            return Attempt(plan, folder, run, say).exit_code()
        except BaseException:
            run.finish("FAILED")
            raise


def open_tracked_run(plan: RunPlan, recorded: dict[str, Any] | None) -> TrackedRun:
    """The run on the tracking server: one, however often it is started."""
    config = plan.config
    if recorded and recorded.get("tracking_uri") == config.tracking_uri:
        try:
            return TrackedRun.attach(config.tracking_uri, recorded["run_id"])
        except InputError:
            pass  # deleted on the server: the run gets a new record there
    tags = environment_tags() | {"manifest_hash": plan.manifest.hash, "storage": config.storage}
    return TrackedRun.create(config.tracking_uri, config.experiment, plan.name, flatten(config), tags)
