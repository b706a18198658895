"""Between pixels and what the networks see and make."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from dcgan_dist.config import ModelConfig

Output = Literal["tanh", "sigmoid"]


def from_uint8(images: Tensor, output: Output) -> Tensor:
    """uint8 [0, 255] -> float32 in the range of the generator's output: [-1, 1] for tanh, [0, 1] for sigmoid."""
    return images.float() / 127.5 - 1 if output == "tanh" else images.float() / 255


def to_float(images: Tensor, config: ModelConfig, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 images to the range of the generator's output: [-1, 1], or [0, 1] for a sigmoid."""
    scaled = images.to(dtype)
    return scaled / 127.5 - 1 if config.output == "tanh" else scaled / 255
