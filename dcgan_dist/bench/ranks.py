"""Run a function on several gloo ranks in processes of this machine."""

import multiprocessing
import os
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing

from dcgan_dist.training.distributed import leave_group


def _enter(rank: int, world_size: int, function: Callable[..., Any], folder: str, arguments: tuple[Any, ...]) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", world_size)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world_size, timeout=timedelta(seconds=60))
    try:
        torch.save(function(rank, world_size, *arguments), f"{folder}/{rank}.pt")
    finally:
        leave_group()


def run_ranks(world_size: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Results of function(rank, world_size, *arguments) in the order of ranks, each rank with one thread.

    The function stands at module level, as it is sent to new processes, and returns tensors and plain containers. The
    first exception that one raises is raised here.
    """
    multiprocessing.set_forkserver_preload(["torch._dynamo", "dcgan_dist.training.gan"])  # imported once for all ranks
    with tempfile.TemporaryDirectory() as folder:
        started = (world_size, function, folder, arguments)
        torch.multiprocessing.start_processes(_enter, started, nprocs=world_size, start_method="forkserver")
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(world_size)]
