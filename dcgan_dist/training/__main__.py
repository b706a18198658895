"""Train without a cluster, on a machine that has torch alone.

    torchrun --nproc-per-node 2 -m dcgan_dist.training --images rooms.pt --preset demo32 --epochs 2 --out run

Reads a file that `torch.save` wrote: uint8 images (n, c, s, s). The order of the data is a seeded permutation per epoch;
shards, tracking and restarts belong to `jobs/train_lsun.py`. The same command again goes on from the last checkpoint.
"""

import argparse
import dataclasses
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from dcgan_dist.config import TrainConfig, replace
from dcgan_dist.errors import InputError, require
from dcgan_dist.presets import preset
from dcgan_dist.training.distributed import gather_ranks, leave_group
from dcgan_dist.training.engine import precision, set_arithmetic
from dcgan_dist.training.gan import gan_step
from dcgan_dist.training.in_memory_order import batch_positions
from dcgan_dist.training.loop import Intervals, Report, train
from dcgan_dist.training.players import build_players
from dcgan_dist.training.whole_checkpoint import Progress, damage, load_checkpoint, save_checkpoint, state_sha256


def batches(images: Tensor, config: TrainConfig, rows: list[int], first_step: int) -> Iterator[tuple[Tensor, None]]:
    """Yield this rank's rows of every batch from a step on, without end."""
    for batch in batch_positions(len(images), config.data.batch_size, seed=config.seed, first_step=first_step):
        yield images[batch[rows]], None


def main(argv: list[str]) -> int:
    """Train and print the hash of the result."""
    parser = argparse.ArgumentParser(prog="dcgan_dist.training", description=__doc__)
    parser.add_argument("--images", required=True, help="file of uint8 images (n, c, s, s), written by torch.save")
    parser.add_argument("--preset", default="demo32", help="an unconditional preset")
    parser.add_argument("--epochs", type=int, default=1, help="passes over the images")
    parser.add_argument("--seed", type=int, default=0, help="seed of initialisation, order and z")
    parser.add_argument("--out", required=True, help="folder of the checkpoint")
    arguments = parser.parse_args(argv)

    config = dataclasses.replace(preset(arguments.preset), seed=arguments.seed, epochs=arguments.epochs)
    images = torch.load(arguments.images, weights_only=True)
    shape = (config.model.image_channels, config.model.image_size, config.model.image_size)
    size = config.data.batch_size
    require(config.model.classes == 0, f"preset {config.preset} needs labels: use jobs/train_mnist.py")
    require(images.dtype == torch.uint8 and images.shape[1:] == shape, f"{arguments.images} is not uint8 (n, *{shape})")
    require(len(images) >= size, f"{arguments.images} has {len(images)} images: fewer than a batch of {size}")

    rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    device = torch.device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu")
    set_arithmetic(config, device)
    if world_size > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    train_rank(config, images, Path(arguments.out), device, rank, world_size)
    if world_size > 1:
        leave_group()
    return 0


def train_rank(
    config: TrainConfig, images: Tensor, folder: Path, device: torch.device, rank: int, world_size: int
) -> None:
    """Train this rank's rows to the end of the last epoch, from the newest whole checkpoint of the folder."""
    size = config.data.batch_size
    steps_per_epoch = len(images) // size
    whole = sorted(path for path in folder.glob("checkpoint_*") if damage(path) is None)
    before, progress, state = load_checkpoint(whole[-1]) if whole else (config, Progress(), None)
    # Computed on as it was begun, wherever it goes on.
    computed = before.engine.precision if before.engine.precision != "auto" else precision(config, device)
    config, before = (replace(one, "engine.precision", computed) for one in (config, before))
    require(
        dataclasses.replace(before, epochs=config.epochs) == config,
        f"{folder} holds a run with another preset or seed: give those, or another --out",
    )
    rows = list(range(rank, size, world_size))
    players = build_players(config, device=device, world_size=world_size)
    if state is not None:
        players.load_state(state)

    def show(report: Report) -> None:
        if rank == 0:
            means = ", ".join(f"{name} {value:.3f}" for name, value in sorted(report.metrics.items()))
            print(f"{report.images_seen:,} images, {report.images_per_second:,.0f} images/s, {means}", flush=True)

    def save(step: int) -> None:
        if rank == 0:
            older = list(folder.glob("checkpoint_*"))
            progress = Progress(step=step, images_seen=step * size)
            save_checkpoint(folder / f"checkpoint_{progress.images_seen:012}", config, progress, players.state())
            for path in older:  # only now that the new one is whole
                shutil.rmtree(path)

    last = config.epochs * steps_per_epoch
    intervals = Intervals(first=progress.step, last=last, report=10, save=steps_per_epoch)
    step = gan_step(config, players, rows=rows, world_size=world_size, steps_per_epoch=steps_per_epoch)
    stream = batches(images, config, rows, progress.step)
    train(step, stream, intervals, batch_size=size, synchronise=gather_ranks, report=show, save=save)
    if rank == 0:
        print(f"sha256 {state_sha256(players.state())}")
    if world_size > 1:
        dist.barrier()  # a rank that leaves while another still talks to it aborts that one


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
