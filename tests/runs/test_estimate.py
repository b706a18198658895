"""Costs before a run against figures known by other means."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from dcgan_dist.config import replace
from dcgan_dist.models.flops import step_flops_per_image
from dcgan_dist.presets import PRESETS, preset
from dcgan_dist.runs.estimate import checkpoint_bytes, rank_memory
from dcgan_dist.training.players import build_players
from dcgan_dist.training.step import adversarial_step


def test_lsun64_takes_14_gflop_per_image_and_step() -> None:
    assert step_flops_per_image(preset("lsun64")) == pytest.approx(14.02e9, rel=0.02)


def test_estimated_arithmetic_is_what_a_real_step_does() -> None:
    config = preset("demo32")
    players = build_players(config)
    real, z = torch.rand(8, 3, 32, 32), torch.rand(8, 100)
    with FlopCounterMode(display=False) as counter:
        adversarial_step(players, real, z, row_weight=1 / 8)

    # The first layer of D needs no gradient of its real images, nor G's of z: the estimate counts them.
    assert step_flops_per_image(config) == pytest.approx(counter.get_total_flops() / 8, rel=0.1)


def test_alternating_halves_the_arithmetic_of_an_image() -> None:
    both, alternate = (step_flops_per_image(replace(preset("lsun64"), "schedule", s)) for s in ("both", "alternate"))

    assert 0.45 < alternate / both < 0.6


def test_checkpoint_holds_weights_and_two_moments() -> None:
    parameters = 18_885_760 + 17_232_768

    assert checkpoint_bytes(preset("lsun64")) == 3 * 4 * parameters


@pytest.mark.parametrize("name", PRESETS)
def test_memory_of_a_rank_holds_at_least_weights_gradients_and_moments(name: str) -> None:
    assert rank_memory(preset(name)) > checkpoint_bytes(preset(name)) * 4 / 3
