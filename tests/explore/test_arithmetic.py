"""Arithmetic and turns on a linear generator, where the truth is known; choosing and reading exemplars."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dcgan_dist.errors import InputError
from dcgan_dist.explore.exemplars import disjoint_groups, read_exemplars, score_samples
from dcgan_dist.explore.latent_math import along, combine, difference, surroundings
from dcgan_dist.models.generator import Generator
from dcgan_dist.models.latents import seeded
from dcgan_dist.quality.sampling import fixed_latents


def test_arithmetic_is_exact_on_a_linear_generator() -> None:
    # z = (smile, glasses, rest): the image shows each by its own pixels, so the sums of images are known.
    linear = torch.randn(5, 12, dtype=torch.float64, generator=seeded(0))
    rest = [torch.randn(3, 3, dtype=torch.float64, generator=seeded(1, i)) for i in range(3)]
    smiling, neutral, other = (torch.cat([torch.zeros(3, 2), r], 1) for r in rest)
    smiling[:, 0] = 1.0
    neutral[:, 2:] = smiling[:, 2:]  # the same people without a smile

    y = combine(smiling, neutral, other)

    assert torch.allclose(y, torch.cat([torch.tensor([1.0, 0.0]), other[:, 2:].mean(0)]))
    torch.testing.assert_close(y @ linear, combine(smiling @ linear, neutral @ linear, other @ linear))


def test_turning_is_exact_on_a_linear_generator() -> None:
    linear = torch.randn(6, 10, dtype=torch.float64, generator=seeded(2))
    left, right, z = (torch.randn(4, 6, dtype=torch.float64, generator=seeded(3, i)) for i in range(3))
    shares = torch.linspace(-1, 1, 5, dtype=torch.float64)

    rows = along(z, difference(left, right), shares)

    moved = (left @ linear).mean(0) - (right @ linear).mean(0)
    torch.testing.assert_close(rows @ linear, (z @ linear)[:, None] + shares[:, None] * moved)
    assert torch.equal(rows[:, 2], z)


def test_surroundings_hold_y_in_the_centre_and_stay_within_the_noise() -> None:
    y = torch.randn(100, generator=seeded(4))

    grid = surroundings(y, noise=0.25, seed=1)

    assert grid.shape == (9, 100)
    assert torch.equal(grid[4], y)
    offsets = (grid - y)[[0, 1, 2, 3, 5, 6, 7, 8]]
    assert 0.24 < offsets.abs().max() <= 0.25
    assert offsets.std().item() == pytest.approx(0.25 / 3**0.5, rel=0.1)
    assert torch.equal(grid, surroundings(y, noise=0.25, seed=1))


def test_exemplars_are_the_samples_that_people_see_or_rows_of_files(generator: Generator, tmp_path: Path) -> None:
    z = np.random.default_rng(0).normal(size=(2, generator.config.latent_dim)).astype(np.float32)
    np.save(tmp_path / "z.npy", z)

    got = read_exemplars(["70", "5:1", str(tmp_path / "z.npy")], generator, seed=3, field="a")

    assert torch.equal(got[0], fixed_latents(generator, 0, 80, seed=3)[0][70])
    assert torch.equal(got[1], fixed_latents(generator, 0, 2, seed=5)[0][1])
    assert torch.equal(got[2:], torch.from_numpy(z))


def test_exemplars_that_are_none_are_refused(generator: Generator, tmp_path: Path) -> None:
    np.save(tmp_path / "short.npy", np.zeros((3, 7), np.float32))
    np.save(tmp_path / "nan.npy", np.full((1, generator.config.latent_dim), np.nan))
    np.save(tmp_path / "object.npy", np.array([{}]), allow_pickle=True)

    for item, message in (
        ("smile", "none of"),
        (str(tmp_path / "short.npy"), r"\(3, 7\)"),
        (str(tmp_path / "nan.npy"), "finite"),
        (str(tmp_path / "object.npy"), "cannot be read"),
        (str(tmp_path / "none.npy"), "cannot be read"),
    ):
        with pytest.raises(InputError, match=message):
            read_exemplars([item], generator, seed=0, field="a")


def test_scores_are_those_of_the_samples_in_their_order(generator: Generator) -> None:
    def mean(images: torch.Tensor) -> np.ndarray:
        return images.mean((1, 2, 3)).double().numpy()

    scores = score_samples(generator, 300, mean, seed=2)

    with torch.no_grad():
        expected = mean(generator(fixed_latents(generator, 0, 300, seed=2)[0]))
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_groups_take_the_highest_and_share_no_sample() -> None:
    scores = np.random.default_rng(1).normal(size=500)

    groups = disjoint_groups(scores, 3, 20, seed=0)

    assert groups.shape == (20, 3)
    assert set(groups.ravel()) == set(np.argsort(-scores)[:60])
