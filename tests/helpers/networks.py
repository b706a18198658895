"""Narrow networks of a preset's shape, with drawn weights and standing statistics: ready to draw images and to be registered."""

import dataclasses
import itertools
from typing import Any

import torch
from torch import Tensor, nn

from dcgan_dist.config import ClassifierConfig
from dcgan_dist.models.classifier import Classifier
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.generator import Generator
from dcgan_dist.models.latents import prior_batches, seeded
from dcgan_dist.models.layers import initialise
from dcgan_dist.models.standing_statistics import restandardise
from dcgan_dist.presets import preset

ROWS = 9


def drawn_network(
    kind: str, name: str = "demo32", dtype: torch.dtype = torch.float32
) -> tuple[Any, tuple[Tensor, ...]]:
    """A generator, discriminator or classifier of a preset, 4 maps wide, and ROWS rows of its arguments: z or images, and labels where there are classes."""
    shape = preset(name).model
    dense = {field: getattr(shape, field) and (8,) for field in ("generator_dense", "discriminator_dense")}
    shape = dataclasses.replace(shape, generator_width=4, discriminator_width=4, **dense)
    if kind == "classifier":
        network = Classifier(ClassifierConfig(model=shape))
    else:
        network = Generator(shape) if kind == "generator" else Discriminator(shape)
    initialise(network.to(dtype), std=0.1, generator=seeded(name))
    ((rows, labels),) = prior_batches(shape, batches=1, batch_size=ROWS, seed=0, device="cpu", dtype=dtype)
    if kind != "generator":
        size = (ROWS, shape.image_channels, shape.image_size, shape.image_size)
        rows = torch.rand(size, generator=seeded(1)).to(dtype) * 2 - 1
    inputs = (rows,) if labels is None else (rows, labels)
    return restandardise(network, [inputs]), inputs


def drawn_generator(name: str = "demo32") -> Generator:
    """`drawn_network` without arguments."""
    return drawn_network("generator", name)[0]


def drawn_example(
    kind: str = "generator", *, nz: int = 20, width: int = 3, channels: int = 3, hidden: int = 4
) -> tuple[Any, Tensor]:
    """A generator or discriminator as PyTorch's DCGAN example builds it, in eval mode, with drawn arrays, and ROWS rows of its input.

    Args:
        kind: which of the two.
        nz: length of z.
        width: ngf or ndf.
        channels: of the images.
        hidden: layers that have a normalisation in the generator: 4 in the example, for 64 pixels.
    """
    maps, layers = [width * 2**i for i in reversed(range(hidden))], []
    if kind == "generator":
        for i, (m, n) in enumerate(zip([nz, *maps], [*maps, channels], strict=True)):
            stride_and_padding = (2, 1) if i else (1, 0)
            layers.append(nn.ConvTranspose2d(m, n, 4, *stride_and_padding, bias=False))
            layers += [nn.BatchNorm2d(n), nn.ReLU(True)] if i < hidden else [nn.Tanh()]
    else:
        for i, (m, n) in enumerate(itertools.pairwise([channels, *maps[::-1]])):
            layers.append(nn.Conv2d(m, n, 4, 2, 1, bias=False))
            layers += [*([nn.BatchNorm2d(n)] if i else []), nn.LeakyReLU(0.2, inplace=True)]
        layers += [nn.Conv2d(maps[0], 1, 4, 1, 0, bias=False), nn.Sigmoid()]
    network, draw = nn.Module(), seeded(kind, hidden)
    network.add_module("main", nn.Sequential(*layers))
    for name, array in network.state_dict().items():
        if array.is_floating_point():
            drawn = torch.randn(array.shape, generator=draw) * 0.2
            array.copy_(drawn.abs() + 0.1 if name.endswith("var") else drawn + (array.ndim == 1))
    size = (ROWS, nz, 1, 1) if kind == "generator" else (ROWS, channels, 4 * 2**hidden, 4 * 2**hidden)
    return network.eval(), torch.randn(size, generator=draw)
