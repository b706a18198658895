"""Batch normalisation statistics for use outside training, so that an image does not depend on its batch mates."""

from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn

from dcgan_dist.models.generator import Generator
from dcgan_dist.models.latents import draw_labels, draw_latents, seeded
from dcgan_dist.models.layers import BatchNorm

Network = TypeVar("Network", bound=nn.Module)


def restandardise(network: Network, batches: Iterable[tuple[Tensor | None, ...]]) -> Network:
    """Measure standing statistics over batches, store them in the network and set it to eval mode.

    Mean over the batches of each batch's mean and biased variance, as the authors do for their features.

    Args:
        network: a Generator or Discriminator; its buffers are overwritten.
        batches: the arguments of each forward pass, for example (z, labels) or (images, labels); all of one size, as a
            smaller one would count as much as the others. About 100 are enough.

    Returns:
        The same network, in eval mode.

    Raises:
        ValueError: there was no batch.
    """
    sums: dict[BatchNorm, tuple[Tensor, Tensor]] = {}

    def add(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        assert isinstance(norm, BatchNorm)
        # What training would store: sums in float64 on CPUs, in one walk, not in a float64 copy of the map.
        mean, variance = (statistic.double() for statistic in torch.batch_norm_update_stats(inputs[0], None, None, 0.0))
        if norm in sums:
            mean, variance = mean + sums[norm][0], variance + sums[norm][1]
        sums[norm] = mean, variance

    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    hooks = [norm.register_forward_pre_hook(add) for norm in norms]
    network.train()
    count = 0
    try:
        with torch.no_grad():
            for arguments in batches:
                network(*arguments)
                count += 1
    finally:
        for hook in hooks:
            hook.remove()
    if not count:
        raise ValueError("standing statistics need at least one batch")
    for norm, (mean, variance) in sums.items():
        norm.mean.copy_(mean / count)
        norm.variance.copy_(variance / count)
    return network.eval()


def has_standing_statistics(network: nn.Module) -> bool:
    """Whether every batch normalisation of the network has been measured."""
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    return not any(torch.isnan(norm.mean).any() or torch.isnan(norm.variance).any() for norm in norms)


MOST_ROUNDING = 1e-3
"""Largest difference that rounding explains: float32 sums in another order differ by 1e-6, batch statistics by 0.1."""


@torch.no_grad()
def check_images_stand_alone(generator: Generator, *, seed: int = 0) -> None:
    """Make sure that an image does not depend on the images it is computed with.

    Raises:
        ValueError: it does: the network is in train mode, or its standing statistics were never measured.
    """
    config, weight = generator.config, next(generator.parameters())
    draw = seeded(seed, "batch mates")
    z = draw_latents(config, 4, draw).to(weight)
    labels = draw_labels(config, 4, draw)
    labels = None if labels is None else labels.to(weight.device)
    together = generator(z, labels)
    alone = generator(z[:1], None if labels is None else labels[:1])
    worst = (together[:1] - alone).abs().max().item()
    if not worst <= MOST_ROUNDING:  # NaN is no small difference either
        raise ValueError(
            f"an image changes by {worst:g} with the images it is computed with: use eval mode and standing statistics "
            "(models.standing_statistics.restandardise)"
        )
