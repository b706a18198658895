"""The picture of a search."""

from pathlib import Path

import numpy as np
from PIL import Image

from dcgan_dist.search.parallel_coordinates import save_parallel_coordinates

RED = (220, 20, 60)


def red_rows(path: Path) -> np.ndarray:
    """Heights at which the best line runs, by column of pixels."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return np.abs(pixels - RED).sum(2) < 60


def test_the_best_line_runs_where_its_values_are(tmp_path: Path) -> None:
    columns = {"lr": [1e-4, 1e-3, 1e-2], "width": [8, 32, 16], "same": [5, 5, 5]}

    path = save_parallel_coordinates(columns, [3.0, 1.0, 2.0], tmp_path / "a" / "p.png", score_name="error", title="t")

    red = red_rows(path)
    rows, places = np.nonzero(red)
    left, right = places.min(), places.max()
    heights = [rows[abs(places - (left + (right - left) * share)) < 4].mean() for share in (0, 1 / 3, 2 / 3, 1)]
    bottom, top = heights[3], heights[1]  # the least error is at the bottom, the widest network at the top
    assert abs(heights[0] - (bottom + top) / 2) < 0.06 * (bottom - top), "1e-3 is halfway on a logarithmic axis"
    assert abs(heights[2] - (bottom + top) / 2) < 0.06 * (bottom - top), "equal values are halfway up"


def test_one_configuration_makes_a_picture(tmp_path: Path) -> None:
    path = save_parallel_coordinates({"lr": [0.1]}, [5.0], tmp_path / "p.png", score_name="error", title="t")

    assert red_rows(path).any()
