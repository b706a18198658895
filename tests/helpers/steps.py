"""Steps of a run, taken without a cluster."""

from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from dcgan_dist.data.stream import Batch
from dcgan_dist.runs.plan import RunPlan, run_batches
from dcgan_dist.training.distributed import gather_ranks
from dcgan_dist.training.gan import gan_step
from dcgan_dist.training.players import Players, build_players
from dcgan_dist.training.whole_checkpoint import Progress, load_checkpoint


def take_steps(
    rank: int,
    world_size: int,
    plan: RunPlan,
    checkpoint: str,
    steps: int,
    on_batch: Callable[[Batch], object] = lambda batch: None,
) -> tuple[Players, Tensor]:
    """Take the steps of a run that follow a checkpoint ("": the first ones), without a cluster.

    Returns:
        The players after the last step, and (steps, 2) float64 losses of D and G over the global batch.
    """
    players = build_players(plan.config, world_size=world_size)
    progress = Progress()
    if checkpoint:
        _, progress, state = load_checkpoint(Path(checkpoint))
        players.load_state(state)
    rows, per_epoch = plan.shard_plan.rows(rank, world_size).tolist(), plan.shard_plan.steps_per_epoch
    step = gan_step(plan.config, players, rows=rows, world_size=world_size, steps_per_epoch=per_epoch)
    losses = []
    stream = run_batches(plan, rank=rank, world_size=world_size, start_step=progress.step)
    with closing(stream) as batches:
        for number, batch in enumerate(islice(batches, steps), progress.step):
            on_batch(batch)
            scalars = step(number, batch)
            # Means over ranks of what DDP averages are those of the global batch.
            losses.append(gather_ranks(torch.stack([scalars["loss/d"], scalars["loss/g"]]).double()).mean(0))
    return players, torch.stack(losses)


def take_losses(rank: int, world_size: int, plan: RunPlan, checkpoint: str, steps: int) -> Tensor:
    """The losses of `take_steps`, for `run_ranks`."""
    return take_steps(rank, world_size, plan, checkpoint, steps)[1]
