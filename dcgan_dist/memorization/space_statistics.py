"""Distances of samples to their nearest training images beside those of held-out images, in one space."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from dcgan_dist.memorization.copying import clopper_pearson
from dcgan_dist.memorization.distances import band_half_width, count_hubs, mann_whitney
from dcgan_dist.memorization.encoded_images import EncodedImages
from dcgan_dist.memorization.nearest_images import Nearest, search_space

AUTHENTICITY = 2000
"""Images of each set for the authenticity, which needs a search of its own."""
QUANTILES = (0.001, 0.01, 0.05, 0.5, 0.95)
NEAR = 0.001
"""Share of held-out images that lie nearer than the threshold."""


def compare_distances(space: str, samples: Nearest, held_out: Nearest, train: EncodedImages) -> dict[str, Any]:
    """Statistics of one space for the result; those of held-out images, distinct from training ones, only where there are any."""
    of_samples, of_held_out = samples.distances[space], held_out.distances[space]
    figures: dict[str, Any] = {
        "samples_quantiles": _quantiles(of_samples),
        "hubs": count_hubs(samples.ids[space]),
        "band_half_width": {"samples": band_half_width(len(of_samples))},
    }
    if not len(of_held_out):
        return figures
    figures["band_half_width"]["held_out"] = band_half_width(len(of_held_out))
    gap: Any = ks_2samp(of_samples, of_held_out, alternative="greater", method="asymp")
    threshold = float(np.sort(of_held_out)[int(NEAR * len(of_held_out))])
    copies = int((of_samples < threshold).sum())
    authentic = authenticity(space, samples, train)
    authentic_held_out = authenticity(space, held_out, train)
    return figures | {
        "held_out_quantiles": _quantiles(of_held_out),
        "mann_whitney": mann_whitney(of_samples, of_held_out),
        "largest_ecdf_gap": {"gap": float(gap.statistic), "at": float(gap.statistic_location)},
        "nearer_than_threshold": {
            "threshold": threshold,
            "copies": copies,
            "rate": copies / len(of_samples),
            "interval": clopper_pearson(copies, len(of_samples)),
        },
        "authenticity": {
            "samples": authentic,
            "held_out": authentic_held_out,
            "difference": authentic - authentic_held_out,
        },
        "hubs_of_held_out": count_hubs(held_out.ids[space]),
    }


def _quantiles(distances: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip(map(str, QUANTILES), np.quantile(distances, QUANTILES).tolist(), strict=True))


def authenticity(space: str, nearest: Nearest, train: EncodedImages) -> float:
    """Share of images that are farther from their nearest training image than that one is from its own nearest.

    About half of the images of an independent sample of the training set's size are so. The value depends on the number
    of training images, so that of samples means something only beside that of held-out images.

    Source: Alaa et al., "How faithful is your synthetic data?", ICML 2022.
    """
    distances, ids = nearest.distances[space], nearest.ids[space]
    rows = np.linspace(0, len(ids) - 1, min(len(ids), AUTHENTICITY)).astype(int)
    targets, of_row = np.unique(ids[rows], return_inverse=True)
    between, neighbours = search_space(space, train[targets], train, min(2, len(train)))
    # The image itself is one of the two, unless it has several equals.
    to_others = np.where(neighbours[:, 0] == targets, between[:, -1], between[:, 0])
    return float(np.mean(distances[rows] > to_others[of_row]))
