"""Real images as uint8 tensors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dcgan_dist.data.shards.images import open_image, resize_and_crop, to_array
from dcgan_dist.prepare.sources.image_files import find_images


def read_images(path: Path, count: int, size: int) -> Tensor:
    """The first images of a tar: (count, 3, size, size) uint8, the centre square, resized."""
    places = [place for _, place in find_images([str(path)])[:count]]
    images = [to_array(resize_and_crop(open_image(place.read_bytes()), size), 3) for place in places]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


@pytest.fixture(scope="session")
def faces(real_data: Path) -> Tensor:
    """(800, 3, 32, 32) uint8."""
    return read_images(real_data / "faces" / "celeba_first10k_89x109-000.tar", 800, 32)


@pytest.fixture(scope="session")
def bedrooms(real_data: Path) -> Tensor:
    """(200, 3, 32, 32) uint8."""
    return read_images(real_data / "bedrooms" / "houses_bedroom_short128.tar", 200, 32)
