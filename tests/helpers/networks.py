"""Narrow networks of a preset's shape, with drawn weights and standing statistics: ready to draw images and to be registered."""

import dataclasses
from typing import Any

import torch
from torch import Tensor

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
