"""What a rank knows of the run so far: all that a checkpoint holds."""

import dataclasses
from pathlib import Path

import torch

from dcgan_dist.config import TrainConfig
from dcgan_dist.runs.async_checkpointer import Log
from dcgan_dist.training.collapse_alarm import CollapseAlarm
from dcgan_dist.training.loop import History
from dcgan_dist.training.players import build_players
from dcgan_dist.training.whole_checkpoint import Progress, load_checkpoint, load_log


class RankState:
    """Networks, progress, log and alarm of a run on one rank."""

    def __init__(self, config: TrainConfig, device: torch.device, world_size: int) -> None:
        """The state at the beginning of the run."""
        self.config, self.device = config, device
        self.players = build_players(config, device=device, world_size=world_size)
        self.progress, self.history = Progress(), History()
        self.log: Log = []
        self.alarm = CollapseAlarm(config.alarm)

    def load(self, checkpoint: Path) -> None:
        """Go on from a checkpoint folder."""
        # To the CPU: loading moves tensors to where they belong, and Adam's step counts belong there.
        _, self.progress, state = load_checkpoint(checkpoint)
        self.players.load_state(state)
        self.log, self.alarm.count = load_log(checkpoint), self.progress.alarm_count

    def begin_again(self) -> None:
        """Go back to the beginning of the run."""
        self.players.load_state(build_players(self.config, device=self.device).state())
        self.progress, self.log, self.alarm.count = Progress(), [], 0

    def images_at(self, step: int) -> int:
        """Real images consumed by so many steps."""
        return step * self.config.data.batch_size

    def progress_at(self, step: int) -> Progress:
        """Progress after so many steps, to be kept in a checkpoint."""
        return dataclasses.replace(
            self.progress,
            step=step,
            images_seen=self.images_at(step),
            alarm_count=self.alarm.count,
            frechet=None,
            pending=dict(self.history.sums),
        )
