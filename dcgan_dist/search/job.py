"""The search from the driver's side: start it or go on with it."""

import dataclasses
import logging
from typing import Any

from dcgan_dist.cli.prices import find_price
from dcgan_dist.cluster.join import join_cluster
from dcgan_dist.config import flatten
from dcgan_dist.errors import InputError
from dcgan_dist.runs.outcome import spool_folder
from dcgan_dist.runs.plan import check_same_identity
from dcgan_dist.search.plan import SearchPlan, plan_search
from dcgan_dist.search.search_attempt import Search, context_of, trial_task
from dcgan_dist.search.search_config import SearchConfig
from dcgan_dist.search.summary import describe, describe_probe, summary
from dcgan_dist.search.sweep import check_room, places, probe
from dcgan_dist.storage.run_folder import RunFolder
from dcgan_dist.tracking.address import without_password
from dcgan_dist.tracking.environment import environment_tags
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.tracking.server import check_reachable
from dcgan_dist.untrusted import refusing

PROBE_STEPS = 20

_log = logging.getLogger(__name__)


def run_search(config: SearchConfig) -> int:
    """Search, or go on where an earlier start of the same search ended, and register the best network.

    Args:
        config: with absolute paths.

    Returns:
        Exit code: 0 finished, 1 failed, 130 or 143 stopped by a signal.

    Raises:
        InputError: something a user can mend; nothing was written.
    """
    plan = plan_search(config)
    find_price(config.price)  # refuses what is none, before anything starts
    if config.dry_run:
        _log.info("%s\nnothing was written", describe(plan))
        return 0
    if config.plan:
        return _probe(plan)
    folder = RunFolder(config.storage, plan.name)
    try:
        if finished := _finished_result(plan, folder):
            _log.info("search %s is finished; for more give more `trials` or `repeats`", plan.name)
            _log.info(summary(finished))
            _send_unsent(plan, folder)
            return 0
        folder.refuse_if_alive()
    except OSError as error:
        raise InputError(f"`storage` {config.storage} cannot be read ({error}): mend it or name another") from error
    check_reachable(config.tracking_uri)
    join_cluster(verbose=config.verbose)
    check_room(config)

    _log.info("search %s: %d trials on %s", plan.name, config.trials, plan.data.describe())
    _log.info("storage %s, tracking %s", config.storage, without_password(config.tracking_uri))
    with folder.heartbeat(config.heartbeat_seconds):
        _finished_result(plan, folder)  # again: another start of this name may have come first
        tags = environment_tags() | {"data_hash": plan.data.hash, "storage": config.storage}
        params = flatten(config) | {
            f"space.{path}": str(distribution) for path, distribution in plan.identity["space"].items()
        }
        run = TrackedRun.attach_or_create(
            folder.read_json("run.json"), config.tracking_uri, config.experiment, plan.name, params, tags
        )
        folder.write_json(
            "run.json",
            {
                "identity": plan.identity,
                "trials": config.trials,
                "repeats": config.repeats,
                "config": dataclasses.asdict(config),
                "run_id": run.run_id,
                "tracking_uri": config.tracking_uri,
            },
        )
        with run.system_metrics():
            return Search(plan, folder, run).exit_code()


def _send_unsent(plan: SearchPlan, folder: RunFolder) -> None:
    """Send what the tracking server of a finished search did not take at its end; a server that is away is said."""
    recorded = folder.read_json("run.json")
    if recorded and spool_folder(folder, recorded["run_id"]).is_dir():
        try:
            Search(plan, folder, TrackedRun.attach(recorded["tracking_uri"], recorded["run_id"])).send_unsent()
        except InputError as error:
            _log.warning("%s; what it lacks is sent at the next start", error)


def _finished_result(plan: SearchPlan, folder: RunFolder) -> dict[str, Any] | None:
    """The result of a search that has nothing left to do; None where there is something.

    Raises:
        InputError: the name belongs to another search, or to a longer one.
    """
    recorded, config = folder.read_json("run.json"), plan.config
    if not recorded:
        return None
    result = folder.read_json("result.json")
    with refusing(f"{folder.path} holds no search of this program", "give another `run_name`"):
        check_same_identity(recorded["identity"], plan.identity, name=plan.name, storage=config.storage)
        for field in ("trials", "repeats"):
            if getattr(config, field) < recorded[field]:
                raise InputError(
                    f"search {plan.name} was started with {recorded[field]} {field} and now has {getattr(config, field)}: it "
                    "can be made longer, not shorter; give at least the old number, or another `run_name`"
                )
        if not result or result["status"] != "FINISHED":
            return None
        done = len(result["trials"]) == config.trials and len(result["repeats"]) == config.repeats
    return result if done else None


def _probe(plan: SearchPlan) -> int:
    config = plan.config
    _log.info(describe(plan))
    _log.info(
        "starting: %d steps of trial 0 on %g CPU and %g GPU, on the cluster that RAY_ADDRESS names, else on a Ray of its own "
        "on this machine, which ends with this command",
        PROBE_STEPS,
        config.cpus_per_trial,
        config.gpus_per_trial,
    )
    join_cluster(verbose=config.verbose)
    check_room(config)
    context = context_of(plan, {0: trial_task(plan, 0)}, keep_network=False)
    _log.info(describe_probe(plan, probe(config, context, PROBE_STEPS), places(config)))
    _log.info("nothing was written")
    return 0
