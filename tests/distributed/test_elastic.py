"""The number of ranks may change at any checkpoint: images, z and losses stay those of the global batch."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dcgan_dist.bench.ranks import run_ranks
from dcgan_dist.config import AUGMENTATIONS, AugmentConfig, DataConfig
from dcgan_dist.data.stream import Batch
from dcgan_dist.presets import preset
from dcgan_dist.runs.plan import RunPlan, plan_run
from dcgan_dist.training.distributed import gather_ranks
from dcgan_dist.training.whole_checkpoint import Progress, save_checkpoint
from tests.helpers.jobs import draw_rooms
from tests.helpers.steps import take_losses, take_steps

BATCH = 12


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_rooms(tmp_path_factory.mktemp("elastic"), 64, "--shard-samples", "20")


def plan(shards: Path, dtype: str) -> RunPlan:
    base = preset("demo32")
    config = replace(
        base,
        model=replace(base.model, generator_width=8, discriminator_width=8),
        data=DataConfig(batch_size=BATCH, window=8),
        norm_group="synchronised",
        augment=AugmentConfig(flip=True, policy=AUGMENTATIONS),
        r1=1.0,
        num_workers="1:3",
        dtype=dtype,
        shards=str(shards),
    )
    return plan_run(config)


def play(rank: int, world_size: int, run: RunPlan, folder: str, first: int, last: int) -> dict[str, Tensor]:
    """Take steps first to last from the checkpoint of `first`, leave one of `last`."""
    rows, images = run.shard_plan.rows(rank, world_size), []

    def note_images(batch: Batch) -> None:
        digests = torch.zeros(BATCH, 8, dtype=torch.float64)
        hashes = [hashlib.sha256(image.numpy().tobytes()).digest()[:8] for image in batch[0]]
        digests[rows] = torch.tensor([list(digest) for digest in hashes], dtype=torch.float64)
        images.append(gather_ranks(digests.flatten()).sum(0))

    checkpoint = f"{folder}/{first}" if first else ""
    players, losses = take_steps(rank, world_size, run, checkpoint, last - first, note_images)
    if rank == 0:
        save_checkpoint(Path(folder) / str(last), run.config, Progress(step=last), players.state())
    return {"losses": losses, "images": torch.stack(images)}


def through(worlds: list[tuple[int, int]], run: RunPlan, folder: Path) -> dict[str, Tensor]:
    """Curves of a run whose number of ranks changes; worlds are (ranks, last step)."""
    curves, first = [], 0
    for world_size, last in worlds:
        curves.append(run_ranks(world_size, play, run, str(folder), first, last)[0])
        first = last
    return {name: torch.cat([curve[name] for curve in curves]) for name in curves[0]}


def test_losses_agree_to_1e_9_in_float64_over_20_steps_of_2_1_3_2_ranks(shards: Path, tmp_path: Path) -> None:
    run = plan(shards, "float64")
    alone = through([(2, 20)], run, tmp_path / "straight")

    changing = through([(2, 6), (1, 11), (3, 15), (2, 20)], run, tmp_path / "changing")

    torch.testing.assert_close(changing["losses"], alone["losses"], rtol=0, atol=1e-9)
    assert torch.equal(changing["images"], alone["images"]), "the images of some global batch are others"


def test_first_step_after_a_change_agrees_to_1e_5_in_float32(shards: Path, tmp_path: Path) -> None:
    run = plan(shards, "float32")
    through([(2, 3)], run, tmp_path)
    same, fewer = (run_ranks(world_size, take_losses, run, str(tmp_path / "3"), 1)[0] for world_size in (2, 1))

    torch.testing.assert_close(fewer, same, rtol=0, atol=1e-5)
