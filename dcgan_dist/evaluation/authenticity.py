"""How many images lie nearer to a training image than that image lies to the rest of the training set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def authenticity(distances: NDArray[np.floating], nearest_of_training: NDArray[np.floating]) -> float:
    """Share of images that are farther from their nearest training image than that one is from its own nearest.

    About half of the images of an independent sample of the training set's size are so. The value depends on the number
    of training images, so that of samples means something only beside that of held-out images.

    Args:
        distances: (n,) from each image to its nearest training image.
        nearest_of_training: (n,) from that training image to the nearest other one.

    Source: Alaa et al., "How faithful is your synthetic data?", ICML 2022.
    """
    return float(np.mean(distances > nearest_of_training))
