"""Images of chosen z, each drawn as if it were alone."""

from collections.abc import Mapping

import torch
from torch import Tensor

from dcgan_dist.models.generator import Generator

BATCH = 64


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
