"""Between pixels and what the networks see and make."""

from typing import Literal

import torch
from torch import Tensor

Output = Literal["tanh", "sigmoid"]


def from_uint8(images: Tensor, output: Output, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 [0, 255] -> the range of the generator's output: [-1, 1] for tanh, [0, 1] for sigmoid."""
    return images.to(dtype) / 127.5 - 1 if output == "tanh" else images.to(dtype) / 255
