"""The number of ranks may change at any checkpoint: images, z and losses stay those of the global batch."""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dcgan_dist.bench.ranks import run_ranks
from dcgan_dist.config import DataConfig, TrainConfig
from dcgan_dist.data.stream import stream_batches
from dcgan_dist.models.latents import draw_latents, seeded
from dcgan_dist.presets import preset
from dcgan_dist.runs.plan import RunPlan, plan_run
from dcgan_dist.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from dcgan_dist.training.distributed import gather_ranks
from dcgan_dist.training.gan import gan_step
from dcgan_dist.training.players import build_players
from tests.helpers.jobs import draw_rooms

BATCH = 12


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_rooms(tmp_path_factory.mktemp("elastic"), 64, "--shard-samples", "20")


def plan(shards: str, dtype: str) -> RunPlan:
    base = preset("demo32")
    model = replace(base.model, generator_width=8, discriminator_width=8)
    config: TrainConfig = replace(
        base,
        model=model,
        data=DataConfig(batch_size=BATCH, window=8),
        norm_group="synchronised",
        num_workers="1:3",
        dtype=dtype,
        shards=shards,
    )
    return plan_run(config)


def play(rank: int, world_size: int, shards: str, dtype: str, folder: str, first: int, last: int) -> dict[str, Tensor]:
    """Take steps first to last from the checkpoint of `first`, leave one of `last`."""
    run = plan(shards, dtype)
    players = build_players(run.config, world_size=world_size)
    if first:
        players.load_state(load_checkpoint(Path(folder) / str(first))[2])
    rows = run.shard_plan.rows(rank, world_size).tolist()
    step = gan_step(run.config, players, rows=rows, world_size=world_size, steps_per_epoch=5)
    losses, images = [], []
    with closing(
        stream_batches(run.manifest, run.shard_plan, rank=rank, world_size=world_size, image_size=32, start_step=first)
    ) as batches:
        for number, batch in enumerate(islice(batches, last - first), first):
            # Means over ranks of what DDP averages are those of the global batch.
            seen = step(number, batch)
            losses.append(gather_ranks(torch.stack([seen["loss/d"], seen["loss/g"]])).mean(0))
            mine = torch.zeros(BATCH, 8, dtype=torch.float64)
            digests = [hashlib.sha256(image.numpy().tobytes()).digest()[:8] for image in batch[0]]
            mine[rows] = torch.tensor([list(digest) for digest in digests], dtype=torch.float64)
            images.append(gather_ranks(mine.flatten()).sum(0))
    if rank == 0:
        save_checkpoint(Path(folder) / str(last), run.config, Progress(step=last), players.state())
    return {"losses": torch.stack(losses), "images": torch.stack(images)}


def through(worlds: list[tuple[int, int]], shards: Path, dtype: str, folder: Path) -> dict[str, Tensor]:
    """Curves of a run whose number of ranks changes; worlds are (ranks, last step)."""
    parts, first = [], 0
    for world_size, last in worlds:
        arguments = (str(shards), dtype, str(folder), first, last)
        parts.append(run_ranks(world_size, play, *arguments)[0])
        first = last
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def test_losses_agree_to_1e_9_in_float64_over_20_steps_of_2_1_3_2_ranks(shards: Path, tmp_path: Path) -> None:
    alone = through([(2, 20)], shards, "float64", tmp_path / "straight")

    changing = through([(2, 6), (1, 11), (3, 15), (2, 20)], shards, "float64", tmp_path / "changing")

    torch.testing.assert_close(changing["losses"], alone["losses"], rtol=0, atol=1e-9)
    assert torch.equal(changing["images"], alone["images"]), "the images of some global batch are others"


def test_first_step_after_a_change_agrees_to_1e_5_in_float32(shards: Path, tmp_path: Path) -> None:
    through([(2, 3)], shards, "float32", tmp_path)
    same, fewer = (run_ranks(world, play, str(shards), "float32", str(tmp_path), 3, 4)[0] for world in (2, 1))

    torch.testing.assert_close(fewer["losses"], same["losses"], rtol=0, atol=1e-5)


def test_z_of_a_row_is_the_same_on_any_number_of_ranks(shards: Path) -> None:
    run = plan(str(shards), "float64")
    whole = draw_latents(run.config.model, BATCH, seeded(run.config.seed, "z", 7))

    for world_size in (1, 2, 3, 4):
        rows = [run.shard_plan.rows(rank, world_size) for rank in range(world_size)]
        assert sorted(row for part in rows for row in part.tolist()) == list(range(BATCH))
        again = draw_latents(run.config.model, BATCH, seeded(run.config.seed, "z", 7))
        assert torch.equal(whole, again)
