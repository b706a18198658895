"""Pairs within a radius equal brute force."""

from __future__ import annotations

import numpy as np

from dcgan_dist.neighbors.collisions import equal_codes
from dcgan_dist.neighbors.hamming import pairs_within
from dcgan_dist.neighbors.nearest import nearest_codes, nearest_l2


def test_pairs_and_groups_of_few_codes() -> None:
    codes = np.array([[0, 0], [0, 1], [255, 255], [0, 0]], np.uint8)

    found = [tuple(map(int, row)) for pairs in pairs_within(codes, 1) for row in zip(*pairs, strict=True)]

    assert sorted(found) == [(0, 1, 1), (0, 3, 0), (1, 3, 1)]
    assert equal_codes(codes).tolist() == [0, 1, 2, 0]


def test_nearest_of_few_rows() -> None:
    codes = np.array([[0, 0], [0, 1], [255, 255], [0, 0]], np.uint8)

    distances, ids = nearest_codes(codes, codes, 2)
    lengths, rows = nearest_l2(codes, [codes[:2], codes[2:]], 2)

    assert ids.tolist() == [[0, 3], [1, 0], [2, 1], [0, 3]]
    assert distances.tolist() == [[0, 0], [0, 1], [0, 15], [0, 0]]
    assert rows.tolist() == [[0, 3], [1, 0], [2, 1], [0, 3]]
    assert lengths[1].tolist() == [0, 1]
