"""One rank's side of a run: where it resumes, what it reports, when it saves, why it stops."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.collective
import torch
from ray.actor import ActorHandle
from torch import Tensor

from dcgan_dist.data.shards.index_table import BadSample
from dcgan_dist.runs.async_checkpointer import SCORE, AsyncCheckpointer, Log
from dcgan_dist.runs.checkpoint_store import CheckpointStore
from dcgan_dist.runs.events import RankEvent
from dcgan_dist.runs.plan import RunPlan
from dcgan_dist.runs.progress_line import progress_line
from dcgan_dist.runs.sample_evaluator import SampleEvaluator
from dcgan_dist.runs.watchdog import Watchdog
from dcgan_dist.storage.run_folder import RunFolder, this_machine
from dcgan_dist.training.alarm import CollapseAlarm
from dcgan_dist.training.checkpoint import Progress, load_checkpoint, load_log
from dcgan_dist.training.distributed import gather_ranks
from dcgan_dist.training.loop import History, NonFiniteError, Report
from dcgan_dist.training.players import Players, build_players
from dcgan_dist.training.schedule import updates

Step = Callable[[int, Any], Mapping[str, Tensor]]


class RankCallbacks:
    """The callables that the training loop gets on one rank: rank 0 speaks and writes, the others keep step."""

    def __init__(self, plan: RunPlan, players: Players, folder: RunFolder, board: ActorHandle, scratch: Path) -> None:
        self.plan, self.players, self.folder, self.board, self.scratch = plan, players, folder, board, scratch
        self.first = ray.train.get_context().get_world_rank() == 0
        self.device = next(players.generator.parameters()).device
        self.progress, self.history = Progress(), History()
        self.log: Log = []
        self.alarm = CollapseAlarm(plan.config.alarm)
        self.reported_bad_samples: set[int] = set()
        self.stopping, self.leaving = False, ""
        self.store = CheckpointStore(folder)
        self.checkpointer = (
            AsyncCheckpointer(plan.config, self.store, SampleEvaluator(plan, self.device), self.post, scratch)
            if self.first
            else None
        )
        self.began = time.monotonic()
        self.watch = Watchdog(plan.config.hang_seconds, self._say_hung)
        self.watch.peers = self._peers()

    def close(self) -> None:
        """Stop watching."""
        self.watch.close()

    def post(self, notice: RankEvent) -> None:
        """Tell the driver something, and learn whether it wants the run to stop."""
        if self.first:
            self.stopping = bool(ray.get(self.board.post.remote(notice))) or self.stopping

    def tell_bad_sample(self, bad: BadSample) -> None:
        """Tell the driver, who counts those of all ranks, of a sample that was replaced."""
        if bad.position not in self.reported_bad_samples:
            self.reported_bad_samples.add(bad.position)
            self.board.post.remote(RankEvent(bad_sample=bad))

    def resume(self) -> None:
        """Load the newest checkpoint that is whole; all ranks take the one that rank 0 found."""
        if self.first:
            self.store.remove_drafts()
        chosen = self._load_newest(lambda seen: True)
        nodes, seen = self._nodes(), self.progress.images_seen
        line = f"{len(nodes)} ranks: goes on from {Path(chosen).name} at {seen:,} images" if chosen else ""
        self.post(RankEvent(line=line, images_seen=seen, started=nodes))

    def roll_back(self, error: NonFiniteError) -> str:
        """Go back to the last checkpoint of the schedule; returns why not, where that is not to be done.

        The run's own schedule alone decides where to, so that a run which was also interrupted goes back to the same step.
        """
        config, rollbacks = self.plan.config, self.progress.rollbacks + 1
        if config.on_non_finite != "rollback":
            return f"{error}; `on_non_finite=rollback` would go back and on with fresh draws"
        if rollbacks > config.max_rollbacks:
            return f"{error}; the run went back {config.max_rollbacks} times already (max_rollbacks)"
        with self.watch.paused():
            if self.checkpointer:
                self.checkpointer.wait()
            batch = config.data.batch_size
            if not self._load_newest(lambda seen: self.plan.intervals.saves(seen // batch)):
                self.players.load_state(build_players(config, device=self.device).state())
                self.progress, self.log, self.alarm.count = Progress(), [], 0
            self.progress = dataclasses.replace(self.progress, rollbacks=rollbacks)
        back = f"warning: {error}: back to {self.progress.images_seen:,} images and on with fresh draws"
        line = f"{back} ({rollbacks} of at most {config.max_rollbacks} times)"
        self.post(RankEvent(line=line, images_seen=self.progress.images_seen, rolled_back=True))
        return ""

    def _load_newest(self, wanted: Callable[[int], bool]) -> str | None:
        """Load the newest whole checkpoint that is wanted; returns its path, None if there is none."""

        def say(path: str, wrong: str) -> None:
            self.post(
                RankEvent(line=f"warning: checkpoint {Path(path).name} is damaged ({wrong}): taking the one before")
            )

        chosen = self.store.newest_whole(wanted=wanted, on_damage=say) if self.first else None
        chosen = ray.train.collective.broadcast_from_rank_zero(chosen)
        if chosen:
            local = self.folder.fetch(chosen, self.scratch)
            # To the CPU: loading moves tensors to where they belong, and Adam's step counts belong there.
            _, self.progress, state = load_checkpoint(local)
            self.players.load_state(state)
            self.log, self.alarm.count = load_log(local), self.progress.alarm_count
            self._judge_what_was_hurried()
        return chosen

    def _judge_what_was_hurried(self) -> None:
        """Measure the quality that a checkpoint of the schedule lacks because the ranks had to leave."""
        config = self.plan.config
        if self.checkpointer is None or not config.quality.samples:
            return
        unjudged = {
            line["images_seen"]: lines
            for lines, line in enumerate(self.log, 1)
            if self.plan.intervals.saves(line["images_seen"] // config.data.batch_size) and SCORE not in line["metrics"]
        }
        for seen, lines in unjudged.items():
            if path := self.store.newest_whole(wanted=lambda there, seen=seen: there == seen):
                self.checkpointer.evaluate_again(path, self.log[:lines])

    def watched(self, step: Step) -> Step:
        """The step, with a sign of life before each."""

        def beat_and_step(number: int, batch: Any) -> Mapping[str, Tensor]:
            self.watch.beat()
            return step(number, batch)

        return beat_and_step

    def stop(self, done: int) -> bool:
        """Whether the driver wants the ranks to stop, or their nodes are about to be taken away."""
        self.post(RankEvent(beat=True, images_seen=done * self.plan.config.data.batch_size))
        if (notice := ray.train.get_preemption_info()) and not self.leaving:
            self.leaving = f"nodes of ranks {notice.preempted_ranks} are about to be taken away"
        return self.stopping or bool(self.leaving)

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
            "speed/checkpoint_stall_share": self.checkpointer.stalled / (time.monotonic() - self.began)
            if self.checkpointer
            else 0.0,
            "progress/epoch": report.images_seen / images_per_epoch,
            "updates/d": float(updates_d),
            "updates/g": float(updates_g),
        }
        self.log.append({"images_seen": report.images_seen, "metrics": dict(report.metrics)})
        self.post(RankEvent(line=line, images_seen=report.images_seen, metrics=metrics))
        if alarm := self.alarm.check(report.metrics):
            self.post(
                RankEvent(
                    line=f"warning: {alarm}",
                    images_seen=report.images_seen,
                    metrics={"alarm/collapse": 1.0},
                    failure=f"stopped by the {alarm}" if config.alarm.stop else "",
                )
            )
            self.stopping = self.stopping or config.alarm.stop

    def save(self, step: int) -> None:
        """Begin to keep a checkpoint; where the ranks are about to leave, measuring quality is left to the next start."""
        checkpointer = self.checkpointer
        if checkpointer is None:
            return
        progress = Progress(
            step=step,
            images_seen=step * self.plan.config.data.batch_size,
            alarm_count=self.alarm.count,
            rollbacks=self.progress.rollbacks,
            pending=dict(self.history.sums),
        )
        judged = self.plan.intervals.saves(step)

        def cancel_if_leaving() -> None:
            # The last checkpoint is not hurried: nothing would be left for a next start to do.
            if step < self.plan.intervals.last and (self.stopping or self.leaving or not judged):
                checkpointer.cancel_evaluation()

        def hear() -> None:
            self.post(RankEvent(beat=True, images_seen=progress.images_seen))
            cancel_if_leaving()

        self.post(RankEvent(images_seen=progress.images_seen, checkpoint="begun"))
        cancel_if_leaving()
        with self.watch.paused():
            checkpointer.save(self.players, progress, self.log, judged=judged, meanwhile=hear)

    def finish(self) -> None:
        """Wait for the last checkpoint, and say why the ranks leave."""
        with self.watch.paused():
            if self.checkpointer is None:
                return
            self.checkpointer.wait()
        if self.checkpointer.refusal:
            remedy = "mend the storage; the same command goes on from the checkpoint before"
            self.post(RankEvent(failure=f"{self.checkpointer.refusal}: {remedy}"))
        if self.leaving:
            self.post(RankEvent(leaving=self.leaving))

    def _nodes(self) -> tuple[str, ...]:
        """Id of the node of every rank."""
        mine = list(bytes.fromhex(ray.get_runtime_context().get_node_id()))
        gathered = gather_ranks(torch.tensor(mine, dtype=torch.float64, device=self.device))
        return tuple(bytes(int(byte) for byte in node).hex() for node in gathered.tolist())

    def _peers(self) -> list[tuple[int, int]]:
        """Process id and stack file of the ranks on this machine, by rank; (0, 0) for the others."""
        machine = int(hashlib.sha256(this_machine().encode()).hexdigest()[:12], 16)
        mine = torch.tensor([machine, *self.watch.me], dtype=torch.float64, device=self.device)
        return [(int(pid), int(fd)) if there == machine else (0, 0) for there, pid, fd in gather_ranks(mine).tolist()]

    def _say_hung(self, silent: float, stacks: dict[str, str]) -> None:
        """Save stacks and tell the driver; this process ends right after it."""
        rank = ray.train.get_context().get_world_rank()
        name = f"stacks/{time.strftime('%Y%m%d-%H%M%S')}-rank{rank}.txt"
        line = f"warning: rank {rank} took no step for {silent:.0f} s: ranks are started again"
        self.board.post.remote(RankEvent(line=f"{line}, stacks in {name}"))
        text = "".join(f"rank {number}\n{stack}\n" for number, stack in stacks.items())
        self.folder.write_bytes(name, text.encode())
