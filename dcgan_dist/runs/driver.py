"""A training run from the driver's side: start or resume, watch, register, sum up."""

import logging
from typing import Any

from dcgan_dist.cli.prices import find_price
from dcgan_dist.cli.progress import ranks_text
from dcgan_dist.cluster.capacity import wait_for_ranks
from dcgan_dist.cluster.join import join_cluster
from dcgan_dist.config import TrainConfig, flatten
from dcgan_dist.errors import InputError
from dcgan_dist.runs.attempt import Attempt
from dcgan_dist.runs.checkpoint_store import CheckpointStore
from dcgan_dist.runs.estimate import describe, measurement_line
from dcgan_dist.runs.outcome import send_unsent, summary
from dcgan_dist.runs.plan import RunPlan, as_recorded, check_same_run, plan_run, record
from dcgan_dist.runs.probe import plan_with_probe
from dcgan_dist.runs.rank_precision import decide_precision, nodes_are_fast, recorded_precision
from dcgan_dist.storage.run_folder import RunFolder
from dcgan_dist.tracking.address import without_password
from dcgan_dist.tracking.environment import environment_tags
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.tracking.server import check_reachable
from dcgan_dist.untrusted import refusing

NOTE = """The step of every metric is images seen: real images drawn by all ranks together (`system/*` counts measurements).
The same command goes on where the run was stopped; points after the checkpoint are then reported once more."""
"""What MLflow's page of a run says first."""

_log = logging.getLogger(__name__)


def run_training(config: TrainConfig) -> int:
    """Train, or go on where an earlier start of the same run ended, and register the result.

    Args:
        config: with absolute paths.

    Returns:
        Exit code: 0 finished, 1 failed, 130 or 143 stopped by a signal.

    Raises:
        InputError: something a user can mend; nothing was written.
    """
    plan = plan_run(config)
    find_price(config.price)  # refuses what is none, before anything starts
    if config.dry_run:
        _log.info("%s\nnothing was written", describe(plan))
        return 0
    if config.plan:
        return plan_with_probe(plan)
    folder = RunFolder(config.storage, plan.name)
    if finished := folder.waiting(lambda: finished_result(plan, folder)):
        _log.info("run %s is finished; for more give a larger `epochs` or `images`", plan.name)
        _log.info("%s", summary(finished))
        try:
            send_unsent(plan, folder, finished["run_id"])
        except InputError as error:
            _log.warning("%s; what it lacks is sent at the next start", error)
        return 0
    folder.waiting(folder.refuse_if_alive)
    check_reachable(config.tracking_uri)
    join_cluster(verbose=config.verbose)
    wait_for_ranks(config)

    _log.info("run %s: %s images on %s", plan.name, f"{plan.images:,}", ranks_text(config.num_workers))
    tracking = without_password(config.tracking_uri)
    _log.info("shards %s, storage %s, tracking %s", config.shards, config.storage, tracking)
    with folder.heartbeat(config.heartbeat_seconds):
        folder.waiting(lambda: finished_result(plan, folder))  # again: another start of this name may have come first
        before = folder.waiting(lambda: folder.read_json("run.json"))
        if before:
            plan = as_recorded(plan, before)
        else:
            auto = config.engine.precision == "auto"
            kept = CheckpointStore(folder).config_of_newest() if auto else None  # of a run whose run.json was lost
            decided = recorded_precision(kept) if kept else decide_precision(config, nodes_are_fast)
            plan = plan.begun_in(decided)
        _log.info("ranks compute in %s", plan.precision or "the precision of their device")
        _log.info("quality: %s", measurement_line(plan))
        run = open_tracked_run(plan, before)
        recorded = record(plan, run_id=run.run_id, tracking_uri=config.tracking_uri)
        folder.waiting(lambda: folder.write_json("run.json", recorded))
        with run.system_metrics():
            try:
                return Attempt(plan, folder, run).exit_code()
            except BaseException:
                run.finish("FAILED")
                raise


def finished_result(plan: RunPlan, folder: RunFolder) -> dict[str, Any] | None:
    """The result of a run that has nothing left to do; None where there is something.

    Raises:
        InputError: the name belongs to a run with another config.
    """
    recorded = folder.read_json("run.json")
    result = folder.read_json("result.json") if recorded else None
    with refusing(f"{folder.path} holds no run of this program", "give another `run_name`"):
        if recorded:
            check_same_run(plan, recorded)
        done = result and result["status"] == "FINISHED" and result["images_seen"] >= plan.images
    return result if done else None


def open_tracked_run(plan: RunPlan, recorded: dict[str, Any] | None) -> TrackedRun:
    """The run on the tracking server: one, however often it is started."""
    config, manifest = plan.config, plan.manifest
    tags = environment_tags() | {"manifest_hash": manifest.hash, "storage": config.storage, "mlflow.note.content": NOTE}
    tags |= {"precision": plan.rank_config.engine.precision, "quality.measured": str(plan.measurements)}
    run = TrackedRun.attach_or_create(
        recorded, config.tracking_uri, config.experiment, plan.name, flatten(config), tags
    )
    run.log_data_set(config.dataset, manifest.hash, manifest.location, plan.shard_plan.samples)
    return run
