"""The data-copying test: do samples lie systematically nearer to training images than held-out images do?

C_T compares, cell by cell of the space of images, the distances of samples and of held-out images to their nearest training
image by ranks, and averages the standardised results; negative: samples lie nearer.

Its normal approximation is right only if samples are distributed as held-out images are. Smooth samples lie near to all
images, seen or not, and look like copies to it. So C_T must be low by permutations too: training and held-out images
change places at random within each cell, and C_T is computed anew. If samples know nothing of which images were
training images, the true arrangement is one among equals, whatever the samples look like. It is not where held-out and
training images were not drawn alike: C_T is then low among its permutations though samples may lie no nearer than held-out
images do, which the normal approximation sees. If both are deceived, held-out images lie farther from training images
than after a change of places, which is tested by itself, without the samples.

Source: Meehan, Chaudhuri, Dasgupta, "A non-parametric test to detect data-copying in generative models", AISTATS 2020;
the permutations are ours; sequential p-value: Besag and Clifford, Biometrika 1991.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from dcgan_dist.memorization.distances import make_cells, rank_sum_z
from dcgan_dist.memorization.row_file import ArrayOrFile
from dcgan_dist.neighbors.nearest import nearest_l2

SIGNIFICANT = 0.001
"""Level of both tests: what excuses samples must be as certain as what accuses them."""
PERMUTATIONS = 999
"""Enough for a p-value of 0.001 and no smaller one."""
EXCEEDANCES = 20
"""Permutations that reach the true arrangement after which the p-value is clear enough."""
LEAST_PER_CELL = 20
"""Samples and held-out images that a cell needs to count; Meehan et al. ask for as many samples."""
MOST_TRAIN = 60_000
"""Training images that are compared with, at most."""
MISSED = 1e-7
"""Greatest probability that all neighbours in a list are held-out images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataCopying:
    """Result of the test."""

    c_t: float
    """Mean of the cells' z, weighted by their held-out images; negative where samples lie nearer to training images."""
    p_value: float
    """The greater of the next two, as samples are copies only if neither their kind nor that of held-out images explains it."""
    p_normal: float
    """One-sided, if each cell's z were normal and independent of the others; too small for smooth samples."""
    p_permuted: float
    """One-sided, by permutations; too small where held-out and training images were not drawn alike."""
    permutations: int
    """How many were made."""
    permuted_mean: float
    """Mean C_T of the permutations: what these samples show towards any images of this kind."""
    train: int
    """Training images that were compared with."""
    train_given: int
    """Training images that there are."""
    cells: tuple[tuple[int, int, int, float], ...]
    """Training images, held-out images, samples and z of each cell that counts."""
    p_exchangeable: float
    """One-sided, by the same permutations: whether held-out images lie farther from training images than they should, by
    ranks. A small value: the two were not drawn alike, so that samples seem to lie near without any copying. Held-out images
    that lie nearer than they should, as near duplicates of training images do, only hide copies."""

    @property
    def significant(self) -> bool:
        """Whether samples lie nearer to training images than held-out images do, and than to others of their kind."""
        return self.p_value <= SIGNIFICANT

    @property
    def subset(self) -> str:
        """How many training images were compared with, as the end of a phrase; empty where it is all of them."""
        return f", {self.train:,} of {self.train_given:,} training images" if self.train < self.train_given else ""

    @property
    def exchangeable(self) -> bool:
        """Whether held-out images may be taken for images drawn as the training images were."""
        return self.p_exchangeable > SIGNIFICANT


class _Cell:
    """Neighbours inside one cell, from which any arrangement of training and held-out images can be judged."""

    def __init__(self, samples: NDArray[np.float32], images: NDArray[np.float32], held_out: NDArray[np.bool_]) -> None:
        """samples (n, d); images (m, d), training and held-out ones together; which of them are held out (m,)."""
        self.held_out = held_out
        share = held_out.mean()
        neighbours = min(len(images) - 1, math.ceil(math.log(MISSED) / math.log(share)))
        self.of_samples = nearest_l2(samples, images, min(neighbours + 1, len(images)))
        distances, ids = nearest_l2(images, images, neighbours + 1)
        # An image is no neighbour of itself; where it has equals, it may stand anywhere in its own list or be missing.
        itself = ids == np.arange(len(images))[:, None]
        itself[~itself.any(1), -1] = True
        self.of_images = distances[~itself].reshape(len(images), -1), ids[~itself].reshape(len(images), -1)
        self.to_any = np.sort(self.of_images[0][:, 0])

    def judge(self, held_out: NDArray[np.bool_]) -> tuple[float, int]:
        """Rank sums under an arrangement: standardised (z) that of samples, and that of held-out images.

        The latter are ranked by their distances to training images among the distances of all images to any other.
        """
        of_held_out = _to_training(self.of_images[0][held_out], self.of_images[1][held_out], held_out)
        distances = np.concatenate([_to_training(*self.of_samples, held_out), of_held_out])
        z = rank_sum_z(rankdata(distances), np.arange(len(distances)) < len(self.of_samples[0]))
        return z, int(np.searchsorted(self.to_any, of_held_out).sum())


