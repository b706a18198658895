"""Adversarial losses as functions of logits, one value per row."""

import torch
import torch.nn.functional as F
from torch import Tensor


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Binary cross-entropy of real against 1 plus that of fake against 0, (b,)."""
    return F.softplus(-real_logits) + F.softplus(fake_logits)  # -log D(x) - log(1 - D(G(z)))


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Non-saturating loss of the generator: fake against 1, (b,)."""
    return F.softplus(-fake_logits)  # -log D(G(z))


def gradient_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Squared L2 norm of the gradient of a discriminator's logits at its images, (b,), to be differentiated again.

    Args:
        logits: (b,).
        images: (b, c, s, s) that require gradients, from which the logits were computed.

    Source: R1 of Mescheder et al. 2018, Which Training Methods for GANs do actually Converge?
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3))
