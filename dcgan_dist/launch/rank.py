"""What each rank of a Ray Train run does."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.collective
import ray.train.torch
import torch
from ray.actor import ActorHandle

from dcgan_dist.config import InputError, TrainConfig, from_dict
from dcgan_dist.data.stream import BadSampleLog, stream_batches
from dcgan_dist.launch.board import Notice
from dcgan_dist.launch.progress import progress_line
from dcgan_dist.launch.run_folder import RunFolder, new_checkpoint_name
from dcgan_dist.launch.run_plan import RunPlan, plan_run
from dcgan_dist.launch.samples import SampleJudge
from dcgan_dist.training.alarm import CollapseAlarm
from dcgan_dist.training.checkpoint import Progress, damage, load_checkpoint, save_checkpoint
from dcgan_dist.training.distributed import gather_ranks
from dcgan_dist.training.gan import gan_step
from dcgan_dist.training.loop import NonFiniteError, Report, train
from dcgan_dist.training.players import Players, build_players
from dcgan_dist.training.schedule import updates

SCORE = "quality/frechet_random"


def train_rank(arguments: dict[str, Any]) -> None:
    """Build, resume, train.

    Args:
        arguments: `config` (as a dict), `run_name`, `manifest_hash` and `board` (actor handle).
    """
    config = from_dict(TrainConfig, arguments["config"])
    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    device = ray.train.torch.get_device()
    set_arithmetic(config, ranks_on_node=context.get_local_world_size())

    plan = plan_run(config)
    if plan.manifest.hash != arguments["manifest_hash"]:
        raise InputError(
            f"shards {config.shards} are others on this node than where the run was started: share one folder"
        )
    players = build_players(config, device=device, world_size=world_size)
    with tempfile.TemporaryDirectory() as scratch:
        run = RankOfRun(
            plan, players, RunFolder(config.storage, arguments["run_name"]), arguments["board"], Path(scratch)
        )
        run.resume()
        batches = stream_batches(
            plan.manifest,
            plan.shard_plan,
            rank=rank,
            world_size=world_size,
            start_step=run.progress.step,
            image_size=config.model.image_size,
            image_channels=config.model.image_channels,
            crop=config.data.crop,
            loader_workers=config.data.loader_workers,
            prefetch=config.data.prefetch,
            on_bad_sample=run.bad_samples,
        )
        step = gan_step(
            config,
            players,
            rows=plan.shard_plan.rows(rank, world_size).tolist(),
            world_size=world_size,
            steps_per_epoch=plan.shard_plan.steps_per_epoch,
        )
        try:
            with closing(batches):
                train(
                    step,
                    batches,
                    dataclasses.replace(plan.intervals, first=run.progress.step),
                    batch_size=config.data.batch_size,
                    synchronise=gather_ranks,
                    report=run.report,
                    save=run.save,
                    stop=lambda: run.stopping,
                )
        except NonFiniteError as error:
            # The same steps would fail again: tell the driver instead of spending restarts on it.
            run.post(Notice(failure=str(error)))
        except InputError as error:
            run.post(Notice(failure=str(error), failure_code=2))


def set_arithmetic(config: TrainConfig, *, ranks_on_node: int) -> None:
    """Share the node's cores among its ranks, and allow only deterministic kernels where that is asked for."""
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // ranks_on_node))
    if config.deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False


class RankOfRun:
    """The callables that the training loop gets on one rank: rank 0 speaks and writes, the others keep step."""

    def __init__(self, plan: RunPlan, players: Players, folder: RunFolder, board: ActorHandle, scratch: Path) -> None:
        self.plan, self.players, self.folder, self.board, self.scratch = plan, players, folder, board, scratch
        self.first = ray.train.get_context().get_world_rank() == 0
        self.progress = Progress()
        self.alarm = CollapseAlarm(plan.config.alarm)
        self.judge = SampleJudge(plan, next(players.generator.parameters()).device) if self.first else None
        self.bad_samples = BadSampleLog(plan.config.data.max_bad_fraction, plan.manifest.samples)
        self.stopping = False

    def post(self, notice: Notice) -> None:
        """Tell the driver something, and learn whether it wants the run to stop."""
        if self.first:
            self.stopping = bool(ray.get(self.board.post.remote(notice))) or self.stopping

    def resume(self) -> None:
        """Load the newest checkpoint that is whole; all ranks take the one that rank 0 found."""
        chosen = self._newest_whole_checkpoint() if self.first else None
        chosen = ray.train.collective.broadcast_from_rank_zero(chosen)
        if not chosen:
            return
        local = self.folder.fetch(chosen, self.scratch)
        device = next(self.players.generator.parameters()).device
        _, self.progress, state = load_checkpoint(local, device=device)
        self.players.load_state(state)
        self.alarm.count = self.progress.alarm_count
        self.post(Notice(line=f"goes on from {Path(chosen).name} at {self.progress.images_seen:,} images"))

    def _newest_whole_checkpoint(self) -> str | None:
        for path in self.folder.checkpoints():
            with tempfile.TemporaryDirectory() as scratch:
                wrong = damage(self.folder.fetch(path, Path(scratch)))
            if not wrong:
                return path
            self.post(Notice(line=f"warning: checkpoint {Path(path).name} is damaged ({wrong}): taking the one before"))
        return None

    def report(self, report: Report) -> None:
        """Tell the driver where the run is; raise the collapse alarm."""
        config, shard_plan = self.plan.config, self.plan.shard_plan
        images_per_epoch = shard_plan.steps_per_epoch * config.data.batch_size
        line = progress_line(
            report,
            images=self.plan.images,
            images_per_epoch=images_per_epoch,
            epochs=self.plan.images / images_per_epoch,
        )
        updates_d, updates_g = updates(config.schedule, report.step)
        metrics = report.metrics | {
            "speed/images_per_second": report.images_per_second,
            "speed/data_wait_share": report.data_wait_share,
            "progress/epoch": report.images_seen / images_per_epoch,
            "updates/d": float(updates_d),
            "updates/g": float(updates_g),
            "data/bad_samples": float(len(self.bad_samples)),
        }
        self.post(Notice(line=line, images_seen=report.images_seen, metrics=metrics))
        if alarm := self.alarm.check(report.metrics):
            self.stopping = self.stopping or config.alarm.stop
            self.post(Notice(line=f"warning: {alarm}", images_seen=report.images_seen, metrics={"alarm/collapse": 1.0}))

    def save(self, step: int) -> None:
        """Judge samples and keep a checkpoint; the other ranks wait until it is reported."""
        if not self.first:
            ray.train.report({})
            return
        images_seen = step * self.plan.config.data.batch_size
        assert self.judge is not None
        quality, grid = self.judge(self.players)
        score, best = quality.get(SCORE), self.progress.best_frechet
        self.progress = Progress(
            step=step,
            images_seen=images_seen,
            alarm_count=self.alarm.count,
            best_frechet=min((s for s in (score, best) if s is not None), default=None),
        )
        self.post(Notice(images_seen=images_seen, metrics=quality, files={f"grids/{images_seen:012}.png": grid}))

        draft = self.scratch / "checkpoint"
        save_checkpoint(draft, self.plan.config, self.progress, self.players.state())
        ray.train.report(
            quality | {"images_seen": images_seen},
            checkpoint=ray.train.Checkpoint.from_directory(draft),
            checkpoint_dir_name=new_checkpoint_name(images_seen),
        )
        # Reported is not yet committed: without this a crash now would lose it.
        ray.train.get_all_reported_checkpoints(consistency_mode=ray.train.CheckpointConsistencyMode.COMMITTED)
