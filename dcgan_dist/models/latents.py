"""Seeded draws of z and of labels, the same on every device, in every precision and on any number of ranks."""

import hashlib

import torch
from torch import Tensor

from dcgan_dist.config import ModelConfig


def seeded(*parts: int | str) -> torch.Generator:
    """A CPU generator that is a function of its arguments, for example of (seed, "z", step)."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def draw_latents(config: ModelConfig, count: int, generator: torch.Generator) -> Tensor:
    """z from the prior: (count, latent_dim) float32, uniform(-1, 1) or N(0, 1), on the CPU."""
    shape = (count, config.latent_dim)
    if config.latent_distribution == "uniform":
        return torch.rand(shape, generator=generator) * 2 - 1
    return torch.randn(shape, generator=generator)


def draw_labels(config: ModelConfig, count: int, generator: torch.Generator) -> Tensor | None:
    """Uniform labels: (count,) int64 on the CPU, None where the model has no classes."""
    if not config.classes:
        return None
    return torch.randint(config.classes, (count,), generator=generator)


def prior_batches(
    config: ModelConfig, *, batches: int, batch_size: int, seed: int, device: torch.device | str, dtype: torch.dtype
) -> list[tuple[Tensor, Tensor | None]]:
    """Arguments of the generator's forward drawn from the prior, for its standing statistics."""
    generator = seeded(seed, "prior")
    arguments = []
    for _ in range(batches):
        z, labels = draw_latents(config, batch_size, generator), draw_labels(config, batch_size, generator)
        arguments.append((z.to(device, dtype), None if labels is None else labels.to(device)))
    return arguments
