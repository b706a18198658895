"""Hubs, authenticity, distribution functions and planted copies, against counting by hand."""

import tracemalloc

import numpy as np
import pytest
from scipy.stats import ecdf

from dcgan_dist.memorization.check import learn_coder
from dcgan_dist.memorization.distances import band_half_width, count_hubs
from dcgan_dist.memorization.encoded_images import EncodedImages
from dcgan_dist.memorization.nearest_images import SPACES, find_nearest, search_space
from dcgan_dist.memorization.planted_copies import KINDS, plant
from dcgan_dist.memorization.row_file import RowFile
from dcgan_dist.memorization.space_statistics import authenticity


def test_hubs_are_counted_and_ten_of_them_named() -> None:
    hubs = {"distinct": 3, "most": 3, "share_of_ten": 1.0, "ids": (7, 3, 9)}
    ten_of_twenty = {"distinct": 20, "most": 5, "share_of_ten": 0.5, "ids": tuple(range(10))}

    assert count_hubs(np.array([7, 3, 7, 7, 9, 3])) == hubs
    assert count_hubs(np.repeat(np.arange(20), 5)) == ten_of_twenty


def test_a_copy_is_not_authentic_and_an_independent_image_is_in_half_of_all_cases() -> None:
    rng = np.random.default_rng(0)
    coder = learn_coder(rng.integers(0, 256, (100, 3, 32, 32), dtype=np.uint8), np.empty((0, 3, 32, 32), np.uint8))

    def draw(n: int) -> np.ndarray:
        """Images with five degrees of freedom."""
        return rng.integers(0, 256, (n, 5), dtype=np.uint8)[:, np.arange(3072) % 5].reshape(n, 3, 32, 32)

    images = draw(200)
    train = EncodedImages.of(images, coder)

    def share(others: np.ndarray) -> float:
        return authenticity("pixels", find_nearest(EncodedImages.of(others, coder), train), train)

    assert share(images[:100] ^ 1) == 0.0
    assert share(draw(200)) == pytest.approx(0.5, abs=0.12)


def test_training_images_stay_on_disk_while_they_are_searched() -> None:
    rng = np.random.default_rng(2)
    images, features = RowFile((3, 32, 32), np.uint8), RowFile((128,), np.float32)
    for _ in range(10):
        images.append(rng.integers(0, 256, (4000, 3, 32, 32), dtype=np.uint8))
        features.append(rng.standard_normal((4000, 128), np.float32))
    train = EncodedImages(images=images, features=features)
    rows = np.array([39_999, 17, 20_000])

    tracemalloc.start()
    found = [search_space(space, train[rows], train, 2)[1][:, 0].tolist() for space in SPACES]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert found == [rows.tolist()] * 3
    assert peak < 0.7 * images[:].nbytes  # some blocks of it


def test_bands_hold_the_whole_true_function_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    outside = 0
    for _ in range(400):
        function = ecdf(rng.random(50)).cdf
        x, y = function.quantiles, function.probabilities
        outside += max(np.abs(y - x).max(), np.abs(y - 1 / 50 - x).max()) > band_half_width(50, 0.9)

    assert outside / 400 <= 0.1 + 3 * (0.09 / 400) ** 0.5


def test_planted_copies_differ_a_little_and_are_the_same_for_a_seed() -> None:
    images = np.random.default_rng(3).integers(0, 256, (9, 3, 8, 8)).repeat(4, 2).repeat(4, 3).astype(np.uint8)

    copies, kinds = plant(images, seed=5)

    assert [KINDS[kind] for kind in kinds[:3]] == list(KINDS)
    assert copies.shape == images.shape
    difference = np.abs(copies.astype(int) - images).mean((1, 2, 3))
    strange = np.abs(copies.astype(int) - np.roll(images, 1, 0)).mean((1, 2, 3))
    assert (difference > 1).all()
    assert (difference < strange).all()
    assert np.array_equal(copies, plant(images, seed=5)[0])
    assert not np.array_equal(copies, plant(images, seed=6)[0])
