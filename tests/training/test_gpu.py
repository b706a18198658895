"""The same arithmetic on a GPU; run with `pytest -m gpu` on a machine that has one."""

from __future__ import annotations

import os

import pytest
import torch

from dcgan_dist.config import replace
from dcgan_dist.launch.rank import set_arithmetic
from dcgan_dist.models.latents import seeded
from dcgan_dist.presets import preset
from dcgan_dist.training.checkpoint import state_sha256
from dcgan_dist.training.gan import gan_step
from dcgan_dist.training.players import Players, build_players

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
]


def play(device: str, *, steps: int = 5, dtype: str = "float64", deterministic: bool = False) -> Players:
    config = replace(replace(preset("examples64"), "dtype", dtype), "data.batch_size", 8)
    config = replace(config, "deterministic", deterministic)
    if deterministic:
        set_arithmetic(config, ranks_on_node=1)
    players = build_players(config, device=device)
    step = gan_step(config, players, rows=list(range(8)), world_size=1, steps_per_epoch=100)
    for number in range(steps):
        images = torch.randint(256, (8, 3, 64, 64), generator=seeded("images", number), dtype=torch.uint8)
        step(number, (images, None))
    return players


def test_five_steps_on_the_gpu_equal_the_cpu_to_1e_10_in_float64() -> None:
    on_gpu, on_cpu = play("cuda"), play("cpu")

    for a, b in zip(on_gpu.generator.parameters(), on_cpu.generator.parameters(), strict=True):
        torch.testing.assert_close(a.cpu(), b, rtol=0, atol=1e-10)


def test_deterministic_steps_repeat_bit_by_bit() -> None:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        first, second = (play("cuda", steps=20, dtype="float32", deterministic=True) for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)

    assert state_sha256(first.state()) == state_sha256(second.state())
