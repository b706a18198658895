"""Nearest neighbours."""

from __future__ import annotations

import numpy as np

from dcgan_dist.neighbors.nearest import nearest_codes, nearest_l2


def test_nearest_of_few_rows() -> None:
    codes = np.array([[0, 0], [0, 1], [255, 255], [0, 0]], np.uint8)

    distances, ids = nearest_codes(codes, codes, 2)
    lengths, rows = nearest_l2(codes, [codes[:2], codes[2:]], 2)

    assert ids.tolist() == [[0, 3], [1, 0], [2, 1], [0, 3]]
    assert distances.tolist() == [[0, 0], [0, 1], [0, 15], [0, 0]]
    assert rows.tolist() == [[0, 3], [1, 0], [2, 1], [0, 3]]
    assert lengths[1].tolist() == [0, 1]
