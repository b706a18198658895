"""The linear SVMs against scikit-learn's LinearSVC, and against their own other form."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.svm import LinearSVC
from torch import Tensor

from dcgan_dist.errors import InputError
from dcgan_dist.tables.linear_probe import FewRows, LinearSvm, fit_linear_svm


def problem(n: int, d: int, *, classes: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Rows that do not separate, with a large common part as rectified features have: (n, d) float64, (n,)."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % classes
    centres = torch.randn(classes, d, generator=draw, dtype=torch.float64)
    return (0.3 * centres[labels] + torch.randn(n, d, generator=draw, dtype=torch.float64) + 1).clamp(min=0), labels


def reference(features: Tensor, labels: Tensor, c: float) -> LinearSVC:
    return LinearSVC(C=c, tol=1e-8, max_iter=200_000).fit(features.numpy(), labels.numpy())


def solve(features: Tensor, labels: Tensor, c: float, start: LinearSvm | None = None) -> LinearSvm:
    return fit_linear_svm(
        lambda: iter(features.split(17)), labels, c, classes=3, dimensions=features.shape[1], start=start
    )


def solve_on_gram_matrix(features: Tensor, labels: Tensor, c: float) -> LinearSvm:
    return FewRows(features, labels, classes=3).fit(c)


def rounded(features: Tensor, labels: Tensor, c: float) -> LinearSvm:
    return solve(features.float(), labels, c)


def distance(svm: LinearSvm, other: LinearSVC) -> float:
    ours = torch.cat([svm.weights, svm.intercept[None]]).numpy()
    theirs = np.concatenate([other.coef_.T, np.atleast_1d(other.intercept_)[None]])
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


@pytest.mark.parametrize("c", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize(
    ("solver", "n", "d", "repeats", "tolerance"),
    [
        (solve, 120, 20, 1, 1e-4),
        (solve, 60, 90, 1, 1e-4),
        (rounded, 120, 20, 1, 1e-3),
        (solve_on_gram_matrix, 50, 200, 1, 2e-4),
        (solve_on_gram_matrix, 30, 100, 2, 2e-4),  # equal rows make the matrix singular
    ],
)
def test_weights_and_intercepts_are_those_of_linear_svc(
    solver: Callable[..., LinearSvm], n: int, d: int, repeats: int, tolerance: float, c: float
) -> None:
    features, labels = problem(n, d)
    features, labels = features.repeat(repeats, 1), labels.repeat(repeats)

    svm = solver(features, labels, c)

    assert svm.converged or solver is rounded
    assert distance(svm, reference(features, labels, c)) < tolerance


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_rows_that_depend_on_each_other_have_the_svm_of_linear_svc(dtype: torch.dtype) -> None:
    """More rows than the features have dimensions, as those of a narrow discriminator do."""
    few, labels = problem(90, 20)
    features = (few @ torch.randn(20, 400, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).to(dtype)
    if dtype == torch.float16:  # as they are stored: rounding alone makes them independent
        features[45:], labels = features[:45].clone(), labels[:45].repeat(2)

    svm = solve_on_gram_matrix(features, labels, 1e-3)

    assert distance(svm, reference(features.double(), labels, 1e-3)) < 1e-3


def test_a_warm_start_changes_the_time_and_not_the_svm() -> None:
    features, labels = problem(300, 40)
    first = solve(features, labels, 5e-2)

    cold, warm = solve(features, labels, 1e-1), solve(features, labels, 1e-1, start=first)

    assert warm.passes < cold.passes
    assert (warm.weights - cold.weights).norm() < 1e-4 * cold.weights.norm()


@pytest.mark.parametrize("few", [False, True])
def test_the_solution_for_another_c_is_left_though_the_tolerance_alone_would_take_it(few: bool) -> None:
    """A large common part makes the gradient at 0, by which the tolerance goes, a hundred times the others."""
    features, labels = problem(60, 90)
    features, c = features + 30, (2e-3, 5e-3)
    if few:
        rows = FewRows(features, labels, classes=3)
        first, second = (rows.fit(each, tol=1e-2) for each in c)
    else:
        first = second = None
        for each in c:
            shape = {"classes": 3, "dimensions": 90, "start": second, "tol": 1e-2}
            first, second = second, fit_linear_svm(lambda: iter([features]), labels, each, **shape)

    assert first is not None
    assert second is not None
    truth = reference(features, labels, c[1])
    assert distance(second, truth) < 0.5 * distance(first, truth)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), c=st.sampled_from([1e-4, 1e-3, 1e-1]))
def test_rows_without_a_label_have_no_part(seed: int, c: float) -> None:
    features, labels = problem(60, 10, seed=seed)
    labelled = torch.rand(60, generator=torch.Generator().manual_seed(seed)) < 0.7
    labelled[:3] = True  # each class keeps a row

    masked = solve(features, torch.where(labelled, labels, -1), c)
    alone = solve(features[labelled], labels[labelled], c)

    assert (masked.weights - alone.weights).norm() < 1e-4 * alone.weights.norm()


def test_non_finite_features_and_classes_without_a_row_are_refused() -> None:
    features, labels = problem(60, 100)
    broken = features.clone()
    broken[5, 7] = torch.nan

    with pytest.raises(InputError, match="NaN"):
        solve(broken, labels, 1e-2)
    with pytest.raises(InputError, match="NaN"):
        FewRows(broken, labels, classes=3)
    with pytest.raises(InputError, match="class 2 has no image"):
        solve(features, labels.clamp(max=1), 1e-2)
    with pytest.raises(InputError, match="labels must be"):
        solve(features, labels + 1, 1e-2)
