"""Augmentation and the gradient penalty against the same written out plainly, image by image."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dcgan_dist.config import AUGMENTATIONS, AugmentConfig, DataConfig
from dcgan_dist.errors import InputError
from dcgan_dist.models.latents import seeded
from dcgan_dist.presets import preset
from dcgan_dist.training.augment import (
    CUT_X,
    CUT_Y,
    REAL,
    SHIFT_X,
    SHIFT_Y,
    augmented,
    change_colour,
    cut_out,
    draw_augmentation,
    flipped,
    translate,
)
from dcgan_dist.training.losses import gradient_penalty
from dcgan_dist.training.players import build_players
from dcgan_dist.training.step import adversarial_step

SIDE = 32
EVERYTHING = AugmentConfig(flip=True, policy=AUGMENTATIONS)
CONFIG = replace(preset("demo32"), augment=EVERYTHING, data=DataConfig(batch_size=16))


@pytest.fixture
def images() -> Tensor:
    return torch.rand(16, 3, SIDE, SIDE, generator=seeded(1)) * 2 - 1


@pytest.fixture
def all_draws() -> Tensor:
    draws = draw_augmentation(CONFIG, 5)
    assert draws is not None
    return draws


@pytest.fixture
def draws(all_draws: Tensor) -> Tensor:
    return all_draws[:, 1]


def test_draws_are_a_function_of_seed_and_step_and_differ_between_uses(all_draws: Tensor) -> None:
    again, other_step = draw_augmentation(CONFIG, 5), draw_augmentation(CONFIG, 6)

    assert again is not None
    assert other_step is not None
    assert torch.equal(all_draws, again)
    assert not torch.equal(all_draws, other_step)
    assert not torch.equal(all_draws[:, 0], all_draws[:, 1])
    assert 0 <= all_draws.min() < all_draws.max() < 1
    assert draw_augmentation(preset("demo32"), 5) is None


def test_about_half_of_the_images_are_mirrored(images: Tensor, draws: Tensor) -> None:
    result = flipped(images, draws)

    mirrored = [torch.equal(new, old.flip(2)) for new, old in zip(result, images, strict=True)]
    as_they_were = [torch.equal(new, old) for new, old in zip(result, images, strict=True)]
    assert all(a != b for a, b in zip(mirrored, as_they_were, strict=True))
    assert 3 <= sum(mirrored) <= 13


def test_each_image_is_shifted_by_its_own_draws_and_nothing_wraps_around(images: Tensor, draws: Tensor) -> None:
    result = translate(images, draws)

    for new, old, draw in zip(result, images, draws, strict=True):
        down, right = (int(draw[i] * 9) - 4 for i in (SHIFT_Y, SHIFT_X))  # new[y, x] = old[y + down, x + right]
        expected = torch.zeros_like(old)
        for y in range(max(0, -down), min(SIDE, SIDE - down)):
            for x in range(max(0, -right), min(SIDE, SIDE - right)):
                expected[:, y, x] = old[:, y + down, x + right]
        assert torch.equal(new, expected)


def test_a_square_of_half_the_side_is_cut_out_around_its_centre(images: Tensor, draws: Tensor) -> None:
    result = cut_out(images, draws)

    for new, old, draw in zip(result, images, draws, strict=True):
        top, left = (int(draw[i] * (SIDE + 1)) - SIDE // 4 for i in (CUT_Y, CUT_X))
        expected = old.clone()
        expected[:, max(0, top) : top + SIDE // 2, max(0, left) : left + SIDE // 2] = 0
        assert torch.equal(new, expected)


def test_colours_stay_where_the_draws_are_neutral(images: Tensor) -> None:
    torch.testing.assert_close(change_colour(images, torch.full((16, 8), 0.5)), images)


def test_images_between_0_and_1_are_changed_as_those_between_minus_1_and_1(images: Tensor, all_draws: Tensor) -> None:
    draws = all_draws
    between_0_and_1 = augmented((images + 1) / 2, REAL, draws=draws, config=EVERYTHING, output="sigmoid")
    others = augmented(images, REAL, draws=draws, config=EVERYTHING, output="tanh")

    torch.testing.assert_close(between_0_and_1 * 2 - 1, others)
    assert torch.equal(
        augmented(images, REAL, draws=draws, config=AugmentConfig(flip=True), output="tanh"),
        flipped(images, draws[:, REAL]),
    )


@pytest.mark.parametrize("change", [change_colour, translate, cut_out])
def test_gradients_flow_through_every_change(
    images: Tensor, draws: Tensor, change: Callable[[Tensor, Tensor], Tensor]
) -> None:
    small, few = images[:2, :, :8, :8].double().requires_grad_(), draws[:2].double()

    assert torch.autograd.gradcheck(lambda x: change(x, few), small)


def test_a_change_named_twice_is_refused() -> None:
    with pytest.raises(InputError, match=r"augment\.policy"):
        AugmentConfig(policy=("cutout", "cutout"))


def test_the_penalty_is_that_of_finite_differences() -> None:
    def logits(x: Tensor) -> Tensor:
        return x.flatten(1).pow(3).sum(1) + x[:, 0, 0, 0] * x[:, 0, 1, 1]

    images = torch.rand(2, 1, 2, 2, generator=seeded(2), dtype=torch.float64).requires_grad_()
    penalty = gradient_penalty(logits(images), images)

    step = 1e-6
    for image, value in zip(images.detach(), penalty, strict=True):
        slopes = [
            (logits((image + step * unit)[None]) - logits((image - step * unit)[None])) / (2 * step)
            for unit in torch.eye(4, dtype=torch.float64).view(4, 1, 2, 2)
        ]
        assert value.item() == pytest.approx(torch.cat(slopes).square().sum().item(), rel=1e-6)


def test_d_moves_by_loss_and_penalty_as_plain_autograd_has_it() -> None:
    base = preset("demo32")
    config = replace(base, dtype="float64", model=replace(base.model, generator_width=8, discriminator_width=8))
    shape = (4, 3, 32, 32)
    real, z = (torch.rand(s, generator=seeded(4), dtype=torch.float64) for s in (shape, (4, 100)))
    players, plain = build_players(config), build_players(config)

    result = adversarial_step(players, real, z, row_weight=1 / 4, update_g=False, r1=10.0)

    real.requires_grad_()
    logits, fake_logits = plain.discriminator(real), plain.discriminator(plain.generator(z).detach())
    (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    ones, zeros = torch.ones(4, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
    loss = torch.nn.BCEWithLogitsLoss()
    d_loss = loss(logits, ones) + loss(fake_logits, zeros) + 5 * gradient.flatten(1).square().sum(1).mean()
    d_loss.backward()
    plain.optimizer_d.step()

    assert result.d_loss is not None
    torch.testing.assert_close(result.d_loss, d_loss.detach(), rtol=1e-12, atol=0)
    for ours, theirs in zip(players.discriminator.parameters(), plain.discriminator.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
