"""The adversarial step."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dcgan_dist.training.augment import FAKE_FOR_D, FAKE_FOR_G, REAL
from dcgan_dist.training.losses import discriminator_loss, generator_loss, gradient_penalty
from dcgan_dist.training.players import Players


@dataclass(frozen=True, kw_only=True, slots=True)
class StepResult:
    """Samples, logits and losses of one step, detached and still on the device; None where that player did not move."""

    fake: Tensor
    """(b, c, s, s), made before the update."""
    real_logits: Tensor | None = None
    fake_logits: Tensor | None = None
    """(b,), of the discriminator before its update."""
    d_loss: Tensor | None = None
    g_loss: Tensor | None = None
    """Scalars: this rank's share, whose mean over ranks is the mean over the global batch."""
    gradient_norm_d: Tensor | None = None
    gradient_norm_g: Tensor | None = None
    """L2 norms over all parameters, of the gradient that the optimiser used."""


def adversarial_step(
    players: Players,
    real: Tensor,
    z: Tensor,
    labels: Tensor | None = None,
    *,
    row_weight: float,
    update_d: bool = True,
    update_g: bool = True,
    r1: float = 0.0,
    augment: Callable[[Tensor, int], Tensor] = lambda images, use: images,
) -> StepResult:
    """Update the discriminator, then the generator on the same z.

    Args:
        players: both networks and their optimisers.
        real: (b, c, s, s) in the range of the generator's output.
        z: (b, latent_dim).
        labels: (b,) of the real images, used for the fakes too; None if the networks are unconditional.
        row_weight: what one row counts in the loss: 1 / b alone; world_size / global batch where gradients are averaged
            over ranks, which may hold unequal rows.
        update_d: whether the discriminator moves in this step.
        update_g: whether the generator moves in this step.
        r1: weight of D's squared gradient at real images, half of which is added to its loss.
        augment: (images, REAL, FAKE_FOR_D or FAKE_FOR_G) -> what D is shown of them.

    Returns:
        Losses, logits and gradient norms.
    """
    measured: dict[str, Tensor] = {}
    with torch.set_grad_enabled(update_g):
        generator = players.ddp_generator if update_g else players.generator
        fake = generator(z, labels)

    if update_d:
        # Real and fake are normalised apart, yet share one backward pass and one all-reduce.
        shown = augment(real, REAL).detach().requires_grad_(r1 > 0)
        real_logits, fake_logits = players.ddp_real_and_fake(shown, augment(fake.detach(), FAKE_FOR_D), labels)
        d_loss = row_weight * discriminator_loss(real_logits, fake_logits).sum()
        if r1:
            d_loss = d_loss + row_weight * r1 / 2 * gradient_penalty(real_logits, shown).sum()
        d_loss.backward()
        measured["gradient_norm_d"] = gradient_norm(players.discriminator)
        players.optimizer_d.step()
        players.optimizer_d.zero_grad()
        measured |= {"d_loss": d_loss, "real_logits": real_logits, "fake_logits": fake_logits}

    if update_g:
        # Frozen and unwrapped: no gradient of the discriminator is computed, none is all-reduced.
        players.discriminator.requires_grad_(False)
        g_loss = row_weight * generator_loss(players.discriminator(augment(fake, FAKE_FOR_G), labels)).sum()
        g_loss.backward()
        players.discriminator.requires_grad_(True)
        measured["gradient_norm_g"] = gradient_norm(players.generator)
        players.optimizer_g.step()
        players.optimizer_g.zero_grad()
        measured |= {"g_loss": g_loss}

    return StepResult(fake=fake.detach(), **{name: value.detach() for name, value in measured.items()})


def gradient_norm(network: nn.Module) -> Tensor:
    """L2 norm over the gradients of all parameters, a scalar."""
    return torch.nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
