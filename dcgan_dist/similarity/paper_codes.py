"""The paper's code: which units of a de-noising ReLU autoencoder are active (section 4.1.1)."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcgan_dist.config import from_dict
from dcgan_dist.models.autoencoder import Autoencoder, AutoencoderConfig, denoising_loss, scaled
from dcgan_dist.models.latents import seeded
from dcgan_dist.models.tensor_files import network_from
from dcgan_dist.similarity.coder_files import Arrays, pack_signs, write_coder

BLOCK = 4096


@dataclass(frozen=True, kw_only=True)
class PaperCoder:
    """A trained autoencoder whose ReLU units are thresholded at 0."""

    network: Autoencoder
    name: ClassVar[str] = "paper"

    @property
    def code_bits(self) -> int:
        """Bits of a code."""
        return self.network.config.code_bits

    @torch.no_grad()
    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Units before ReLU, whose signs are the codes: (n, 3, 32, 32) uint8 -> (n, code_bits)."""
        device = self.network.encoder.weight.device
        blocks = [
            self.network.code(scaled(torch.from_numpy(images[a : a + BLOCK]).to(device), self.network.config)).cpu()
            for a in range(0, len(images), BLOCK)
        ]
        return torch.cat(blocks).numpy() if blocks else np.zeros((0, self.code_bits), np.float32)

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Codes of thumbnails: (n, 3, 32, 32) uint8 -> (n, code_bits / 8)."""
        return pack_signs(self.embed(images))

    def save(self, folder: Path) -> None:
        """Write the coder so that `codes.load_coder` gives back an equal one."""
        arrays = {name: tensor.cpu().numpy() for name, tensor in self.network.state_dict().items()}
        write_coder(folder, self.name, asdict(self.network.config), arrays)

    @classmethod
    def from_arrays(cls, settings: dict[str, Any], arrays: Arrays) -> Self:
        """From what `save` wrote."""
        weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return cls(network=network_from(Autoencoder, from_dict(AutoencoderConfig, settings), weights))


def autoencoder_step(network: Autoencoder, config: AutoencoderConfig) -> Callable[[int, Tensor], dict[str, Tensor]]:
    """The step that `training.loop.train` takes, by Adam with the config's rate.

    Returns:
        (step number from 0, uint8 images (b, 3, 32, 32)) -> the loss by metric name.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=config.lr)
    device = network.encoder.weight.device

    def step(number: int, images: Tensor) -> dict[str, Tensor]:
        loss = denoising_loss(network, config, images.to(device), seeded(config.seed, "noise", number, 0))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return {"loss/autoencoder": loss.detach()}

    return step
