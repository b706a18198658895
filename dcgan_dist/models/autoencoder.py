"""The paper's de-duplication network: a 3072-128-3072 de-noising ReLU autoencoder with dropout."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dcgan_dist.errors import require
from dcgan_dist.models.latents import seeded

PIXELS = 3 * 32 * 32


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoencoderConfig:
    """What section 4.1.1 of the paper leaves open; sizes and the threshold at 0 are the paper's."""

    code_bits: int = 128
    """Units of the code, a multiple of 8."""
    noise: Literal["gaussian", "mask"] = "gaussian"
    """gaussian: added to the input; mask: input values set to 0."""
    noise_level: float = 0.1
    """Standard deviation of the noise where pixels span 0 to 1, or the share of masked values."""
    dropout: float = 0.2
    """Share of code units dropped in training."""
    loss: Literal["squared", "cross_entropy"] = "squared"
    """squared: mean squared error of standardised pixels; cross_entropy: sigmoid output against pixels in 0 to 1."""
    lr: float = 1e-3
    """Learning rate of Adam."""
    batch_size: int = 128
    """Images per step, over all ranks."""
    epochs: int = 20
    """Passes over the images."""
    seed: int = 0
    """Seed of initialisation, order, noise and dropout."""

    def __post_init__(self) -> None:
        require(self.code_bits >= 8 and self.code_bits % 8 == 0, f"code_bits {self.code_bits} must be a multiple of 8")
        require(self.noise_level >= 0, f"noise_level {self.noise_level} must not be negative")
        require(self.noise != "mask" or self.noise_level < 1, f"noise_level {self.noise_level} would mask everything")
        require(0 <= self.dropout < 1, f"dropout {self.dropout} must lie in [0, 1)")
        require(self.lr > 0, f"lr {self.lr} must be positive")
        require(self.batch_size >= 1 and self.epochs >= 1, "batch_size and epochs must be at least 1")


class Autoencoder(nn.Module):
    """Flat pixels to ReLU code to flat pixels.

    Args:
        config: sizes and the loss, which decides the range of input and output.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        draw = seeded(config.seed, "autoencoder")
        self.config = config
        self.encoder, self.decoder = nn.Linear(PIXELS, config.code_bits), nn.Linear(config.code_bits, PIXELS)
        for layer in (self.encoder, self.decoder):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=draw)
            nn.init.zeros_(layer.bias)

    def code(self, x: Tensor) -> Tensor:
        """Code units before ReLU: (b, 3072) -> (b, code_bits); a bit is set where it is positive."""
        return self.encoder(x)

    def forward(self, x: Tensor, dropped: Tensor | None = None) -> Tensor:
        """Reconstruction: (b, 3072) -> (b, 3072), logits where the loss is cross entropy.

        Args:
            x: pixels from `scaled`, with noise in training.
            dropped: (b, code_bits) bool, code units to drop; None: none.
        """
        units = F.relu(self.code(x))
        if dropped is not None:
            units = units.masked_fill(dropped, 0) / (1 - self.config.dropout)
        return self.decoder(units)


def scaled(images: Tensor, config: AutoencoderConfig) -> Tensor:
    """uint8 thumbnails to the network's input: (b, 3, 32, 32) -> (b, 3072) in [-1, 1], or [0, 1] for cross entropy."""
    x = images.flatten(1).float()
    return x / 127.5 - 1 if config.loss == "squared" else x / 255


def denoising_loss(network: nn.Module, config: AutoencoderConfig, images: Tensor, draw: torch.Generator) -> Tensor:
    """How badly the network restores images from noisy ones with part of the code dropped.

    Args:
        network: an Autoencoder, wrapped or not.
        config: noise, dropout and loss.
        images: (b, 3, 32, 32) uint8.
        draw: a CPU generator for noise and dropout.

    Returns:
        Scalar, the mean over images and pixels.
    """
    target = scaled(images, config)
    if config.noise == "gaussian":
        width = 2.0 if config.loss == "squared" else 1.0  # of the input's range
        noisy = target + config.noise_level * width * torch.randn(target.shape, generator=draw).to(target)
    else:
        noisy = target * (torch.rand(target.shape, generator=draw) >= config.noise_level).to(target)
    dropped = torch.rand((len(target), config.code_bits), generator=draw) < config.dropout
    restored = network(noisy, dropped.to(target.device))
    if config.loss == "squared":
        return F.mse_loss(restored, target)
    return F.binary_cross_entropy_with_logits(restored, target)
