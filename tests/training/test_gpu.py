"""The same arithmetic on a GPU; run with `pytest -m gpu` on a machine that has one."""

from __future__ import annotations

import dataclasses
import os

import pytest
import torch
import torch.distributed as dist

from dcgan_dist.config import EngineConfig, replace
from dcgan_dist.models.latents import seeded
from dcgan_dist.presets import preset
from dcgan_dist.runs.rank import set_up_process
from dcgan_dist.training.checkpoint import state_sha256
from dcgan_dist.training.distributed import leave_group
from dcgan_dist.training.engine import WARM_UP
from dcgan_dist.training.gan import gan_step
from dcgan_dist.training.players import Players, build_players

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
]


def play(
    device: str,
    *,
    steps: int = 5,
    dtype: str = "float64",
    deterministic: bool = False,
    engine: EngineConfig | None = None,
) -> Players:
    config = replace(replace(preset("examples64"), "dtype", dtype), "data.batch_size", 8)
    config = dataclasses.replace(config, engine=engine or config.engine)
    config = replace(config, "deterministic", deterministic)
    if deterministic:
        set_up_process(config, torch.device(device), ranks_on_node=1)
    players = build_players(config, device=device)
    step = gan_step(config, players, rows=list(range(8)), world_size=1, steps_per_epoch=100)
    for number in range(steps):
        images = torch.randint(256, (8, 3, 64, 64), generator=seeded("images", number), dtype=torch.uint8)
        step(number, (images, None))
    return players


@pytest.mark.parametrize(
    "engine",
    [
        EngineConfig(),
        EngineConfig(joint_batch=True),
        EngineConfig(unshuffle_images=True),
        EngineConfig(joint_batch=True, unshuffle_images=True, cuda_graph=True),
        EngineConfig(joint_batch=True, unshuffle_images=True, compile=True, cuda_graph=True),
    ],
    ids=["default", "joint_batch", "unshuffle_images", "captured", "compiled"],
)
def test_steps_on_the_gpu_equal_the_cpu_to_1e_10_in_float64(engine: EngineConfig) -> None:
    steps = WARM_UP + 2 if engine.cuda_graph else 5
    on_gpu, on_cpu = play("cuda", steps=steps, engine=engine), play("cpu", steps=steps)

    for a, b in zip(on_gpu.generator.parameters(), on_cpu.generator.parameters(), strict=True):
        torch.testing.assert_close(a.cpu(), b, rtol=0, atol=1e-10)


def test_deterministic_steps_repeat_bit_by_bit() -> None:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        first, second = (play("cuda", steps=20, dtype="float32", deterministic=True) for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)

    assert state_sha256(first.state()) == state_sha256(second.state())


def play_many(engine: EngineConfig, steps: int, *, deterministic: bool = False) -> tuple[Players, list[float]]:
    config = replace(replace(preset("examples64"), "data.batch_size", 16), "deterministic", deterministic)
    config = dataclasses.replace(config, engine=engine)
    set_up_process(config, torch.device("cuda"), ranks_on_node=1)
    players = build_players(config, device="cuda")
    step = gan_step(config, players, rows=list(range(16)), world_size=1, steps_per_epoch=100)
    losses = []
    for number in range(steps):
        images = torch.randint(256, (16, 3, 64, 64), generator=seeded("images", number), dtype=torch.uint8)
        losses.append(step(number, (images, None))["loss/d"])
    return players, [float(loss) for loss in losses]


def test_a_captured_step_repeats_the_plain_one_bit_by_bit() -> None:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        plain, captured = (
            play_many(EngineConfig(precision="float32", cuda_graph=graph), 2 * WARM_UP, deterministic=True)[0]
            for graph in (False, True)
        )
    finally:
        torch.use_deterministic_algorithms(False)

    for a, b in zip(plain.generator.parameters(), captured.generator.parameters(), strict=True):
        assert torch.equal(a, b)


def test_first_losses_in_bfloat16_stay_within_two_per_cent_of_float32() -> None:
    _, exact = play_many(EngineConfig(precision="float32", cuda_graph=False), 1)
    _, rounded = play_many(EngineConfig(precision="bfloat16"), 1)

    assert abs(exact[0] - rounded[0]) <= 2e-2 * abs(exact[0])


def test_a_captured_step_never_waits_for_the_gpu() -> None:
    config = replace(replace(preset("examples64"), "data.batch_size", 16), "engine.cuda_graph", True)
    players = build_players(config, device="cuda")
    step = gan_step(config, players, rows=list(range(16)), world_size=1, steps_per_epoch=100)
    images = torch.randint(256, (16, 3, 64, 64), dtype=torch.uint8).cuda()
    for number in range(WARM_UP + 2):
        step(number, (images, None))
    try:
        torch.cuda.set_sync_debug_mode("error")
        for number in range(WARM_UP + 2, WARM_UP + 12):
            step(number, (images, None))
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_gradients_averaged_by_nccl_are_captured_too() -> None:
    def play_wrapped() -> dict[str, torch.Tensor]:
        config = replace(replace(preset("examples64"), "data.batch_size", 16), "engine.cuda_graph", True)
        players = build_players(config, device="cuda", world_size=2)  # wraps the networks; the group has one rank
        step = gan_step(config, players, rows=list(range(16)), world_size=1, steps_per_epoch=100)
        for number in range(WARM_UP + 4):
            images = torch.randint(256, (16, 3, 64, 64), generator=seeded("images", number), dtype=torch.uint8)
            step(number, (images, None))
        return step(WARM_UP + 4, (images, None))

    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1)
    try:
        seen = play_wrapped()
    finally:
        leave_group()

    assert all(bool(value.isfinite()) for value in seen.values())
