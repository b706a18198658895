"""The training step of the PyTorch examples' DCGAN, written out, for the networks of any preset: the baseline of `bench step`."""

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor, nn

from dcgan_dist.config import ModelConfig


def plain_generator(config: ModelConfig) -> nn.Sequential:
    """Layers of torch.nn alone; z is (b, latent_dim, 1, 1)."""
    maps = [m * config.generator_width for m in config.generator_maps]
    side = config.image_size // prod(config.generator_strides)
    layers: list[nn.Module] = [nn.ConvTranspose2d(config.latent_dim, maps[0], side, bias=False)]
    padding = (config.kernel_size - 1) // 2
    for m, n, stride in zip(maps, [*maps[1:], config.image_channels], config.generator_strides, strict=True):
        output_padding = stride - config.kernel_size + 2 * padding
        layers += [
            nn.BatchNorm2d(m),
            nn.ReLU(True),
            nn.ConvTranspose2d(m, n, config.kernel_size, stride, padding, output_padding, bias=False),
        ]
    return nn.Sequential(*layers, nn.Tanh())


def plain_discriminator(config: ModelConfig) -> nn.Sequential:
    """Layers of torch.nn alone; the output is a probability, (b,)."""
    maps = [config.image_channels, *(m * config.discriminator_width for m in config.discriminator_maps)]
    layers: list[nn.Module] = []
    for i, (m, n, stride) in enumerate(zip(maps, maps[1:], config.discriminator_strides, strict=False)):
        layers.append(nn.Conv2d(m, n, config.kernel_size, stride, (config.kernel_size - 1) // 2, bias=False))
        layers += [nn.BatchNorm2d(n)] if i else []
        layers.append(nn.LeakyReLU(0.2, inplace=True))
    side = config.image_size // prod(config.discriminator_strides)
    return nn.Sequential(*layers, nn.Conv2d(maps[-1], 1, side, bias=False), nn.Sigmoid(), nn.Flatten(0))


def examples_step(config: ModelConfig, device: torch.device) -> Callable[[Tensor], None]:
    """The loop's body as the examples have it: Adam, BCE on probabilities, three losses read in every step.

    Source: github.com/pytorch/examples, dcgan/main.py (BSD 3-Clause), for what it does; the words are ours.

    Returns:
        Takes real images (b, c, s, s) in [-1, 1] on the device.
    """
    generator, discriminator = plain_generator(config).to(device), plain_discriminator(config).to(device)
    for module in (*generator.modules(), *discriminator.modules()):
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)):
            nn.init.normal_(module.weight, float(isinstance(module, nn.BatchNorm2d)), config.init_std)
    adams = [torch.optim.Adam(n.parameters(), lr=2e-4, betas=(0.5, 0.999)) for n in (discriminator, generator)]
    adam_d, adam_g = adams
    loss = nn.BCELoss()

    def step(real: Tensor) -> None:
        discriminator.zero_grad()
        target = torch.ones(len(real), device=device)
        on_real = discriminator(real)
        error_real = loss(on_real, target)
        error_real.backward()
        _ = on_real.mean().item()
        fake = generator(torch.randn(len(real), config.latent_dim, 1, 1, device=device))
        on_fake = discriminator(fake.detach())
        error_fake = loss(on_fake, target.fill_(0))
        error_fake.backward()
        _ = on_fake.mean().item()
        adam_d.step()

        generator.zero_grad()
        on_fake = discriminator(fake)
        error_g = loss(on_fake, target.fill_(1))
        error_g.backward()
        _ = on_fake.mean().item()
        adam_g.step()
        _ = (error_real + error_fake).item(), error_g.item()

    return step
