"""The few collectives that training needs, also where there is one process and no group."""

import gc

import torch
import torch.distributed as dist
from torch import Tensor


def leave_group() -> None:
    """End the default process group and its threads; to be called when nothing is needed any more of what used it.

    Wrapped networks lie in reference cycles and hold on to the group, whose threads must end before the interpreter does:
    a thread that lets go of a tensor after that aborts the process.
    """
    gc.collect()
    dist.destroy_process_group()


def gather_ranks(values: Tensor) -> Tensor:
    """This rank's values (k,) to those of all ranks, (ranks, k)."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return values[None]
    gathered = [torch.empty_like(values) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, values)
    return torch.stack(gathered)
