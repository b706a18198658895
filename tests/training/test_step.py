"""The adversarial step against the same arithmetic written out plainly."""

from dataclasses import replace
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dcgan_dist.config import EngineConfig, TrainConfig
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.generator import Generator
from dcgan_dist.models.latents import draw_latents, seeded
from dcgan_dist.presets import preset
from dcgan_dist.training.players import Players, build_players
from dcgan_dist.training.schedule import phases
from dcgan_dist.training.step import adversarial_step
from dcgan_dist.training.whole_checkpoint import state_sha256

ROWS = 4


def config(name: str = "examples64", **changes: object) -> TrainConfig:
    base = preset(name)
    return replace(base, data=replace(base.data, batch_size=ROWS), **changes)


def batch(c: TrainConfig, step: int) -> tuple[Tensor, Tensor]:
    size = c.model.image_size
    real = torch.rand(ROWS, 3, size, size, generator=seeded(7, step)) * 2 - 1
    dtype = getattr(torch, c.dtype)
    return real.to(dtype), draw_latents(c.model, ROWS, seeded(8, step)).to(dtype)


def play(c: TrainConfig, steps: int) -> Players:
    players = build_players(c)
    for step in range(steps):
        update_d, update_g = phases(c.schedule, step)
        adversarial_step(players, *batch(c, step), row_weight=1 / ROWS, update_d=update_d, update_g=update_g)
    return players


def plain_networks() -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator of the PyTorch examples, layer by layer; the latter without its sigmoid."""
    up: list[nn.Module] = [nn.Unflatten(1, (100, 1, 1)), nn.ConvTranspose2d(100, 512, 4, 1, 0, bias=False)]
    for m, n in ((512, 256), (256, 128), (128, 64), (64, 3)):
        up += [nn.BatchNorm2d(m), nn.ReLU(), nn.ConvTranspose2d(m, n, 4, 2, 1, bias=False)]
    down: list[nn.Module] = [nn.Conv2d(3, 64, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for m, n in ((64, 128), (128, 256), (256, 512)):
        down += [nn.Conv2d(m, n, 4, 2, 1, bias=False), nn.BatchNorm2d(n), nn.LeakyReLU(0.2)]
    return nn.Sequential(*up, nn.Tanh()), nn.Sequential(*down, nn.Conv2d(512, 1, 4, 1, 0, bias=False), nn.Flatten(0))


def in_order(network: Generator | Discriminator) -> list[nn.Parameter]:
    """Our parameters in the order of the plain networks: each layer's weight, then its normalisation."""
    modules: list[nn.Module] = []
    if isinstance(network, Generator):
        modules += [network.projection, network.projection_norm]
    for i, conv in enumerate(network.convolutions):
        modules += [conv, *list(network.convolution_norm)[i : i + 1]]
    if isinstance(network, Discriminator):
        modules += [network.logit]
    return [p for module in modules for p in module.parameters()]


def to_plain(parameter: Tensor, plain: Tensor) -> Tensor:
    """A parameter in the shape of the plain one: a dense layer is a convolution over the whole map."""
    if plain.shape[0] == 100:  # (512 * 16, 100) -> (100, 512, 4, 4)
        parameter = parameter.T
    return parameter.reshape(plain.shape)  # of D: (1, 512 * 16) -> (1, 512, 4, 4)


def gradients(network: nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in network.parameters() if p.grad is not None]


def plain_step(generator: nn.Module, discriminator: nn.Module, adam_g, adam_d, real: Tensor, z: Tensor) -> tuple:
    """Both networks on one minibatch, in the order of the PyTorch examples."""
    ones, zeros = torch.ones(ROWS, dtype=real.dtype), torch.zeros(ROWS, dtype=real.dtype)
    fake = generator(z)
    discriminator.zero_grad()
    d_loss = F.binary_cross_entropy_with_logits(discriminator(real), ones)
    d_loss.backward()
    d_fake = F.binary_cross_entropy_with_logits(discriminator(fake.detach()), zeros)
    d_fake.backward()
    gradients_d = gradients(discriminator)
    adam_d.step()
    generator.zero_grad()
    g_loss = F.binary_cross_entropy_with_logits(discriminator(fake), ones)
    g_loss.backward()
    gradients_g = gradients(generator)
    adam_g.step()
    return (d_loss + d_fake).detach(), g_loss.detach(), gradients_d, gradients_g


def plain_players(c: TrainConfig) -> tuple[nn.Module, nn.Module, torch.optim.Adam, torch.optim.Adam]:
    players, (plain_g, plain_d) = build_players(c), plain_networks()
    for source, target in ((players.generator, plain_g), (players.discriminator, plain_d)):
        target.to(getattr(torch, c.dtype))
        with torch.no_grad():
            for parameter, plain in zip(in_order(source), target.parameters(), strict=True):
                plain.copy_(to_plain(parameter, plain))
    adams = [torch.optim.Adam(n.parameters(), lr=2e-4, betas=(0.5, 0.999)) for n in (plain_g, plain_d)]
    return plain_g, plain_d, adams[0], adams[1]


@cache
def after_five_plain_steps() -> tuple[nn.Module, nn.Module]:
    c = config(dtype="float64")
    plain_g, plain_d, adam_g, adam_d = plain_players(c)
    for step in range(5):
        plain_step(plain_g, plain_d, adam_g, adam_d, *batch(c, step))
    return plain_g, plain_d


