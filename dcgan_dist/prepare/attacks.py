"""Near copies of an image with a known original: what happens to photographs on their way through the web.

Every attack is a pure function of (image, seed) and keeps the size of the image. They are planted into data sets to measure
whether duplicates are found, and drawn while a code is learnt.
"""

from collections.abc import Callable

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
SHIFT = 2
"""Pixels by which `shift` moves an image."""
SMALLEST_RESIZE = 0.5
"""`resize` brings the sides to between this share and 0.9 of what they were, and back."""
BORDER = (0.04, 0.10)
"""Least and greatest width of a border, as a share of the shorter side."""


def attack(name: str, image: Pixels, seed: int) -> Pixels:
    """Make a near copy.

    Args:
        name: a key of ATTACKS.
        image: (h, w, 1 or 3).
        seed: not negative; the same seed gives the same copy.

    Returns:
        A new image of the same shape.
    """
    assert image.dtype == np.uint8, image.dtype
    assert image.ndim == 3, image.shape
    return np.ascontiguousarray(ATTACKS[name](image, np.random.default_rng(seed)))


def _jpeg(quality: int) -> Callable[[Pixels, np.random.Generator], Pixels]:
    def compress(image: Pixels, rng: np.random.Generator) -> Pixels:
        space = ("RGB", "420") if image.shape[2] == 3 else ("GRAY", "Gray")
        data = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, *space)
        return simplejpeg.decode_jpeg(data, space[0])

    return compress


def _resize(image: Pixels, rng: np.random.Generator) -> Pixels:
    height, width = image.shape[:2]
    share = rng.uniform(SMALLEST_RESIZE, 0.9)
    small = _resized(image, max(1, round(height * share)), max(1, round(width * share)))
    return _resized(small, height, width)


def _shift(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Move by SHIFT pixels along one or both axes; the edge is repeated where nothing is left."""
    dy, dx = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))[rng.integers(8)]
    wide = np.pad(image, ((SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="edge")
    top, left = SHIFT + SHIFT * dy, SHIFT + SHIFT * dx
    return wide[top : top + image.shape[0], left : left + image.shape[1]]


def _colour(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Another brightness, contrast, saturation and white balance."""
    x = image.astype(np.float32)
    grey = x.mean(2, keepdims=True)
    x = grey + (x - grey) * rng.uniform(0.5, 1.5)
    x = 128 + (x - 128) * rng.uniform(0.75, 1.25)
    x = x * rng.uniform(0.9, 1.1, image.shape[2]).astype(np.float32) + rng.uniform(-25, 25)
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


def _border_over(image: Pixels, rng: np.random.Generator) -> Pixels:
    """A frame of one colour that hides the edge of the image."""
    width, framed = _frame(image, rng)
    framed[width:-width, width:-width] = image[width:-width, width:-width]
    return framed


def _border_around(image: Pixels, rng: np.random.Generator) -> Pixels:
    """A frame of one colour around the image, which shrinks to fit."""
    width, framed = _frame(image, rng)
    framed[width:-width, width:-width] = _resized(image, image.shape[0] - 2 * width, image.shape[1] - 2 * width)
    return framed


def _frame(image: Pixels, rng: np.random.Generator) -> tuple[int, Pixels]:
    width = max(1, round(min(image.shape[:2]) * rng.uniform(*BORDER)))
    colour = rng.choice([0, 255]) if rng.random() < 0.7 else rng.integers(256, size=image.shape[2])
    framed = np.empty_like(image)
    framed[:] = colour
    return width, framed


def _resized(image: Pixels, height: int, width: int) -> Pixels:
    pixels = Image.fromarray(image if image.shape[2] == 3 else image[:, :, 0])
    return np.asarray(pixels.resize((width, height), Image.Resampling.BICUBIC)).reshape(height, width, image.shape[2])


ATTACKS: dict[str, Callable[[Pixels, np.random.Generator], Pixels]] = {
    "jpeg-30": _jpeg(30),
    "jpeg-50": _jpeg(50),
    "jpeg-75": _jpeg(75),
    "jpeg-95": _jpeg(95),
    "resize": _resize,
    "shift": _shift,
    "colour": _colour,
    "border-over": _border_over,
    "border-around": _border_around,
}
"""All attacks by name."""
