"""Checkpoints from a rank's side: which one to go on from, when to go back, when to save."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import ray
import ray.train.collective
import torch

from dcgan_dist.runs.async_checkpointer import SCORE, AsyncCheckpointer
from dcgan_dist.runs.checkpoint_store import CheckpointStore
from dcgan_dist.runs.driver_link import DriverLink
from dcgan_dist.runs.events import CheckpointBegun, Failed, Heartbeat, Preempted, RanksStarted, RankWarning, RolledBack
from dcgan_dist.runs.hanging_ranks import Watchdog
from dcgan_dist.runs.plan import RunPlan
from dcgan_dist.runs.rank_state import RankState
from dcgan_dist.runs.sample_evaluator import SampleEvaluator
from dcgan_dist.storage.run_folder import RunFolder
from dcgan_dist.training.distributed import gather_ranks
from dcgan_dist.training.loop import NonFiniteError


class RankCheckpoints:
    """Rank 0 finds, evaluates and writes checkpoints; all ranks load the same one."""

    def __init__(self, plan: RunPlan, state: RankState, link: DriverLink, watchdog: Watchdog, scratch: Path) -> None:
        self.plan, self.state, self.link, self.watchdog, self.scratch = plan, state, link, watchdog, scratch
        self.store = CheckpointStore(RunFolder(plan.config.storage, plan.name))
        self.writer: AsyncCheckpointer | None = None
        """On rank 0 alone."""
        if link.first:
            evaluator = SampleEvaluator(plan, state.device)
            self.writer = AsyncCheckpointer(
                plan.rank_config, self.store, evaluator, link.send, scratch, scheduled=self._scheduled
            )

    @property
    def stalled_seconds(self) -> float:
        """Seconds that training stood still for checkpoints."""
        return self.writer.stalled if self.writer else 0.0

    @property
    def measuring(self) -> bool:
        """Whether quality is measured beside the training now."""
        return self.writer is not None and self.writer.evaluator.measuring

    def resume(self) -> None:
        """Load the newest whole checkpoint; without one the state stays that of the beginning."""
        if self.link.first:
            self.store.remove_drafts()
        path = self._load_newest(lambda images_seen: True)
        name = Path(path).name if path else ""
        self.link.send(RanksStarted(images_seen=self.state.progress.images_seen, nodes=self._nodes(), checkpoint=name))

    def roll_back(self, error: NonFiniteError) -> str:
        """Go back to the last checkpoint of the schedule; returns why not, where that is not to be done.

        The run's own schedule alone decides where to, so that a run which was also interrupted goes back to the same step.
        """
        config, rollbacks = self.plan.config, self.state.progress.rollbacks + 1
        if config.on_non_finite != "rollback":
            return f"{error}; `on_non_finite=rollback` would go back and on with fresh draws"
        if rollbacks > config.max_rollbacks:
            return f"{error}; the run went back {config.max_rollbacks} times already (max_rollbacks)"
        with self.watchdog.paused():
            if self.writer:
                self.writer.wait(self._beat)
            if not self._load_newest(self._scheduled):
                self.state.begin_again()
            if self.writer:  # they lead to the same loss, and what comes now would count as older
                self.store.remove_after(self.state.progress.images_seen)
            self.state.progress = dataclasses.replace(self.state.progress, rollbacks=rollbacks)
        images_seen = self.state.progress.images_seen
        reason = (
            f"{error}: back to {images_seen:,} images and on with fresh draws "
            f"({rollbacks} of at most {config.max_rollbacks} times)"
        )
        self.link.send(RolledBack(images_seen=images_seen, reason=reason))
        return ""

    def save(self, step: int) -> None:
        """Begin to keep a checkpoint; where the ranks are about to leave, the next start measures its quality."""
        writer = self.writer
        if writer is None:
            return
        progress = self.state.progress_at(step)
        scheduled = self.plan.intervals.saves(step)

        def cancel_if_leaving() -> None:
            # The last checkpoint is always evaluated: nothing would be left for a next start to do.
            if step < self.plan.intervals.last and (self.link.leaving or not scheduled):
                writer.cancel_evaluation()

        def while_waiting() -> None:
            self._beat()
            cancel_if_leaving()

        self.link.send(CheckpointBegun(images_seen=progress.images_seen))
        cancel_if_leaving()
        measured = self.plan.measurements.measures(step, self.plan.intervals)
        with self.watchdog.paused():
            writer.save(
                *(self.state.players, progress, self.state.log),
                drawn=scheduled,
                measured=measured,
                while_waiting=while_waiting,
            )

    def finish(self) -> None:
        """Wait for the last checkpoint, and report why the ranks leave."""
        if self.writer is None:
            return
        with self.watchdog.paused():
            self.writer.wait(self._beat)  # a driver that hears nothing would leave without the last checkpoint
        if self.writer.refusal:
            remedy = "mend the storage; the same command goes on from the checkpoint before"
            self.link.send(Failed(reason=f"{self.writer.refusal}: {remedy}"))
        if self.link.preemption:
            self.link.send(Preempted(reason=self.link.preemption))

    def _beat(self) -> None:
        self.link.send(Heartbeat(images_seen=self.state.progress.images_seen))

    def _scheduled(self, images_seen: int) -> bool:
        return self.plan.intervals.saves(images_seen // self.plan.config.data.batch_size)

    def _measured(self, images_seen: int) -> bool:
        steps = images_seen // self.plan.config.data.batch_size
        return self.plan.measurements.measures(steps, self.plan.intervals)

    def _load_newest(self, wanted: Callable[[int], bool]) -> str | None:
        """Load the newest whole checkpoint that is wanted; returns its path, None if there is none."""

        def warn(path: str, damage: str) -> None:
            message = f"checkpoint {Path(path).name} is damaged ({damage}): taking the one before"
            self.link.send(RankWarning(message=message))

        path = self.store.newest_whole(wanted=wanted, on_damage=warn) if self.link.first else None
        path = ray.train.collective.broadcast_from_rank_zero(path)
        if path:
            self.state.load(self.store.folder.fetch(path, self.scratch))
            self._evaluate_what_was_cancelled()
        return path

    def _evaluate_what_was_cancelled(self) -> None:
        """Measure the quality that a checkpoint lacks because the ranks had to leave."""
        if self.writer is None:
            return
        log = self.state.log
        unmeasured = {
            line["images_seen"]: lines
            for lines, line in enumerate(log, 1)
            if self._measured(line["images_seen"]) and SCORE not in line["metrics"]
        }
        for images_seen, lines in unmeasured.items():
            if path := self.store.newest_whole(wanted=lambda there, wanted=images_seen: there == wanted):
                self.writer.evaluate_again(path, log[:lines])

    def _nodes(self) -> tuple[str, ...]:
        """Id of the node of every rank."""
        mine = list(bytes.fromhex(ray.get_runtime_context().get_node_id()))
        gathered = gather_ranks(torch.tensor(mine, dtype=torch.float64, device=self.state.device))
        return tuple(bytes(int(byte) for byte in node).hex() for node in gathered.tolist())
