"""The same arithmetic on a GPU; run with `pytest -m gpu` on a machine that has one."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from dcgan_dist.config import EngineConfig, replace
from dcgan_dist.models.latents import seeded
from dcgan_dist.presets import preset
from dcgan_dist.runs.rank import set_up_process
from dcgan_dist.training.distributed import leave_group
from dcgan_dist.training.engine import WARM_UP
from dcgan_dist.training.gan import gan_step
from dcgan_dist.training.players import Players, build_players
from dcgan_dist.training.whole_checkpoint import state_sha256

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
]

ROWS = 16


@pytest.fixture(autouse=True)
def arithmetic_as_before() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)


def build(
    device: str = "cuda", *, world_size: int = 1, engine: EngineConfig | None = None, **changes: Any
) -> tuple[Players, Callable[..., dict[str, Tensor]]]:
    """Players of examples64 on a device, and the step that moves them."""
    config = replace(preset("examples64"), "data.batch_size", ROWS)
    config = dataclasses.replace(config, engine=engine or config.engine, **changes)
    set_up_process(config, torch.device(device), ranks_on_node=1)
    players = build_players(config, device=device, world_size=world_size)
    return players, gan_step(config, players, rows=list(range(ROWS)), world_size=1, steps_per_epoch=100)


def images(number: int) -> Tensor:
    return torch.randint(256, (ROWS, 3, 64, 64), generator=seeded("images", number), dtype=torch.uint8)


def play(steps: int, *places: str, **changes: Any) -> tuple[Players, list[dict[str, Tensor]]]:
    """Players after some steps, and the scalars of each step."""
    players, step = build(*places, **changes)
    return players, [step(number, (images(number), None)) for number in range(steps)]


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
    on_gpu, on_cpu = (play(steps, device, engine=engine, dtype="float64")[0] for device in ("cuda", "cpu"))

    for a, b in zip(on_gpu.generator.parameters(), on_cpu.generator.parameters(), strict=True):
        torch.testing.assert_close(a.cpu(), b, rtol=0, atol=1e-10)


def test_deterministic_steps_repeat_bit_by_bit() -> None:
    first, second = (play(20, deterministic=True)[0] for _ in range(2))

    assert state_sha256(first.state()) == state_sha256(second.state())


def test_a_captured_step_repeats_the_plain_one_bit_by_bit() -> None:
    engines = [EngineConfig(precision="float32", cuda_graph=graph) for graph in (False, True)]
    plain, captured = (play(2 * WARM_UP, engine=engine, deterministic=True)[0] for engine in engines)

    for a, b in zip(plain.generator.parameters(), captured.generator.parameters(), strict=True):
        assert torch.equal(a, b)


def test_first_losses_in_bfloat16_stay_within_two_per_cent_of_float32() -> None:
    _, (exact,) = play(1, engine=EngineConfig(precision="float32", cuda_graph=False))
    _, (rounded,) = play(1, engine=EngineConfig(precision="bfloat16"))

    assert abs(exact["loss/d"] - rounded["loss/d"]) <= 2e-2 * abs(exact["loss/d"])


def test_a_captured_step_never_waits_for_the_gpu() -> None:
    _, step = build(engine=EngineConfig(cuda_graph=True))
    batch = (images(0).cuda(), None)
    for number in range(WARM_UP + 2):
        step(number, batch)
    try:
        torch.cuda.set_sync_debug_mode("error")
        for number in range(WARM_UP + 2, WARM_UP + 12):
            step(number, batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_gradients_averaged_by_nccl_are_captured_too() -> None:
    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1)
    try:
        # A world size of 2 wraps the networks; the group has one rank. No reference to them may outlive the group.
        scalars = play(WARM_UP + 5, engine=EngineConfig(cuda_graph=True), world_size=2)[1][-1]
    finally:
        leave_group()

    assert all(bool(value.isfinite()) for value in scalars.values())
