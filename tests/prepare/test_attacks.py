"""Attacks: pure, of the same shape, and really another image."""

import numpy as np
import pytest

from dcgan_dist.prepare.attacks import ATTACKS, SHIFT, attack
from dcgan_dist.prepare.sources.room_drawing import draw_room


def room(number: int = 0, size: int = 64) -> np.ndarray:
    return np.asarray(draw_room(0, number, size)[0])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_a_function_of_image_and_seed(name: str, channels: int) -> None:
    image = room()[:, :50, :channels]
    before = image.copy()

    first, second = attack(name, image, 7), attack(name, image, 7)

    assert np.array_equal(first, second)
    assert first.shape == image.shape
    assert first.dtype == np.uint8
    assert np.array_equal(image, before)
    assert not np.array_equal(first, image)


@pytest.mark.parametrize("name", ["resize", "shift", "colour", "border-over", "border-around"])
def test_seeds_differ(name: str) -> None:
    copies = {attack(name, room(), seed).tobytes() for seed in range(20)}

    assert len(copies) > 5


def test_a_shift_moves_the_image_by_two_pixels() -> None:
    image = room()

    for seed in range(20):
        moved = attack("shift", image, seed)
        places = [
            (dy, dx)
            for dy in (-SHIFT, 0, SHIFT)
            for dx in (-SHIFT, 0, SHIFT)
            if np.array_equal(moved[4:-4, 4:-4], image[4 + dy : 60 + dy, 4 + dx : 60 + dx])
        ]
        assert len(places) == 1
        assert places != [(0, 0)]
