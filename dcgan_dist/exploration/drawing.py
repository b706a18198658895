"""Images of chosen z, each drawn as if it were alone."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dcgan_dist.models.generator import Generator
from dcgan_dist.models.latents import draw_labels, draw_latents, seeded

BATCH = 64
MOST_ROUNDING = 1e-3
"""Of a range of 2: other sums of the same numbers in float32 differ by about 1e-6, batch statistics by 0.1 and more."""


@torch.no_grad()
def draw(generator: Generator, z: Tensor, *, label: int = 0, edit: Mapping[str, Tensor] | None = None) -> Tensor:
    """Images of z.

    Args:
        generator: in eval mode, with standing statistics.
        z: (n, latent_dim).
        label: class of all images, where the generator has classes.
        edit: layer name -> factor, as in `Generator.layer_outputs`.

    Returns:
        (n, c, s, s) in [-1, 1] on the CPU, also of a generator whose own range is [0, 1].
    """
    weight = next(generator.parameters())
    factors = {name: factor.to(weight) for name, factor in (edit or {}).items()}
    images = []
    for part in z.to(weight).split(BATCH):
        images.append(
            generator.layer_outputs(part, labels_of(generator, len(part), label), edit=factors)["image"].cpu()
        )
    drawn = torch.cat(images)
    return drawn if generator.config.output == "tanh" else drawn * 2 - 1


def labels_of(generator: Generator, n: int, label: int) -> Tensor | None:
    """The same label n times on the generator's device, None where it has no classes."""
    if not generator.config.classes:
        return None
    return torch.full((n,), label, device=next(generator.parameters()).device)


@torch.no_grad()
def check_images_stand_alone(generator: Generator, *, seed: int = 0) -> None:
    """Make sure that an image does not depend on the images it is computed with.

    Raises:
        ValueError: it does: the network is in train mode, or its standing statistics were never measured.
    """
    config, weight = generator.config, next(generator.parameters())
    words = seeded(seed, "batch mates")
    z = draw_latents(config, 4, words).to(weight)
    labels = draw_labels(config, 4, words)
    labels = None if labels is None else labels.to(weight.device)
    together = generator(z, labels)
    alone = generator(z[:1], None if labels is None else labels[:1])
    worst = (together[:1] - alone).abs().max().item()
    if not worst <= MOST_ROUNDING:  # NaN is no small difference either
        raise ValueError(
            f"an image changes by {worst:g} with the images it is computed with: use eval mode and standing statistics "
            "(models.standing_statistics.restandardise)"
        )
