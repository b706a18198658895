"""How C, the weight of a linear SVM's loss, is chosen: from a grid, by the mean error on images that were not learnt from."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

C_GRID = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)


def best_c(validation_errors: NDArray[np.float64], cs: Sequence[float] = C_GRID) -> float:
    """The C with the least mean error of (draws, len(cs)); among equals the smallest."""
    return cs[int(validation_errors.mean(0).argmin())]
