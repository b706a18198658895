"""Linear support vector machines on any number of rows and features, with the objective of scikit-learn's LinearSVC.

One against the rest, for every class k: 0.5 (|w|^2 + b^2) + C sum_i max(0, 1 - y_ik (w x_i + b))^2. The intercept is
penalised and the loss is summed, both as liblinear has it. All classes are solved at once by Newton's method with
preconditioned conjugate gradients, which read the rows a block at a time and only for products with them; where there are
fewer rows than features, the rows are first replaced by the triangular factor of their Gram matrix, which changes neither
objective nor scores.
Source: Keerthi and DeCoste, A modified finite Newton method for fast solution of large scale linear SVMs, JMLR 2005.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dcgan_dist.errors import require
from dcgan_dist.tables.nystroem import Nystroem
from dcgan_dist.tables.row_products import add_rows, as_stored, score_rows

Blocks = Callable[[], Iterator[Tensor]]
"""Gives the rows again from the start, a block (b, d) of floats at a time, on the device that is computed on."""

NOT_FINITE = (
    "the features hold NaN or infinity: the discriminator diverged in training, or its weights are damaged; take an "
    "earlier checkpoint"
)
NEWTON_STEPS, CONJUGATE_STEPS, HALVINGS = 100, 1000, 30
FACTOR_ROWS = 256  # multiplied at once: they are in the cache between their scores and their sums
RANK = 500
"""Directions of the sketch that preconditions the conjugate gradients."""
ARMIJO = 1e-4  # a step must lower the objective by this share of what its slope promises


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearSvm:
    """A separating plane per class; the class with the highest row @ weights + intercept wins."""

    weights: Tensor
    """(d, classes)."""
    intercept: Tensor
    """(classes,)."""
    converged: bool
    """Whether the gradient fell below the tolerance; False where rounding or the step limit ended the search before."""
    passes: int
    """Times the rows were read."""


@dataclass(slots=True)
class _Rows:
    """Products of the rows, a block at a time, with a constant 1 for the intercept unless `plain`."""

    blocks: Blocks
    dtype: torch.dtype
    plain: bool = False
    passes: int = 0

    def walk(self) -> Iterator[tuple[Tensor, slice]]:
        self.passes += 1
        start = 0
        for block in self.blocks():
            yield as_stored(block, self.dtype), slice(start, start + len(block))
            start += len(block)

    def gradient(self, w: Tensor, r: Tensor) -> Tensor:
        """(d + 1, k), as w: the sum of the rows, each times its r."""
        sums = torch.zeros_like(self._columns(w))
        for block, rows in self.walk():
            add_rows(sums, block, r[rows])
        return self._with_intercept(sums, r)

    def through(self, w: Tensor, weigh: Callable[[Tensor, slice], Tensor]) -> tuple[Tensor, Tensor]:
        """Scores (n, k) of w, and the sum (d + 1, m) of the rows, each times what `weigh` makes of its scores; one pass."""
        columns, scores, factors = self._columns(w), [], []
        sums: Tensor | None = None
        for block, rows in self.walk():
            scores.append(score_rows(block, columns) + (0 if self.plain else w[-1]))
            factors.append(weigh(scores[-1], rows))
            if sums is None:
                sums = columns.new_zeros(factors[-1].shape[1], columns.shape[1])
            add_rows(sums, block, factors[-1])
        assert sums is not None
        return torch.cat(scores), self._with_intercept(sums, torch.cat(factors))

    def _columns(self, w: Tensor) -> Tensor:
        """(k, d), contiguous, without the intercept."""
        return (w if self.plain else w[:-1]).T.contiguous()

    def _with_intercept(self, sums: Tensor, factors: Tensor) -> Tensor:
        """Sums (k, d) as w (d + 1, k)."""
        return sums.T if self.plain else torch.cat([sums.T, factors.sum(0, keepdim=True)])

    def sketch(self, like: Tensor, rank: int = RANK) -> Nystroem:
        """What preconditions every problem on these rows; `like` has the shape (d + 1, any), precision and device of w."""

        def gram(v: Tensor) -> Tensor:
            _, product = self.through(v, lambda scores, _: scores)
            require(bool(product.isfinite().all()), NOT_FINITE)
            return product

        return Nystroem.sketch(gram, like, rank)


def sketch_rows(blocks: Blocks, dimensions: int, *, rank: int = RANK) -> Nystroem:
    """A sketch of the rows, in one pass, that makes `fit_linear_svm` quick for every C and choice of labelled rows.

    Raises:
        InputError: a non-finite feature.
    """
    first = next(blocks())
    dtype = torch.float64 if first.dtype == torch.float64 else torch.float32
    return _Rows(blocks, dtype).sketch(torch.empty(dimensions + 1, 0, dtype=dtype, device=first.device), rank)


def fit_linear_svm(
    blocks: Blocks,
    labels: Tensor,
    c: float,
    *,
    classes: int,
    dimensions: int,
    start: LinearSvm | None = None,
    sketch: Nystroem | None = None,
    tol: float = 1e-6,
) -> LinearSvm:
    """Solve for all classes on rows that are read in blocks.

    Args:
        blocks: the rows, floats of any precision; products are float32 unless the rows are float64.
        labels: (n,) int64; a row labelled -1 is read but has no part in the objective.
        c: weight of the loss, as LinearSVC's C.
        classes: number of classes.
        dimensions: features of a row.
        start: where to begin, for example the solution for a smaller C; changes the time, not the result.
        sketch: of the rows (`sketch_rows`), where several SVMs learn from them; changes the time, not the result.
        tol: the search ends where every class's gradient is below tol times its gradient at 0.

    Raises:
        InputError: a class without a row, or a non-finite feature.
    """
    first = next(blocks())
    device, dtype = first.device, torch.float64 if first.dtype == torch.float64 else torch.float32
    targets, used = one_against_rest(labels.to(device), classes, dtype)
    w = torch.zeros(dimensions + 1, classes, device=device, dtype=dtype)
    if start is not None:
        w = torch.cat([start.weights, start.intercept[None]]).to(w)
    rows = _Rows(blocks, dtype)
    problem = _Problem(rows, sketch or rows.sketch(w), targets, used, c)
    w, converged = problem.minimise(w, tol)
    return LinearSvm(weights=w[:-1], intercept=w[-1], converged=converged, passes=rows.passes)


class FewRows:
    """Rows fewer than their features, solved for any number of C's on the triangular factor of their Gram matrix.

    The solution is a sum of rows, so only their products count: with K = X X' + 1 = L L', rows L give the same scores and the
    same norm, and w = X' L'^-1 u. Float64, as K squares the spread of the rows.
    """

    def __init__(self, features: Tensor, labels: Tensor, *, classes: int) -> None:
        """Take rows (n, d) of any precision and labels (n,) int64.

        Raises:
            InputError: a class without a row, or a non-finite feature.
        """
        self.features, self.classes = features, classes
        gram = _products(features, torch.float64 if features.dtype == torch.float64 else torch.float32)
        require(bool(gram.isfinite().all()), NOT_FINITE)
        self.targets, self.used = one_against_rest(labels.to(features.device), classes, torch.float64)
        factor, singular = torch.linalg.cholesky_ex(gram)
        if singular:  # rows that depend on each other: float32 rounds K's zeros below zero
            factor = torch.linalg.cholesky(_products(features, torch.float64))
        self.factor = factor.contiguous()
        self._start = torch.zeros(len(features), classes, dtype=torch.float64, device=features.device)
        self._rows = _Rows(lambda: iter(self.factor.split(FACTOR_ROWS)), torch.float64, plain=True)
        self._sketch = self._rows.sketch(self._start)

    def fit(self, c: float, *, tol: float = 1e-6) -> LinearSvm:
        """The solution for one C, begun at that of the C before."""
        before = self._rows.passes
        problem = _Problem(self._rows, self._sketch, self.targets, self.used, c)
        u, converged = problem.minimise(self._start, tol)
        self._start = u
        alpha = torch.linalg.solve_triangular(self.factor.T, u, upper=True)
        weights = self.features.T.to(torch.float64 if self.features.dtype == torch.float64 else torch.float32)
        return LinearSvm(
            weights=weights @ alpha.to(weights.dtype),
            intercept=alpha.sum(0).to(weights.dtype),
            converged=converged,
            passes=self._rows.passes - before,
        )


def _products(features: Tensor, dtype: torch.dtype) -> Tensor:
    """X X' + 1 of rows (n, d), summed in `dtype`, (n, n) float64; the diagonal a little larger, as equal rows make it singular."""
    gram = sum((block @ block.T for block in (part.to(dtype) for part in features.split(4096, dim=1))), torch.zeros(()))
    gram = gram.double() + 1
    gram.diagonal().mul_(1 + 1e-9)
    return gram


