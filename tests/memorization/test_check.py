"""The whole check on drawn images: who copies is found, who does not is not, and what cannot be told is said."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dcgan_dist.errors import InputError
from dcgan_dist.memorization.check import PLANTED, check_memorization, check_thumbnails, learn_coder
from dcgan_dist.memorization.planted_copies import plant
from dcgan_dist.similarity.codes import Coder
from tests.memorization.test_image_sets import save, smooth

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def coder() -> Coder:
    """Learnt once, from other images of the same source."""
    return learn_coder(smooth(300, seed=100), smooth(0))


def noisy(images: Pixels, seed: int = 0) -> Pixels:
    noise = np.random.default_rng(seed).normal(0, 6, images.shape)
    return np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)


def test_a_generator_that_replays_training_images_fails_however_few_there_are(coder: Coder) -> None:
    train, held_out = smooth(120, seed=1), smooth(60, seed=2)

    memorization = check_thumbnails(
        noisy(train[np.random.default_rng(3).integers(0, 120, 150)]), train, held_out, coder
    )

    assert memorization.verdict.verdict == "fail"
    assert memorization.statistics["copy_rate"]["copies"] == 150
    assert memorization.statistics["c_t"]["p_value"] <= 0.001
    assert memorization.statistics["spaces"]["pixels"]["mann_whitney"]["z"] < -5
    assert memorization.statistics["spaces"]["pixels"]["authenticity"]["samples"] < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("copies", [0, 60])
def test_held_out_images_posing_as_samples_pass_until_copies_are_among_them(copies: int, coder: Coder) -> None:
    every = smooth(4000, seed=4)
    train, held_out, samples = every[:500], every[500:1700], every[1700:]
    samples[:copies] = noisy(train[:copies])

    memorization = check_thumbnails(samples, train, held_out, coder)

    assert memorization.verdict.verdict == ("fail" if copies else "pass")
    assert memorization.statistics["detection_limit"] < 0.01


def test_near_duplicates_among_held_out_images_are_removed_and_counted(coder: Coder) -> None:
    train, held_out = smooth(50, seed=5), smooth(80, seed=6)
    held_out[:30] = noisy(train[:30])

    memorization = check_thumbnails(smooth(40, seed=7), train, held_out, coder)

    assert memorization.statistics["near_duplicates_removed"] == 30
    assert memorization.duplicates[:30].all()
    assert memorization.verdict.verdict == "inconclusive"
    assert "50 held-out images are left after 30" in memorization.verdict.reasons[1]


def test_without_held_out_images_the_nearest_are_still_found(coder: Coder) -> None:
    train = smooth(60, seed=10)

    memorization = check_thumbnails(noisy(train[[7, 3]]), train, train[:0], coder)

    assert memorization.verdict.verdict == "inconclusive"
    assert memorization.samples.most_similar.tolist() == [7, 3]
    assert memorization.statistics["copy_rate"] is None


def test_mirrored_copies_are_found_where_training_mirrored_its_images(coder: Coder) -> None:
    train, held_out = smooth(120, seed=1), smooth(60, seed=2)
    samples = noisy(train[:40])
    samples[::2] = samples[::2, :, :, ::-1]

    one_way, either = (check_thumbnails(samples, train, held_out, coder, flip=flip) for flip in (False, True))

    assert one_way.statistics["copy_rate"]["copies"] < 25
    assert either.statistics["copy_rate"]["copies"] == 40
    assert either.samples.most_similar.tolist() == list(range(40))
    for space in ("pixels", "code", "features"):
        assert (either.samples.distances[space] <= one_way.samples.distances[space]).all()
        assert (either.held_out.distances[space] <= one_way.held_out.distances[space]).all()
    assert (either.samples.ids["pixels"] == np.arange(40)).all()


def test_planted_copies_of_grey_images_are_grey_and_of_others_as_before() -> None:
    colour = smooth(30)
    grey = np.repeat(colour[:, :1], 3, 1)

    copies, kinds = plant(grey, seed=1)

    assert (copies == copies[:, :1]).all()
    assert all((copies[kinds == kind] != grey[kinds == kind]).any((1, 2, 3)).all() for kind in range(3))
    assert (plant(colour)[0] != plant(colour)[0][:, :1]).any()


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(InputError, match="`seed` -1"):
        check_memorization(smooth(20), smooth(20), seed=-1)


@dataclass
class CountingCoder:
    """A coder that counts the images it encodes."""

    inner: Coder
    counted: int = 0
    name: ClassVar[str] = "recommended"

    @property
    def code_bits(self) -> int:
        return self.inner.code_bits

    def embed(self, images: Pixels) -> NDArray[np.float32]:
        self.counted += len(images)
        return self.inner.embed(images)

    def encode(self, images: Pixels) -> NDArray[np.uint8]:
        self.counted += len(images)
        return self.inner.encode(images)

    def save(self, folder: Path) -> None:
        raise NotImplementedError


def test_every_image_is_encoded_once(coder: Coder) -> None:
    counting = CountingCoder(coder)

    check_thumbnails(smooth(30, seed=12), smooth(PLANTED + 90, seed=11), smooth(20, seed=13), counting)

    assert counting.counted == 30 + (PLANTED + 90) + 20 + PLANTED  # each summand another number


def test_nearest_images_are_those_of_brute_force(coder: Coder) -> None:
    train, samples = smooth(90, seed=11), smooth(30, seed=12)

    nearest = check_thumbnails(samples, train, smooth(20, seed=13), coder).samples

    flat = [images.reshape(len(images), -1).astype(np.float64) for images in (samples, train)]
    pixels = np.linalg.norm(flat[0][:, None] - flat[1][None], axis=2)
    codes = [np.unpackbits(coder.encode(images), axis=1) for images in (samples, train)]
    bits = (codes[0][:, None] != codes[1][None]).sum(2)
    assert np.array_equal(nearest.ids["pixels"], pixels.argmin(1))
    assert nearest.distances["pixels"] == pytest.approx(pixels.min(1), rel=1e-4)
    assert nearest.distances["code"].tolist() == bits.min(1).tolist()


@pytest.mark.parametrize("side", [28, 64])
def test_sets_of_any_size_are_read_and_compared_as_thumbnails(side: int, tmp_path: Path) -> None:
    train, held_out = smooth(40, side=2 * side, seed=14), smooth(30, side=side, seed=15)
    samples = smooth(40, side=side, seed=14)[:, :, :, ::-1]
    save(train, tmp_path / "train")
    np.save(tmp_path / "held_out.npy", held_out)

    arrays = check_memorization(torch.from_numpy(samples.copy()), train, [held_out[:10], held_out[10:]], seed=3)
    places = check_memorization(samples, str(tmp_path / "train"), tmp_path / "held_out.npy", seed=3)

    assert arrays.statistics | {"seconds": 0} == places.statistics | {"seconds": 0}
    assert (arrays.statistics["samples"], arrays.statistics["train"], arrays.statistics["held_out"]) == (40, 40, 30)
    assert check_memorization(train, tmp_path / "train").samples.distances["pixels"].max() == 0
