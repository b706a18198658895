"""What codes are learnt from: the same for darker and paler copies, different for other pictures."""

import numpy as np
import torch
from numpy.typing import NDArray

from dcgan_dist.similarity.appearance import (
    COLOUR_SIDE,
    DIRECTIONS,
    EDGE_SIDE,
    HISTOGRAM_SIDE,
    LIGHTNESS_SIDE,
    NUMBERS,
    appearance,
    bounded_gradients,
)

Images = NDArray[np.uint8]
BEHIND = LIGHTNESS_SIDE**2 + 2 * COLOUR_SIDE**2
"""Numbers after those of edges."""


def likeness(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine of each row of a and b."""
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_brightness_and_contrast_hardly_count(pictures: Images) -> None:
    darker = (pictures * 0.7 + 15).astype(np.uint8)

    assert likeness(appearance(pictures), appearance(darker)).min() > 0.98


def test_other_pictures_look_different(pictures: Images) -> None:
    seen = appearance(pictures)
    seen -= seen.mean(0)  # some numbers are strengths, which no picture has below 0

    assert likeness(seen, np.roll(seen, 1, axis=0)).max() < 0.6


def test_a_picture_and_its_copy_a_pixel_aside_are_alike_in_histograms_where_signed_gradients_are_not(
    pictures: Images,
) -> None:
    moved = np.roll(pictures, 1, axis=3)  # what comes in at the side is not the picture's, as in a copy cut elsewhere
    here, there = appearance(pictures), appearance(moved)
    signed, tolerant = slice(0, 2 * EDGE_SIDE**2), slice(-DIRECTIONS * HISTOGRAM_SIDE**2 - BEHIND, -BEHIND)

    def of(part: slice) -> NDArray[np.float32]:
        mean = here[:, part].mean(0)
        return likeness(here[:, part] - mean, there[:, part] - mean)

    assert (of(tolerant) > of(signed)).mean() > 0.95


def test_flat_pictures_have_no_appearance() -> None:
    flat = np.full((2, 3, 32, 32), 130, np.uint8)

    assert np.abs(appearance(flat)).max() < 1e-5


def test_an_appearance_does_not_depend_on_the_other_pictures(pictures: Images) -> None:
    together = appearance(pictures)

    assert together.shape == (len(pictures), NUMBERS)
    np.testing.assert_allclose(appearance(pictures[7:9]), together[7:9], atol=1e-5)
    assert appearance(pictures[:0]).shape == (0, NUMBERS)


def test_bounded_gradients_point_along_the_slope_and_stay_below_1() -> None:
    x, y = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="xy")
    slope = (30 * x + 40 * y)[None, None]

    down, along = bounded_gradients(slope, 0.1)[0]

    assert torch.allclose(down / along, torch.full((6, 6), 4 / 3))
    assert 0.8 < (down.square() + along.square()).sqrt().min() < 1