@pytest.mark.parametrize(
    "engine",
    [EngineConfig(), EngineConfig(joint_batch=True), EngineConfig(unshuffle_images=True)],
    ids=["default", "joint_batch", "unshuffle_images"],
)
def test_five_steps_of_examples64_equal_the_examples_loop_to_1e_10_in_float64(engine: EngineConfig) -> None:
    players = play(config(dtype="float64", engine=engine), 5)

    for network, plain in zip((players.generator, players.discriminator), after_five_plain_steps(), strict=True):
        for a, b in zip(in_order(network), plain.parameters(), strict=True):
            torch.testing.assert_close(to_plain(a, b), b, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("dtype", "d_moves", "loss_tolerance", "gradient_tolerance"),
    # In float32 D stays where it is: Adam's first step would blow rounding up to the size of the learning rate, and G's
    # loss and gradients would differ by the kernels of a processor. A ReLU whose input rounds to the other side of 0 is
    # what is left.
    [("float64", True, 1e-12, 1e-9), ("float32", False, 1e-5, 1e-2)],
    ids=["float64", "float32"],
)
def test_losses_and_gradients_of_the_first_step_equal_the_examples_loop(
    dtype: str, d_moves: bool, loss_tolerance: float, gradient_tolerance: float
) -> None:
    c = config(dtype=dtype)
    plain_g, plain_d, adam_g, adam_d = plain_players(c)
    players = build_players(c)
    for group in [] if d_moves else [*adam_d.param_groups, *players.optimizer_d.param_groups]:
        group["lr"] = 0.0
    d_loss, g_loss, gradients_d, gradients_g = plain_step(plain_g, plain_d, adam_g, adam_d, *batch(c, 0))
    used: list[list[Tensor]] = []
    for optimizer, network in ((players.optimizer_d, players.discriminator), (players.optimizer_g, players.generator)):
        parameters = in_order(network)
        optimizer.register_step_pre_hook(lambda *_, ps=parameters: used.append([p.grad.clone() for p in ps]))

    result = adversarial_step(players, *batch(c, 0), row_weight=1 / ROWS)

    assert result.d_loss is not None
    assert result.g_loss is not None
    torch.testing.assert_close(result.d_loss, d_loss, rtol=0, atol=loss_tolerance)
    torch.testing.assert_close(result.g_loss, g_loss, rtol=0, atol=loss_tolerance)
    for gradients_used, expected in zip(used, (gradients_d, gradients_g), strict=True):
        for a, b in zip(gradients_used, expected, strict=True):
            assert (to_plain(a, b) - b).norm() <= gradient_tolerance * b.norm()


def test_labels_of_a_joint_batch_go_with_their_images() -> None:
    labels = torch.arange(ROWS) % 10
    moved = []
    for joint in (False, True):
        c = config("mnist28", dtype="float64", engine=EngineConfig(joint_batch=joint))
        players = build_players(c)
        real = torch.rand(ROWS, 1, 28, 28, generator=seeded(7), dtype=torch.float64)
        z = draw_latents(c.model, ROWS, seeded(8)).double()
        adversarial_step(players, real, z, labels, row_weight=1 / ROWS)
        moved.append(players)

    for a, b in zip(moved[0].discriminator.parameters(), moved[1].discriminator.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_generator_moves_in_even_and_discriminator_in_odd_steps_of_alternate() -> None:
    c = config("demo32", schedule="alternate")
    players = build_players(c)
    networks = {"generator": players.generator, "discriminator": players.discriminator}
    before = {name: state_sha256({name: network.state_dict()}) for name, network in networks.items()}

    adversarial_step(players, *batch(c, 0), row_weight=1 / ROWS, update_d=False)
    moved = [state_sha256({name: network.state_dict()}) != before[name] for name, network in networks.items()]

    assert phases("alternate", 0) == (False, True)
    assert phases("alternate", 1) == (True, False)
    assert moved == [True, False]


def test_discriminator_has_no_gradient_after_a_step_and_stays_trainable() -> None:
    c = config("demo32")
    players = build_players(c)

    adversarial_step(players, *batch(c, 0), row_weight=1 / ROWS)

    assert all(p.grad is None and p.requires_grad for p in players.discriminator.parameters())


def test_l2_is_added_to_the_gradient_of_all_parameters() -> None:
    c = config("svhn32", dtype="float64")
    without = replace(c, optimizer_d=replace(c.optimizer_d, weight_decay=0.0))
    plain = build_players(without)
    decay = c.optimizer_d.weight_decay
    parameters = list(plain.discriminator.parameters())

    def add_decay(*_: object) -> None:
        for p in parameters:
            assert p.grad is not None
            p.grad.add_(p.detach(), alpha=decay)

    plain.optimizer_d.register_step_pre_hook(add_decay)
    adversarial_step(plain, *batch(without, 0), row_weight=1 / ROWS, update_g=False)

    players = build_players(c)
    adversarial_step(players, *batch(c, 0), row_weight=1 / ROWS, update_g=False)

    for a, b in zip(players.discriminator.parameters(), parameters, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-14)


def test_averaged_generator_keeps_the_stated_share_of_itself() -> None:
    c = config("demo32", ema_half_life_images=ROWS)
    players = build_players(c)
    assert isinstance(players.generator_ema, Generator)
    assert isinstance(players.discriminator, Discriminator)
    before = [p.clone() for p in players.generator_ema.parameters()]

    adversarial_step(players, *batch(c, 0), row_weight=1 / ROWS)
    players.update_ema(0.5)

    for old, average, new in zip(
        before, players.generator_ema.parameters(), players.generator.parameters(), strict=True
    ):
        torch.testing.assert_close(average, (old + new) / 2)
