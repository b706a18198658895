"""Arithmetic of a network, counted on an example."""

from functools import cache

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dcgan_dist.config import ClassifierConfig, ModelConfig, TrainConfig
from dcgan_dist.models.classifier import Classifier
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.generator import Generator

# Sustained on the steps of these networks, in float32: two shared cores of a server CPU, and one H200 with TF32 on
# whole steps of lsun64 at batch 128 (7,456 images/s of 14.02 GFLOP). Other machines differ; a run prints its own rate.
FLOPS_PER_SECOND = {"CPU core": 4e10, "GPU": 1.05e14}


@cache
def forward_flops(model: ModelConfig) -> tuple[float, float]:
    """Operations of one image through generator and discriminator."""
    with torch.device("meta"):
        z = torch.empty(2, model.latent_dim)
        labels = torch.zeros(2, dtype=torch.int64) if model.classes else None
        return _flops(Generator(model), z, labels), _flops(Discriminator(model), _two_images(model), labels)


def step_flops_per_image(config: TrainConfig) -> float:
    """Floating point operations per real image of a step, averaged over the schedule.

    D phase: D forward and backward on real and fake; G phase: G and D forward, backward through both without D's weights.
    """
    generator, discriminator = forward_flops(config.model)
    d_phase = 2 * 3 * discriminator + generator
    if config.r1:
        d_phase += 3 * discriminator  # the gradient at the real images, and its own gradient
    g_phase = 3 * generator + 2 * discriminator
    if config.schedule == "both":
        return d_phase - generator + g_phase  # the fakes are made once
    return (d_phase + g_phase) / 2


@cache
def classifier_flops(config: ClassifierConfig) -> float:
    """Operations of one image through a classifier."""
    with torch.device("meta"):
        return _flops(Classifier(config), _two_images(config.model))


def _two_images(model: ModelConfig) -> Tensor:
    return torch.empty(2, model.image_channels, model.image_size, model.image_size)


def _flops(network: nn.Module, *inputs: Tensor | None) -> float:
    """Per row, of two: with one row batch normalisation has no variance."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(*inputs)
    return counter.get_total_flops() / 2