def one_against_rest(labels: Tensor, classes: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Targets (n, classes) of +1 and -1, and 1 for every labelled row, else 0: (n, 1).

    Raises:
        InputError: a label that is no class, or a class without a row.
    """
    require(bool(((labels >= -1) & (labels < classes)).all()), f"labels must be -1 (not used) or 0 to {classes - 1}")
    counts = torch.bincount(labels[labels >= 0], minlength=classes)
    require(bool((counts > 0).all()), f"class {int(counts.argmin())} has no image to learn from: give more images")
    targets = torch.where(labels[:, None] == torch.arange(classes, device=labels.device), 1.0, -1.0).to(dtype)
    return targets, (labels >= 0)[:, None].to(dtype)


@dataclass(frozen=True, slots=True)
class _Problem:
    """The objective of every class for one C, and its minimisation by Newton's method."""

    rows: _Rows
    sketch: Nystroem
    y: Tensor
    """(n, classes) of +1 and -1."""
    used: Tensor
    """(n, 1): 1 for rows that count, else 0."""
    c: float

    def minimise(self, w: Tensor, tol: float) -> tuple[Tensor, bool]:
        """Begin at w (d + 1, classes); the solution, and whether its gradient is small enough."""
        rows, y, used, c = self.rows, self.y, self.used, self.c
        scores, pulled = rows.through(w, lambda scores, at: torch.cat([self._pulls(scores, at), (y * used)[at]], 1))
        pulled, at_zero = pulled.chunk(2, 1)
        limit = tol * _norm(2 * c * at_zero)
        # Another C's solution can be near enough by the gradient at 0 alone, and is not this one: it has to come nearer.
        limit = torch.minimum(limit, torch.maximum(0.1 * _norm(w - 2 * c * pulled), 0.01 * limit))
        require(bool(limit.isfinite().all() and scores.isfinite().all()), NOT_FINITE)
        value = self._value(w, scores)
        for _ in range(NEWTON_STEPS):
            gradient = w - 2 * c * pulled
            norm = _norm(gradient)
            if bool((norm <= limit).all()):
                return w, True
            mask = 2 * c * used * (y * scores < 1)
            # Far from the solution a rough direction is enough; near it the steps are Newton's own.
            enough = torch.minimum(norm * (norm * tol / limit).sqrt().clamp(max=0.1), norm * 0.1).clamp(min=limit * 0.3)
            direction, along = self._solve(mask, -gradient, enough)
            size, better = self._line_search(w, direction, scores, along, value, (gradient * direction).sum(0))
            if not bool(better.any()):
                return w, False  # rounding ends the descent
            w, scores = w + size.to(w.dtype) * direction, scores + size.to(w.dtype) * along
            value = self._value(w, scores)
            pulled = rows.gradient(w, self._pulls(scores, slice(None)))
        return w, False

    def _pulls(self, scores: Tensor, at: slice) -> Tensor:
        """How far each row is inside the margin of each class, with the sign of its target."""
        return self.y[at] * (1 - self.y[at] * scores).clamp(min=0) * self.used[at]

    def _value(self, w: Tensor, scores: Tensor) -> Tensor:
        """The objective of each class, (classes,) float64."""
        slack = (1 - self.y * scores).clamp(min=0) * self.used
        return 0.5 * w.double().square().sum(0) + self.c * slack.double().square().sum(0)

    def _solve(self, mask: Tensor, right: Tensor, enough: Tensor) -> tuple[Tensor, Tensor]:
        """Conjugate gradients for every column of (I + X' mask X) x = right until its residual is below `enough`; x and X x."""
        scale = mask.mean(0)  # as if every row were in the loss, with less weight
        x, along = torch.zeros_like(right), torch.zeros_like(mask)
        residual = right.clone()
        p = z = self.sketch.solve(residual, scale)
        squared = (residual * z).sum(0)
        for _ in range(CONJUGATE_STEPS):
            going = _norm(residual) > enough
            if not bool(going.any()):
                break
            scores, q = self.rows.through(p, lambda scores, at: scores * mask[at])
            q = q + p
            size = torch.where(going, squared / (p * q).sum(0), torch.zeros_like(squared))
            x += size * p
            along += size * scores
            residual -= size * q
            z = self.sketch.solve(residual, scale)
            before, squared = squared, torch.where(going, (residual * z).sum(0), squared)
            p = torch.where(going, z + squared / before * p, p)
        return x, along

    def _line_search(
        self, w: Tensor, direction: Tensor, scores: Tensor, along: Tensor, value: Tensor, slope: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The largest of 1, 1/2, 1/4, ... that lowers the objective of each class enough: (classes,), and which have one."""
        size = torch.ones_like(value)
        for _ in range(HALVINGS):
            reached = self._value(w + size * direction, scores + size * along)
            better = reached <= value + ARMIJO * size * slope
            if bool(better.all()):
                break
            size = torch.where(better, size, size / 2)
        return torch.where(better, size, torch.zeros_like(size)), better & (slope < 0)


def _norm(columns: Tensor) -> Tensor:
    return columns.square().sum(0).sqrt()
