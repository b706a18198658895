"""Which way faces look, learnt from faces without labels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dcgan_dist.explore.grey_faces import SIDE, cut, edge_histograms, to_grey

LOWER_MIDDLE = np.s_[:, SIDE * 5 // 8 : SIDE * 7 // 8, SIDE // 4 : SIDE * 3 // 4]


@dataclass(frozen=True, kw_only=True)
class PoseAxis:
    """The main way in which faces differ from their mirror images.

    In pictures with the eyes at fixed places (as CelebA's are) that is the turn of the head: the difference of a picture's edge
    histogram and its mirror image's changes its sign under mirroring, and its first principal component does too.
    """

    direction: NDArray[np.float64]
    """(1764,) of unit length."""
    explained: float
    """Share of the variance of the differences along it."""

    def scores(self, images: Tensor) -> NDArray[np.float64]:
        """How far each face (n, c, s, s) in [-1, 1] or uint8 is turned to the left of the picture; mirroring negates it."""
        return _asymmetry(cut(to_grey(images))) @ self.direction


def fit_pose(images: Tensor) -> PoseAxis:
    """Find the axis in pictures of faces (n, c, s, s) in [-1, 1] or uint8, at least 50.

    Its sign is not in the mirror images. It is taken from a fact about heads: of a face turned to the left of the picture,
    the cheek and jaw line that are seen lie on the right, and the edges of the lower middle with them.

    Raises:
        ValueError: fewer than 50 pictures.
    """
    if len(images) < 50:
        raise ValueError(f"{len(images)} faces are too few to find the way they turn: give at least 50")
    grey = cut(to_grey(images))
    differences = _asymmetry(grey)
    # No mean is taken off: for faces and their mirror images together it is zero.
    _, singular, directions = np.linalg.svd(differences, full_matrices=False)
    direction = directions[0].astype(np.float64)
    edges = np.abs(np.diff(grey.astype(np.float32), axis=2))[LOWER_MIDDLE]
    places = np.linspace(-1, 1, edges.shape[2])
    centroid = (edges.sum(1) * places).sum(1) / (edges.sum((1, 2)) + 1e-6)
    if np.dot(differences @ direction, centroid) < 0:
        direction = -direction
    return PoseAxis(direction=direction, explained=float(singular[0] ** 2 / (singular**2).sum()))


def _asymmetry(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    return edge_histograms(grey) - edge_histograms(grey[:, :, ::-1])
