"""Images of chosen z, each drawn as if it were alone."""

from collections.abc import Mapping

import torch
from torch import Tensor

from dcgan_dist.models.generator import Generator

BATCH = 64


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
    images = activations(generator, z, "image", label=label, edit=edit)
    return images if generator.config.output == "tanh" else images * 2 - 1


@torch.no_grad()
def activations(
    generator: Generator, z: Tensor, layer: str, *, label: int = 0, edit: Mapping[str, Tensor] | None = None
) -> Tensor:
    """A layer's output for each z (after ReLU, of a hidden layer): (n, c, h, w) on the CPU. Arguments as of `draw`."""
    weight = next(generator.parameters())
    factors = {name: factor.to(weight) for name, factor in (edit or {}).items()}
    outputs = []
    for batch in z.to(weight).split(BATCH):
        # A generator without classes takes no labels.
        labels = torch.full((len(batch),), label, device=weight.device) if generator.config.classes else None
        outputs.append(generator.layer_outputs(batch, labels, edit=factors)[layer].cpu())
    return torch.cat(outputs)
