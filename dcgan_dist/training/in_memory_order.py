"""The order of images that lie in memory: a seeded permutation per epoch, beginning at any step."""

from collections.abc import Iterator

import torch
from torch import Tensor

from dcgan_dist.models.latents import seeded


def batch_positions(samples: int, batch_size: int, *, seed: int, first_step: int = 0) -> Iterator[Tensor]:
    """Positions of every global batch from a step on, without end.

    Each epoch leaves out the samples % batch_size last ones of its own permutation.

    Args:
        samples: images there are, at least batch_size.
        batch_size: rows of a batch.
        seed: decides all permutations.
        first_step: number of the first batch, counted from the start of the run.

    Yields:
        (batch_size,) int64.
    """
    steps_per_epoch = samples // batch_size
    step = first_step
    while True:
        epoch, number = divmod(step, steps_per_epoch)
        order = torch.randperm(samples, generator=seeded(seed, "order", epoch))
        for batch in order[number * batch_size : steps_per_epoch * batch_size].split(batch_size):
            yield batch
            step += 1
