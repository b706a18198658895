"""What each rank of a Ray Train run does."""

from __future__ import annotations

import dataclasses
import os
from contextlib import closing
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch
from ray.actor import ActorHandle

from dcgan_dist.config import TrainConfig, from_dict
from dcgan_dist.data.device import to_device
from dcgan_dist.errors import InputError
from dcgan_dist.files import content_hash
from dcgan_dist.runs.events import RankEvent
from dcgan_dist.runs.plan import plan_run, run_batches
from dcgan_dist.runs.rank_callbacks import RankCallbacks
from dcgan_dist.storage.run_folder import RunFolder
from dcgan_dist.storage.scratch import scratch_folder
from dcgan_dist.training.distributed import gather_ranks
from dcgan_dist.training.engine import set_arithmetic
from dcgan_dist.training.gan import gan_step
from dcgan_dist.training.loop import History, NonFiniteError, train
from dcgan_dist.training.players import build_players


def train_rank(arguments: dict[str, Any]) -> None:
    """Build, resume, train.

    Args:
        arguments: `config` (as a dict), `run_name`, `manifest_hash` and `board` (actor handle).
    """
    config, board = from_dict(TrainConfig, arguments["config"]), arguments["board"]
    if ray.get(board.failed.remote()):
        return  # some rank found that no restart will help; Ray restarted the ranks all the same
    context = ray.train.get_context()
    device = ray.train.torch.get_device()
    set_up_process(config, device, ranks_on_node=context.get_local_world_size())

    try:
        plan = plan_run(config)
        if plan.manifest.hash != arguments["manifest_hash"]:
            raise InputError(
                f"shards {config.shards} are others on this node than where the run was started: share one folder"
            )
        players = build_players(config, device=device, world_size=context.get_world_size())
        with scratch_folder() as scratch:
            folder = RunFolder(config.storage, arguments["run_name"])
            with closing(RankCallbacks(plan, players, folder, board, scratch)) as run:
                run.resume()
                train_to_the_end(run)
                run.finish()
    except InputError as error:
        give_up(board, str(error), 2)
        raise  # so that Ray ends the other ranks too, which may know nothing of it
    except Exception as error:
        words = f"rank {context.get_world_rank()} failed: {type(error).__name__}: {str(error).strip() or 'no reason'}"
        ray.get(board.post.remote(RankEvent(line=f"warning: {words.splitlines()[0]}")))
        raise


def train_to_the_end(run: RankCallbacks) -> None:
    """Take steps; where a loss is not finite and the policy says so, go back and take others."""
    while True:
        try:
            take_steps(run)
            return
        except NonFiniteError as error:  # raised on all ranks alike
            refusal = run.roll_back(error)
            if refusal:
                # The same steps would fail again: tell the driver instead of spending restarts on it.
                if run.first:
                    give_up(run.board, refusal, 1)
                return


def take_steps(run: RankCallbacks) -> None:
    """Put stream, step and loop together, from where the run is."""
    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    # After a rollback data and z are drawn anew: the old draws led to a non-finite loss.
    seed = seed_of_draws(run.plan.config.seed, run.progress.rollbacks)
    plan = dataclasses.replace(
        run.plan,
        config=dataclasses.replace(run.plan.config, seed=seed),
        shard_plan=dataclasses.replace(run.plan.shard_plan, seed=seed),
    )
    batches = run_batches(
        plan, rank=rank, world_size=world_size, start_step=run.progress.step, on_bad_sample=run.tell_bad_sample
    )
    step = gan_step(
        plan.config,
        run.players,
        rows=plan.shard_plan.rows(rank, world_size).tolist(),
        world_size=world_size,
        steps_per_epoch=plan.shard_plan.steps_per_epoch,
    )
    batches = to_device(batches, run.device)
    run.history = History(run.progress.pending)
    with closing(batches):
        train(
            run.watched(step),
            batches,
            dataclasses.replace(plan.intervals, first=run.progress.step),
            batch_size=plan.config.data.batch_size,
            synchronise=gather_ranks,
            report=run.report,
            save=run.save,
            stop=run.stop,
            history=run.history,
        )


def seed_of_draws(seed: int, rollbacks: int) -> int:
    """Seed of data order and z: the run's own, and another after each rollback."""
    return seed if rollbacks == 0 else int(content_hash([seed, "rollback", rollbacks])[:8], 16)


def give_up(board: ActorHandle, reason: str, code: int) -> None:
    """Tell the driver that no restart will help."""
    ray.get(board.post.remote(RankEvent(failure=reason, failure_code=code)))


def set_up_process(config: TrainConfig, device: torch.device, *, ranks_on_node: int) -> None:
    """Share the node's cores among its ranks, and set precision and determinism."""
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // ranks_on_node))
    if config.deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    set_arithmetic(config, device)
