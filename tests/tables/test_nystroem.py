"""The preconditioner against exact inverses, and what it is worth to the linear SVMs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dcgan_dist.tables.linear_probe import fit_linear_svm, sketch_rows
from dcgan_dist.tables.nystroem import Nystroem


def decaying_rows(n: int, d: int, *, seed: int = 0) -> Tensor:
    """Rows whose covariance falls like the square of the direction's number, as that of images' features does: (n, d)."""
    draw = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(d, d, generator=draw, dtype=torch.float64))[0]
    return torch.randn(n, d, generator=draw, dtype=torch.float64) * 30 / torch.arange(1, d + 1) @ rotation


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-6, 1e3))
def test_a_sketch_of_every_direction_is_the_inverse(seed: int, scale: float) -> None:
    rows = decaying_rows(60, 12, seed=seed)
    right = torch.randn(12, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    sketch = Nystroem.sketch(lambda v: rows.T @ (rows @ v), right, 12)

    solved = sketch.solve(right, torch.tensor([scale, 2 * scale], dtype=torch.float64))

    for column, s in enumerate((scale, 2 * scale)):
        product = solved[:, column] + s * rows.T @ (rows @ solved[:, column])
        factor = product @ right[:, column] / right[:, column].square().sum()
        torch.testing.assert_close(product, factor * right[:, column], rtol=1e-6, atol=1e-6 * float(factor))


def test_rows_in_a_plane_have_two_values() -> None:
    rows = decaying_rows(50, 2) @ torch.randn(2, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    sketch = Nystroem.sketch(lambda v: rows.T @ (rows @ v), rows.T, 10)

    assert len(sketch.values) == 2
    torch.testing.assert_close(sketch.values, torch.linalg.eigvalsh(rows.T @ rows)[-2:])


@pytest.mark.parametrize("c", [1e-2, 1e-1])
def test_it_changes_the_passes_and_not_the_svm(c: float) -> None:
    rows = decaying_rows(600, 300)
    draw = torch.Generator().manual_seed(3)
    labels = (rows[:, :3] + torch.randn(600, 3, generator=draw, dtype=torch.float64)).argmax(1)

    def blocks():
        return iter(rows.split(100))

    small, large = (
        fit_linear_svm(
            blocks, labels, c, classes=3, dimensions=300, tol=1e-8, sketch=sketch_rows(blocks, 300, rank=rank)
        )
        for rank in (1, 60)
    )

    assert large.converged
    assert 2 * large.passes < small.passes
    assert (large.weights - small.weights).norm() < 1e-5 * small.weights.norm()


def test_rows_of_zeros_ask_for_nothing() -> None:
    right = torch.ones(4, 2)

    sketch = Nystroem.sketch(torch.zeros_like, right, 3)

    assert torch.equal(sketch.solve(right, torch.ones(2)), right)