def data_copying(
    samples: NDArray[np.float32],
    train: ArrayOrFile[np.float32],
    held_out: NDArray[np.float32],
    *,
    cells: int = 1,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> DataCopying | None:
    """Test whether samples know which images were training images, by features (n, d), (t, d) and (p, d).

    Held-out images were drawn as the training images were, near duplicates of them included, as permutations could not
    leave those out. Cells are made from both alike, as they must not depend on which is which. The seed is that of the
    cells, of the permutations, which are at most so many, and of the choice among more than MOST_TRAIN training images.

    Returns:
        None where no cell holds enough images.
    """
    chosen = train[np.sort(np.random.default_rng(seed).permutation(len(train))[:MOST_TRAIN])]
    counted = _counted_cells(samples, chosen, held_out, cells, seed)
    if not counted:
        return None
    weights = np.array([cell.held_out.sum() for cell in counted], np.float64)
    weights /= weights.sum()

    z, far = zip(*(cell.judge(cell.held_out) for cell in counted), strict=True)
    c_t = float(weights @ z)
    permuted, as_low = _permuted(counted, weights, c_t, permutations, np.random.default_rng(seed))
    done = len(permuted)
    p_normal = float(norm.cdf(c_t / np.sqrt(np.square(weights).sum())))
    p_permuted = as_low / done if as_low == EXCEEDANCES else (as_low + 1) / (done + 1)
    as_far = sum(other >= sum(far) for _, other in permuted)
    return DataCopying(
        c_t=c_t,
        p_value=max(p_normal, p_permuted),
        p_normal=p_normal,
        p_permuted=p_permuted,
        permutations=done,
        train=len(chosen),
        train_given=len(train),
        permuted_mean=float(np.mean([value for value, _ in permuted])),
        cells=tuple(
            (int((~cell.held_out).sum()), int(cell.held_out.sum()), len(cell.of_samples[0]), float(value))
            for cell, value in zip(counted, z, strict=True)
        ),
        p_exchangeable=(as_far + 1) / (done + 1),
    )


def _counted_cells(
    samples: NDArray[np.float32], train: NDArray[np.float32], held_out: NDArray[np.float32], cells: int, seed: int
) -> list[_Cell]:
    """The cells that hold enough images."""
    centres = make_cells(np.concatenate([train, held_out]), cells, seed=seed)
    sets = [(images, nearest_l2(images, centres)[1][:, 0]) for images in (samples, train, held_out)]
    counted = []
    for number in range(len(centres)):
        inside = [images[cell == number] for images, cell in sets]
        if min(len(inside[0]), len(inside[2])) >= LEAST_PER_CELL and len(inside[1]):
            is_held_out = np.arange(len(inside[1]) + len(inside[2])) >= len(inside[1])
            counted.append(_Cell(inside[0], np.concatenate(inside[1:]), is_held_out))
    return counted


def _permuted(
    cells: Sequence[_Cell], weights: NDArray[np.float64], c_t: float, most: int, rng: np.random.Generator
) -> tuple[list[tuple[float, int]], int]:
    """Statistics of arrangements in which chance alone says what is held out.

    Returns:
        C_T and rank sum of held-out images of each arrangement, until there are `most` or EXCEEDANCES as low as `c_t`; and
        the number of those.
    """
    permuted: list[tuple[float, int]] = []
    as_low = 0
    while len(permuted) < most and as_low < EXCEEDANCES:
        z, far = zip(*(cell.judge(rng.permutation(cell.held_out)) for cell in cells), strict=True)
        permuted.append((float(weights @ z), sum(far)))
        as_low += permuted[-1][0] <= c_t
    return permuted, as_low


def _to_training(
    distances: NDArray[np.float64], ids: NDArray[np.int64], held_out: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Distance to the first neighbour that is a training image; to the last one listed where none is."""
    is_training = ~held_out[ids]
    is_training[:, -1] = True
    return distances[np.arange(len(ids)), is_training.argmax(1)]
