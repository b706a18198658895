"""Images as uint8 tensors: real ones where they are at hand, else drawn ones."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dcgan_dist.data.shards.images import open_image, resize_and_crop, to_array
from dcgan_dist.prepare.sources.image_files import find_images
from tests.conftest import REAL_DATA
from tests.helpers.photographs import drawn_rooms
from tests.memorization.test_image_sets import smooth


def read_images(path: Path, count: int, size: int) -> Tensor:
    """The first images of a tar: (count, 3, size, size) uint8, the centre square, resized."""
    places = [place for _, place in find_images([str(path)])[:count]]
    images = [to_array(resize_and_crop(open_image(place.read_bytes()), size), 3) for place in places]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


@pytest.fixture(scope="session")
def faces() -> Tensor:
    """(800, 3, 32, 32) uint8; drawn ones are rooms."""
    real = REAL_DATA / "faces" / "celeba_first10k_89x109-000.tar"
    if real.exists():
        return read_images(real, 800, 32)
    return torch.from_numpy(drawn_rooms(800, 32)).permute(0, 3, 1, 2).contiguous()


@pytest.fixture(scope="session")
def bedrooms() -> Tensor:
    """(200, 3, 32, 32) uint8 of another kind; drawn ones are smooth patches of colour."""
    real = REAL_DATA / "bedrooms" / "houses_bedroom_short128.tar"
    return read_images(real, 200, 32) if real.exists() else torch.from_numpy(smooth(200))
