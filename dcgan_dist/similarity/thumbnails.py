"""The 32x32 colour pictures that codes and the verifier look at, from images of any size."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

SIDE = 32
"""Pixels per side of a thumbnail (section 4.1.1 of the paper)."""


def thumbnails(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut the square centre of images and bring it to 32x32 with antialias; grey is repeated.

    Source: section 4.1.1 of the paper; it does not name the filter, which is bilinear here.

    Args:
        images: (n, 1 or 3, h, w).

    Returns:
        (n, 3, 32, 32); the pixels themselves where images are 32x32 already.
    """
    assert images.dtype == np.uint8, images.dtype
    assert images.ndim == 4, images.shape
    assert images.shape[1] in (1, 3), images.shape
    height, width = images.shape[2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    centre = images[:, :, top : top + side, left : left + side]
    if side != SIDE and len(images):
        pixels = torch.from_numpy(np.ascontiguousarray(centre))
        centre = F.interpolate(pixels, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False).numpy()
    return np.ascontiguousarray(centre) if centre.shape[1] == 3 else np.repeat(centre, 3, axis=1)
