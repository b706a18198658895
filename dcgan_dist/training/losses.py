"""Adversarial losses as functions of logits, one value per row."""

import torch.nn.functional as F
from torch import Tensor


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Binary cross-entropy of real against 1 plus that of fake against 0, (b,)."""
    return F.softplus(-real_logits) + F.softplus(fake_logits)  # -log D(x) - log(1 - D(G(z)))


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Non-saturating loss of the generator: fake against 1, (b,)."""
    return F.softplus(-fake_logits)  # -log D(G(z))
