"""The benchmark of neighbours, on codes so few that its figures mean nothing."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dcgan_dist.bench.neighbors_codes import flip_rates, noisy_copies, principal_signs


def test_benchmark_writes_what_it_prints(figures: Callable[[str, str], Any]) -> None:
    flags = "--sizes 500 2000 --compared-at 2000 --faiss-queries 100 --collisions 1000 --no-l2"

    result = figures("neighbors", flags)

    assert [(row["codes"], row["n"]) for row in result["pairs"]] == [("uniform", 500), ("uniform", 2000)]
    assert result["faiss_flat"][0]["FAISS queries"] == 100
    assert result["faiss_flat"][0]["seconds_scaled"] >= 20 * result["faiss_flat"][0]["seconds"]
    assert result["collisions"][0]["groups"] == 750


def test_noisy_copies_flip_every_bit_at_its_own_rate() -> None:
    codes = np.zeros((3, 16), np.uint8)
    rates = {"one": np.linspace(0, 0.5, 128), "other": np.zeros(128)}

    flipped = np.unpackbits(noisy_copies(codes, 40_000, rates), axis=1)

    np.testing.assert_allclose(flipped.mean(0), rates["one"] / 2, atol=0.012)
    assert (flipped.sum(1) == 0).sum() >= 20_000


def test_codes_of_pictures_stay_nearer_to_their_copies_than_to_others() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (400, 4, 4, 3), np.uint8)
    images = coarse.repeat(8, axis=1).repeat(8, axis=2)

    encode = principal_signs(images, bits=32)
    rates = flip_rates(images, encode, measured_on=400)

    codes = np.unpackbits(encode(images), axis=1)
    others = (codes[1:] != codes[:-1]).mean()
    assert codes.shape == (400, 32)
    assert all(rate.mean() < others / 2 for rate in rates.values())
