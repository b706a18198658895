"""Real images as uint8 tensors."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor


def read_tar(path: Path, count: int, size: int) -> Tensor:
    """The first images of a tar: (count, 3, size, size) uint8, the centre square, resized."""
    images = []
    with tarfile.open(path) as tar:
        for member in tar:
            if not member.isfile():
                continue
            file = tar.extractfile(member)
            assert file is not None
            image = Image.open(io.BytesIO(file.read())).convert("RGB")
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.LANCZOS)
            images.append(torch.from_numpy(np.array(image)).permute(2, 0, 1))
            if len(images) == count:
                break
    return torch.stack(images)


@pytest.fixture(scope="session")
def faces(real_data: Path) -> Tensor:
    """(800, 3, 32, 32) uint8."""
    return read_tar(real_data / "faces" / "celeba_first10k_89x109-000.tar", 800, 32)


@pytest.fixture(scope="session")
def bedrooms(real_data: Path) -> Tensor:
    """(200, 3, 32, 32) uint8."""
    return read_tar(real_data / "bedrooms" / "houses_bedroom_short128.tar", 200, 32)
