"""Contact sheets: many small images on one PNG, to be looked at."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

COLUMNS = 8
LARGEST = 128


def save_sheet(images: Sequence[NDArray[np.uint8]], path: Path) -> None:
    """Write images (h, w, 1 or 3) uint8 as one PNG, eight to a row, each shrunk to fit its place."""
    place = min(LARGEST, max((max(image.shape[:2]) for image in images), default=1))
    rows = max(1, -(-len(images) // COLUMNS))
    sheet = Image.new("RGB", (COLUMNS * place, rows * place))
    for number, pixels in enumerate(images):
        image = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])
        image.thumbnail((place, place))
        sheet.paste(image, (number % COLUMNS * place, number // COLUMNS * place))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, format="PNG")
