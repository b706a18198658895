"""What each rank of a Ray Train run does."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch
from torch import Tensor

from dcgan_dist.config import TrainConfig
from dcgan_dist.data.device import to_device
from dcgan_dist.data.shards.index_table import load_index
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.errors import InputError
from dcgan_dist.files import content_hash
from dcgan_dist.runs.driver_link import DriverLink
from dcgan_dist.runs.events import Failed, RankWarning
from dcgan_dist.runs.hanging_ranks import Watchdog, watch_rank
from dcgan_dist.runs.plan import RunPlan, run_batches
from dcgan_dist.runs.rank_checkpoints import RankCheckpoints
from dcgan_dist.runs.rank_state import RankState
from dcgan_dist.runs.report_callback import ReportCallback
from dcgan_dist.storage.local import open_storage
from dcgan_dist.storage.run_folder import RunFolder
from dcgan_dist.storage.scratch import scratch_folder
from dcgan_dist.training.distributed import gather_ranks
from dcgan_dist.training.engine import set_arithmetic
from dcgan_dist.training.gan import gan_step
from dcgan_dist.training.loop import History, NonFiniteError, train


def train_rank(arguments: dict[str, Any]) -> None:
    """Build, resume, train.

    Args:
        arguments: `plan` (reference to the run's plan, as the driver worked it out) and `queue` (actor handle).
    """
    plan: RunPlan = ray.get(arguments["plan"])
    queue = arguments["queue"]
    if ray.get(queue.failed.remote()):
        return  # some rank found that no restart will help; Ray restarted the ranks all the same
    context, device = ray.train.get_context(), ray.train.torch.get_device()
    set_up_process(plan.rank_config, device, ranks_on_node=context.get_local_world_size())
    link = DriverLink(queue)
    try:
        check_shards(plan.manifest)
        state = RankState(plan.rank_config, device, context.get_world_size())
        folder = RunFolder(plan.config.storage, plan.name)
        with (
            scratch_folder() as scratch,
            closing(watch_rank(plan.config.hang_seconds, folder, link, device)) as watchdog,
        ):
            checkpoints = RankCheckpoints(plan, state, link, watchdog, scratch)
            report = ReportCallback(plan, state, link, checkpoints)
            checkpoints.resume()
            watchdog.beat()  # from now on, so that a first batch that never comes is noticed too
            train_to_the_end(plan, state, link, checkpoints, report)
            checkpoints.finish()
    except InputError as error:
        link.send_from_any_rank(Failed(reason=str(error), exit_code=2), wait=True)
        raise  # so that Ray ends the other ranks too, which may know nothing of it
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).strip() or 'no reason'}"
        message = f"rank {link.rank} failed: {reason}".splitlines()[0]
        link.send_from_any_rank(RankWarning(message=message), wait=True)
        raise


def check_shards(manifest: Manifest) -> None:
    """Raise InputError unless the first shard is on this node, and is the one that the driver saw."""
    try:
        with closing(open_storage(manifest.location)) as storage:
            load_index(storage, manifest.shards[0])
    except (InputError, OSError) as error:
        raise InputError(
            f"shards {manifest.location} are missing on this node, or others than where the run was started ({error}): "
            "share one folder, or give a URI"
        ) from error


def train_to_the_end(
    plan: RunPlan, state: RankState, link: DriverLink, checkpoints: RankCheckpoints, report: ReportCallback
) -> None:
    """Take steps; where a loss is non-finite and the policy says so, go back and take others."""
    while True:
        try:
            take_steps(plan, state, link, checkpoints, report)
            return
        except NonFiniteError as error:  # raised on all ranks alike
            if refusal := checkpoints.roll_back(error):
                # The same steps would fail again: tell the driver instead of spending restarts on it.
                link.send(Failed(reason=refusal))
                return


def take_steps(
    plan: RunPlan, state: RankState, link: DriverLink, checkpoints: RankCheckpoints, report: ReportCallback
) -> None:
    """Put stream, step and loop together, from where the run is."""
    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    first = state.progress.step
    # After a rollback data and z are drawn anew: the old draws led to a non-finite loss.
    seed = seed_of_draws(plan.config.seed, state.progress.rollbacks)
    drawn = dataclasses.replace(
        plan,
        config=dataclasses.replace(plan.config, seed=seed),
        shard_plan=dataclasses.replace(plan.shard_plan, seed=seed),
    )
    batches = run_batches(
        drawn, rank=rank, world_size=world_size, start_step=first, on_bad_sample=link.report_bad_sample
    )
    step = gan_step(
        drawn.config,
        state.players,
        rows=drawn.shard_plan.rows(rank, world_size).tolist(),
        world_size=world_size,
        steps_per_epoch=drawn.shard_plan.steps_per_epoch,
    )
    state.history = History(state.progress.pending)
    with closing(to_device(batches, state.device)) as batches:
        train(
            watched(step, checkpoints.watchdog),
            batches,
            dataclasses.replace(plan.intervals, first=first),
            batch_size=plan.config.data.batch_size,
            synchronise=gather_ranks,
            report=report,
            save=checkpoints.save,
            stop=lambda done: link.poll(state.images_at(done)),
            history=state.history,
        )


def watched(
    step: Callable[[int, Any], Mapping[str, Tensor]], watchdog: Watchdog
) -> Callable[..., Mapping[str, Tensor]]:
    """The step, with a heartbeat before each."""

    def beat_and_step(number: int, batch: Any) -> Mapping[str, Tensor]:
        watchdog.beat()
        return step(number, batch)

    return beat_and_step


def seed_of_draws(seed: int, rollbacks: int) -> int:
    """Seed of data order and z: the run's own, and another after each rollback."""
    return seed if rollbacks == 0 else int(content_hash([seed, "rollback", rollbacks])[:8], 16)


def set_up_process(config: TrainConfig, device: torch.device, *, ranks_on_node: int) -> None:
    """Share the node's cores among its ranks, and set precision and determinism."""
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // ranks_on_node))
    if config.deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    set_arithmetic(config, device)
