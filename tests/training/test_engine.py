"""How a step is computed changes its speed, not what it computes."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dcgan_dist.config import EngineConfig, TrainConfig
from dcgan_dist.errors import InputError
from dcgan_dist.models.latents import seeded
from dcgan_dist.presets import preset
from dcgan_dist.training.engine import captured, precision, set_arithmetic, set_learning_rate
from dcgan_dist.training.gan import gan_step
from dcgan_dist.training.players import Players, build_players

ROWS = 8
CPU = torch.device("cpu")


def config(engine: EngineConfig, **changes: object) -> TrainConfig:
    base = preset("demo32")
    return replace(base, data=replace(base.data, batch_size=ROWS), engine=engine, **changes)


def first_losses(c: TrainConfig) -> tuple[Players, dict[str, Tensor]]:
    players = build_players(c)
    step = gan_step(c, players, rows=list(range(ROWS)), world_size=1, steps_per_epoch=10)
    images = torch.randint(256, (ROWS, 3, 32, 32), generator=seeded(1), dtype=torch.uint8)
    return players, step(0, (images, None))


PLAIN = EngineConfig(channels_last=False, fused_optimizer=False)


@pytest.mark.parametrize(
    ("engine", "bound"),
    [
        (EngineConfig(channels_last=True, fused_optimizer=False), 1e-5),
        (EngineConfig(channels_last=False, fused_optimizer=True), 1e-5),
        (EngineConfig(channels_last=False, fused_optimizer=False, joint_batch=True), 1e-5),
        (EngineConfig(unshuffle_images=True), 1e-5),
        (EngineConfig(precision="bfloat16"), 2e-2),
        (EngineConfig(precision="bfloat16", joint_batch=True, unshuffle_images=True), 2e-2),
    ],
    ids=["channels_last", "fused", "joint_batch", "unshuffle_images", "bfloat16", "bfloat16, all"],
)
def test_losses_of_the_first_update_agree_with_plain_float32_within_rounding(
    engine: EngineConfig, bound: float
) -> None:
    _, plain = first_losses(config(PLAIN))
    _, other = first_losses(config(engine))

    assert abs(plain["loss/d"] - other["loss/d"]) <= bound * abs(plain["loss/d"])
    assert abs(plain["gradient_norm/d"] - other["gradient_norm/d"]) <= 10 * bound * plain["gradient_norm/d"]


def test_bfloat16_leaves_parameters_moments_images_logits_and_losses_in_float32() -> None:
    players, seen = first_losses(config(EngineConfig(precision="bfloat16")))
    with torch.no_grad():
        images = players.generator(torch.rand(ROWS, players.generator.config.latent_dim))
        logits = players.discriminator(images)
        inside = players.discriminator.convolutions[1].weight

    assert {value.dtype for value in seen.values()} == {torch.float32}
    assert images.dtype == logits.dtype == inside.dtype == torch.float32
    assert {p.dtype for p in players.generator.parameters()} == {torch.float32}
    assert all(moments["exp_avg"].dtype == torch.float32 for moments in players.optimizer_d.state.values())


def test_bfloat16_really_rounds_what_the_layers_pass_on() -> None:
    players, _ = first_losses(config(EngineConfig(precision="bfloat16")))
    dtypes: set[torch.dtype] = set()
    for convolution in players.discriminator.convolutions:
        convolution.register_forward_hook(lambda module, inputs, output: dtypes.add(output.dtype))

    players.discriminator(torch.zeros(2, 3, 32, 32))

    assert dtypes == {torch.bfloat16}


def test_kernels_lie_with_the_channel_as_the_fastest_axis() -> None:
    players = build_players(config(EngineConfig(channels_last=True)))

    for convolution in (*players.generator.convolutions, *players.discriminator.convolutions):
        weight = convolution.weight
        assert isinstance(weight, Tensor)
        assert weight.is_contiguous(memory_format=torch.channels_last)


def test_a_state_saved_with_one_way_of_computing_goes_on_with_another() -> None:
    saved, _ = first_losses(config(EngineConfig(fused_optimizer=True)))
    players = build_players(config(PLAIN))
    players.load_state(saved.state())

    group = players.optimizer_d.param_groups[0]
    assert not group["fused"]
    for ours, theirs in zip(players.discriminator.parameters(), saved.discriminator.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        assert torch.equal(players.optimizer_d.state[ours]["exp_avg"], saved.optimizer_d.state[theirs]["exp_avg"])


def test_a_rate_that_is_a_tensor_changes_in_place() -> None:
    parameter = torch.zeros(2, requires_grad=True)
    rate = torch.tensor(0.5)
    optimizer = torch.optim.Adam([parameter], lr=rate, capturable=False, foreach=False)

    set_learning_rate(optimizer, 0.25)

    assert rate.item() == 0.25


def test_auto_is_bfloat16_on_a_gpu_and_float32_on_a_cpu_or_in_float64() -> None:
    c = config(EngineConfig())

    assert precision(c, torch.device("cuda")) == "bfloat16"
    assert precision(c, CPU) == "float32"
    assert precision(replace(c, dtype="float64"), torch.device("cuda")) == "float32"
    assert precision(config(EngineConfig(precision="tf32")), CPU) == "float32"


def test_less_precision_than_float64_parameters_is_refused() -> None:
    with pytest.raises(InputError, match=r"`engine\.precision` bfloat16 is less than `dtype` float64"):
        config(EngineConfig(precision="bfloat16"), dtype="float64")


def test_nothing_is_captured_on_a_cpu() -> None:
    def function() -> dict[str, Tensor]:
        return {}

    assert captured(function, config(EngineConfig(cuda_graph=True)), CPU) is function


def test_determinism_is_set_per_process() -> None:
    try:
        set_arithmetic(config(EngineConfig(), deterministic=True), CPU)
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.benchmark
    finally:
        set_arithmetic(config(EngineConfig()), CPU)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.slow
@pytest.mark.parametrize("more", [False, True], ids=["alone", "joint_batch, unshuffle_images"])
def test_compiled_networks_take_the_same_first_update(more: bool) -> None:
    _, plain = first_losses(config(PLAIN))
    _, compiled = first_losses(config(EngineConfig(compile=True, joint_batch=more, unshuffle_images=more)))

    torch.testing.assert_close(compiled["loss/d"], plain["loss/d"], rtol=1e-5, atol=0)
