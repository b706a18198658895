"""Walks end at their points, and a jump shows in the figure of smoothness."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dcgan_dist.explore.latent_math import Kind, nearest, smoothness, walk
from dcgan_dist.models.latents import seeded

KINDS: list[Kind] = ["linear", "spherical"]


@given(st.integers(2, 12), st.integers(2, 20), st.sampled_from(KINDS), st.integers(0, 1000))
def test_rows_begin_and_end_exactly_at_consecutive_points(count: int, steps: int, kind: Kind, seed: int) -> None:
    points = torch.randn(count, 100, generator=seeded(seed))

    rows = walk(points, steps, kind)

    assert rows.shape == (count - 1, steps, 100)
    assert torch.equal(rows[:, 0], points[:-1])
    assert torch.equal(rows[:, -1], points[1:])


def test_linear_walks_take_equal_steps_and_spherical_ones_equal_angles_with_even_lengths() -> None:
    points = torch.randn(2, 100, dtype=torch.float64, generator=seeded(0))

    (line,), (arc,) = walk(points, 11, "linear"), walk(points, 11, "spherical")

    steps = (line[1:] - line[:-1]).norm(dim=1)
    assert torch.allclose(steps, steps[:1].expand(10))
    directions = arc / arc.norm(dim=1, keepdim=True)
    angles = torch.arccos((directions[1:] * directions[:-1]).sum(1))
    assert torch.allclose(angles, angles[:1].expand(10))
    lengths = arc.norm(dim=1)
    assert torch.allclose(lengths, torch.linspace(float(lengths[0]), float(lengths[-1]), 11, dtype=torch.float64))


def test_spherical_walks_between_parallel_opposite_or_zero_points_stay_finite() -> None:
    z = torch.randn(100, generator=seeded(1))
    points = torch.stack([z, 2 * z, -z, torch.zeros(100), z])

    rows = walk(points, 5, "spherical")

    assert torch.isfinite(rows).all()
    torch.testing.assert_close(rows[0], torch.lerp(z, 2 * z, torch.linspace(0, 1, 5)[:, None]))


@pytest.mark.parametrize(("points", "steps"), [(1, 5), (3, 1)])
def test_a_walk_without_an_end_is_refused(points: int, steps: int) -> None:
    with pytest.raises(ValueError, match="at least 2 points and 2 steps"):
        walk(torch.zeros(points, 4), steps)


def test_smoothness_is_one_for_equal_steps_and_the_number_of_steps_for_one_jump() -> None:
    even = torch.arange(6.0)[None, :, None]
    jump = torch.tensor([0.0, 0, 0, 5, 5, 5])[None, :, None]

    assert smoothness(even) == {"mean_step": 1, "largest_step": 1, "ratio": 1, "ratio_within_rows": 1}
    assert smoothness(jump) == {"mean_step": 1, "largest_step": 5, "ratio": 5, "ratio_within_rows": 5}
    assert smoothness(torch.cat([even, jump]))["ratio_within_rows"] == 3
    assert smoothness(torch.zeros(2, 3, 4))["ratio"] == 1


def test_a_walk_that_only_recalls_takes_the_nearest_of_what_it_knows() -> None:
    rows = torch.tensor([[[0.0], [0.4], [0.6], [1.0]]])

    assert nearest(rows, torch.tensor([[1.0], [0.0]]))[0, :, 0].tolist() == [0, 0, 1, 1]
