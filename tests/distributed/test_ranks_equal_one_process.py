"""Several gloo ranks with synchronised normalisation take the steps of one process."""

from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import Tensor

from dcgan_dist.bench.ranks import run_ranks
from dcgan_dist.config import TrainConfig
from dcgan_dist.models.latents import seeded
from dcgan_dist.presets import preset
from dcgan_dist.training.gan import gan_step
from dcgan_dist.training.players import build_players

BATCH = 12
EQUAL_ROWS = [list(range(6)), list(range(6, 12))]
UNEQUAL_ROWS = [[0, 1, 2, 3, 4, 5, 6], [7, 8, 9], [10, 11]]


def config(name: str, dtype: str, norm_group: Literal["rank", "synchronised"]) -> TrainConfig:
    base = preset(name)
    model = replace(base.model, generator_width=16, discriminator_width=16)
    return replace(base, model=model, norm_group=norm_group, dtype=dtype, data=replace(base.data, batch_size=BATCH))


def images(c: TrainConfig, step: int) -> tuple[Tensor, Tensor | None]:
    draw = seeded(5, step)
    shape = (BATCH, c.model.image_channels, c.model.image_size, c.model.image_size)
    labels = torch.randint(c.model.classes, (BATCH,), generator=draw) if c.model.classes else None
    return torch.randint(256, shape, generator=draw, dtype=torch.uint8), labels


def play(
    rank: int,
    world_size: int,
    name: str,
    dtype: str,
    steps: int,
    rows: list[list[int]],
    norm_group: Literal["rank", "synchronised"] = "synchronised",
    faster: bool = False,
) -> dict[str, Tensor]:
    """Parameters after some steps, and losses; `faster`: with joint batches and unshuffled images."""
    c = config(name, dtype, norm_group)
    c = replace(c, engine=replace(c.engine, joint_batch=faster, unshuffle_images=faster))
    players = build_players(c, world_size=world_size)
    step = gan_step(c, players, rows=rows[rank], world_size=world_size, steps_per_epoch=100)
    rank_rows = torch.tensor(rows[rank])
    losses = []
    for number in range(steps):
        batch, labels = images(c, number)
        scalars = step(number, (batch[rank_rows], None if labels is None else labels[rank_rows]))
        losses.append(torch.stack([scalars["loss/d"], scalars["loss/g"]]) if c.schedule == "both" else torch.zeros(2))
    parameters = {f"g.{k}": v.detach() for k, v in players.generator.named_parameters()}
    parameters |= {f"d.{k}": v.detach() for k, v in players.discriminator.named_parameters()}
    return parameters | {"losses": torch.stack(losses)}


@pytest.mark.parametrize(
    ("name", "rows", "faster"),
    [
        ("examples64", EQUAL_ROWS, False),
        ("demo32", UNEQUAL_ROWS, False),
        ("demo32", UNEQUAL_ROWS, True),
        ("mnist28", EQUAL_ROWS, False),
    ],
    ids=["2 ranks", "3 unequal ranks", "3 unequal ranks, faster", "2 ranks with labels, alternating"],
)
def test_five_steps_equal_one_process_to_1e_10_in_float64(name: str, rows: list[list[int]], faster: bool) -> None:
    alone = play(0, 1, name, "float64", 5, [list(range(BATCH))])

    together = run_ranks(len(rows), play, name, "float64", 5, rows, "synchronised", faster)

    for ranks in together:
        for key, expected in alone.items():
            if key != "losses":
                torch.testing.assert_close(ranks[key], expected, rtol=0, atol=1e-10)
    mean_losses = torch.stack([ranks["losses"] for ranks in together]).mean(0)
    torch.testing.assert_close(mean_losses, alone["losses"], rtol=0, atol=1e-10)


def test_losses_of_the_first_step_equal_one_process_to_1e_5_in_float32() -> None:
    alone = play(0, 1, "demo32", "float32", 1, [list(range(BATCH))])

    together = run_ranks(3, play, "demo32", "float32", 1, UNEQUAL_ROWS)

    mean_losses = torch.stack([ranks["losses"] for ranks in together]).mean(0)
    torch.testing.assert_close(mean_losses, alone["losses"], rtol=0, atol=1e-5)


def test_ranks_keep_equal_parameters_with_their_own_statistics() -> None:
    first, second = run_ranks(2, play, "demo32", "float32", 3, EQUAL_ROWS, "rank")

    for key, value in first.items():
        if key != "losses":
            assert torch.equal(value, second[key]), key
