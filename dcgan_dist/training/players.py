"""The two networks with their optimisers and the averaged generator."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dcgan_dist.config import EngineConfig, OptimizerConfig, TrainConfig
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.generator import Generator
from dcgan_dist.models.latents import seeded
from dcgan_dist.models.layers import initialise
from dcgan_dist.training.engine import adam_arguments, apply_engine, memory_format
from dcgan_dist.training.image_layers import unshuffle_image_layer
from dcgan_dist.training.synchronised_norm import synchronise_norms


class RealAndFake(nn.Module):
    """The discriminator applied to two batches in one forward, so that DDP reduces their gradients once.

    Args:
        discriminator: it normalises the two apart.
        joint: whether every layer sees both at once, as one batch.
    """

    def __init__(self, discriminator: nn.Module, *, joint: bool) -> None:
        super().__init__()
        self.discriminator, self.joint = discriminator, joint

    def forward(self, real: Tensor, fake: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.joint:
            both = None if labels is None else torch.cat([labels, labels])
            real_logits, fake_logits = self.discriminator(torch.cat([real, fake]), both, batches=2).chunk(2)
            return real_logits, fake_logits
        return self.discriminator(real, labels), self.discriminator(fake, labels)


@dataclass(kw_only=True, slots=True)
class Players:
    """Everything that learns. `ddp_` is the module itself where there is one rank."""

    generator: Generator
    discriminator: Discriminator
    generator_ema: Generator | None
    optimizer_g: torch.optim.Optimizer
    optimizer_d: torch.optim.Optimizer
    ddp_generator: nn.Module
    ddp_real_and_fake: nn.Module

    def update_ema(self, decay: float) -> None:
        """Move the averaged generator towards the present one: decay is what it keeps of itself."""
        if self.generator_ema is not None:
            with torch.no_grad():
                pairs = zip(self.generator_ema.parameters(), self.generator.parameters(), strict=True)
                for average, parameter in pairs:
                    average.lerp_(parameter, 1 - decay)

    def state(self) -> dict[str, dict[str, Any]]:
        """State dicts of networks and optimisers by name, as a checkpoint keeps them."""
        return {name: learner.state_dict() for name, learner in self._learners().items()}

    def load_state(self, state: dict[str, dict[str, Any]]) -> None:
        """Restore networks and optimisers; every name and shape must be there."""
        for name, learner in self._learners().items():
            if isinstance(learner, torch.optim.Optimizer):
                # Rates and the way of computing are the config's; a checkpoint of another device may have been computed otherwise.
                present = learner.state_dict()["param_groups"]
                learner.load_state_dict({"state": state[name]["state"], "param_groups": present})
            else:
                learner.load_state_dict(state[name])

    def _learners(self) -> dict[str, Any]:
        names = ("generator", "discriminator", "optimizer_g", "optimizer_d", "generator_ema")
        return {name: learner for name in names if (learner := getattr(self, name)) is not None}

    def plain_generator(self) -> Generator:
        """A copy of the generator that is to be used (the averaged one where there is one), free of ranks."""
        source = self.generator_ema or self.generator
        plain = Generator(source.config).to(next(source.parameters()))
        plain.load_state_dict(source.state_dict())
        return plain


def build_players(config: TrainConfig, *, device: torch.device | str = "cpu", world_size: int = 1) -> Players:
    """Initialise both networks from the seed and wrap them for the number of ranks.

    Args:
        config: a whole run's config.
        device: where the networks live.
        world_size: above 1, torch.distributed must be initialised.
    """
    device, dtype = torch.device(device), getattr(torch, config.dtype)
    generator, discriminator = Generator(config.model), Discriminator(config.model)
    for name, network in (("generator", generator), ("discriminator", discriminator)):
        initialise(network, std=config.model.init_std, generator=seeded(config.seed, "initialise", name))
        network.to(device=device, dtype=dtype).to(memory_format=memory_format(config.engine))
    generator_ema = copy.deepcopy(generator).requires_grad_(False) if config.ema_half_life_images else None
    if config.norm_group == "synchronised":
        synchronise_norms(generator)
        synchronise_norms(discriminator)

    if config.engine.unshuffle_images:
        unshuffle_image_layer(generator)
        unshuffle_image_layer(discriminator)

    real_and_fake = RealAndFake(discriminator, joint=config.engine.joint_batch)
    for network in (generator, discriminator, real_and_fake):
        apply_engine(network, config, device)
    return Players(
        generator=generator,
        discriminator=discriminator,
        generator_ema=generator_ema,
        optimizer_g=adam(generator, config.optimizer_g, config.engine),
        optimizer_d=adam(discriminator, config.optimizer_d, config.engine),
        ddp_generator=_distribute(generator) if world_size > 1 else generator,
        ddp_real_and_fake=_distribute(real_and_fake) if world_size > 1 else real_and_fake,
    )


def adam(network: nn.Module, config: OptimizerConfig, engine: EngineConfig) -> torch.optim.Adam:
    """Adam with L2 added to the gradient, as the authors have it."""
    return torch.optim.Adam(
        network.parameters(),
        **adam_arguments(engine, config.lr, next(network.parameters()).device),
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        weight_decay=config.weight_decay,
    )


def _distribute(network: nn.Module) -> DistributedDataParallel:
    # Buffers hold standing statistics only, which training does not touch: there is nothing to broadcast. Gradients are
    # averaged bucket by bucket while the backward pass still computes the earlier layers' ones.
    return DistributedDataParallel(network, forward_sync_buffers=False, gradient_as_bucket_view=True)
