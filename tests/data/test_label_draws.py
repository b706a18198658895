"""The protocol of few labels: validation images and labelled draws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcgan_dist.data.label_draws import SVHN_SAMPLES, check_labels, check_svhn, draw_labels, validation_split
from dcgan_dist.errors import InputError


@given(samples=st.integers(2, 500), share=st.floats(0.01, 0.99), seed=st.integers(0, 10))
def test_validation_and_rest_are_a_partition(samples: int, share: float, seed: int) -> None:
    validation = min(samples - 1, max(1, int(share * samples)))

    first, rest = validation_split(samples, validation, seed=seed)

    assert len(first) == validation
    assert sorted([*first, *rest]) == list(range(samples))


@given(seed=st.integers(0, 5), draw=st.integers(0, 20), per_class=st.integers(1, 5))
def test_a_draw_holds_every_class_equally_often_without_repeats(seed: int, draw: int, per_class: int) -> None:
    labels = np.random.default_rng(0).integers(0, 10, 400)
    _, pool = validation_split(400, 150, seed=seed)

    positions = draw_labels(labels, pool, per_class=per_class, seed=seed, draw=draw)

    assert len(set(positions)) == 10 * per_class
    assert set(positions) <= set(pool)
    assert np.bincount(labels[positions]).tolist() == [per_class] * 10


def test_draws_repeat_by_seed_and_number_and_differ_otherwise() -> None:
    labels = np.arange(10_000) % 10
    _, pool = validation_split(10_000, 1000, seed=0)

    def draw(seed: int, number: int) -> set[int]:
        return set(draw_labels(labels, pool, per_class=100, seed=seed, draw=number).tolist())

    assert draw(0, 1) == draw(0, 1)
    # 1000 of 9000: two independent draws share about 111.
    assert 70 < len(draw(0, 1) & draw(0, 2)) < 160
    assert 70 < len(draw(0, 1) & draw(1, 1)) < 160


def test_every_image_of_a_class_is_drawn_equally_often() -> None:
    labels, pool = np.arange(200) % 10, np.arange(200)

    seen = np.bincount(
        np.concatenate([draw_labels(labels, pool, per_class=5, seed=0, draw=n) for n in range(800)]), minlength=200
    )

    # 800 draws of 5 of 20: mean 200, standard deviation 12.2.
    assert abs(seen - 200).max() < 5 * 12.2
    assert 8 < seen.std() < 16


def test_the_order_of_a_draw_says_nothing_about_the_class() -> None:
    labels, pool = np.arange(2000) % 10, np.arange(2000)

    firsts = [labels[draw_labels(labels, pool, per_class=20, seed=0, draw=n)[0]] for n in range(200)]

    assert len(set(firsts)) == 10


def test_what_cannot_be_drawn_is_said() -> None:
    labels = np.repeat(np.arange(10), 100)
    labels[0] = 1

    with pytest.raises(InputError, match="class 0 has 99 images to draw 100 labels from"):
        draw_labels(labels, np.arange(1000), per_class=100, seed=0, draw=0)
    with pytest.raises(InputError, match="10,000 validation images cannot be cut off 946"):
        validation_split(946, 10_000, seed=0)
    with pytest.raises(InputError, match="the train split has 946 images and SVHN's has 73,257"):
        check_svhn("train", labels[:946])
    with pytest.raises(InputError, match=r"2 images without a label from 0 to 9 .the first at position 3"):
        check_labels("test", np.array([1, 2, 3, -1, 10]))
    check_svhn("test", np.zeros(SVHN_SAMPLES["test"], np.int64))
