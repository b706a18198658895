"""Copies of training images as a generator that remembers them would draw them: noisy, cropped or recoloured."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dcgan_dist.prepare.attacks import attack

KINDS = ("noisy", "cropped", "recoloured")
NOISE = (4.0, 12.0)
"""Standard deviation of the noise, least and greatest, of 255."""
CROPPED = 2
"""Rows and columns that are cut off, at either side, of 32; the rest is enlarged again."""


def plant(images: NDArray[np.uint8], *, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A near copy of each image (n, 3, s, s), the same for the same seed, and (n,) its kind, which take turns, in KINDS."""
    kinds = np.arange(len(images)) % len(KINDS)
    copies = np.empty_like(images)
    for row, (image, kind) in enumerate(zip(images, kinds.tolist(), strict=True)):
        pixels, rng = image.transpose(1, 2, 0), np.random.default_rng((seed, row))
        if (
            image == image[0]
        ).all():  # a generator of grey images draws no colours: its copies have one channel, repeated
            pixels = pixels[:, :, :1]
        if KINDS[kind] == "noisy":
            noise = rng.uniform(*NOISE) * rng.standard_normal(pixels.shape)
            copy = np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)
        elif KINDS[kind] == "cropped":
            copy = _cropped(pixels, rng)
        else:
            copy = attack("colour", pixels, int(rng.integers(2**31)))
        copies[row] = copy.transpose(2, 0, 1)
    return copies, kinds


def _cropped(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    side = pixels.shape[0]
    cut = max(1, round(side * CROPPED / 32))
    top, left = rng.integers(0, cut + 1, 2)
    window = np.ascontiguousarray(pixels[top : top + side - cut, left : left + side - cut])
    picture = Image.fromarray(window if window.shape[2] == 3 else window[:, :, 0])
    return np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC)).reshape(pixels.shape)
