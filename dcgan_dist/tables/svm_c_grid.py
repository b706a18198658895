"""Linear SVMs on features over a grid of C: their errors, and which C is chosen, as the paper's tables have them.

Source: the released `svhn_semisup_analysis.py` for SVHN: C from a grid by the mean validation error of 10 draws of labels, then
100 new draws. The script for CIFAR-10 was never released; the same rules are used.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from dcgan_dist.tables.feature_table import MemoryRows, Rows
from dcgan_dist.tables.linear_probe import FewRows, LinearSvm, fit_linear_svm, sketch_rows
from dcgan_dist.tables.row_products import as_stored, score_rows

CLASSES = 10
FEW_ROWS = 6000
"""Up to here the Gram matrix of the rows is quicker than the rows, and small: 290 MB in float64."""
TOLERANCE = 1e-4
"""LinearSVC's own; 1e-6 takes half as many passes again and leaves the accuracy on held-out rows as it is."""

Positions = NDArray[np.int64]
Labels = NDArray[np.int64]


class HeldOut(NamedTuple):
    """Images that errors are measured on."""

    rows: Rows
    positions: Positions | None
    """None: all rows."""
    labels: Labels
    """Classes of these rows."""


def fit_path(
    rows: Rows,
    labels: Labels,
    positions: Positions,
    cs: Sequence[float],
    *,
    device: torch.device,
    start: LinearSvm | None = None,
) -> list[LinearSvm]:
    """A linear SVM per C on the rows at positions, each begun at the solution of the one before, so C best rises.

    Labels are those of all rows; the first SVM begins at `start`, unless the rows are few.

    Raises:
        InputError: a class without a row, or a non-finite feature.
    """
    if len(positions) <= FEW_ROWS and len(positions) < rows.dimensions:
        few = FewRows(rows.take(positions).to(device), torch.from_numpy(labels[positions]), classes=CLASSES)
        return [few.fit(c, tol=TOLERANCE) for c in cs]
    if len(positions) <= FEW_ROWS and len(positions) < len(rows):  # the others need not be walked
        rows, labels = MemoryRows(values=rows.take(positions)), labels[positions]
        positions = np.arange(len(positions))
    blocks = rows.blocks
    if device.type != "cpu":  # a GPU has the memory, and would wait for files
        resident = [block.to(device) for block in rows.blocks()]
        blocks = resident.__iter__
    learnt = torch.full((len(rows),), -1)
    learnt[torch.from_numpy(positions)] = torch.from_numpy(labels[positions])
    path: list[LinearSvm] = []
    shape = {"classes": CLASSES, "dimensions": rows.dimensions}
    sketch = sketch_rows(blocks, rows.dimensions)
    for c in tqdm(cs, desc="C grid", unit="C", leave=False, disable=len(cs) == 1):
        start = fit_linear_svm(blocks, learnt, c, **shape, start=start, sketch=sketch, tol=TOLERANCE)
        path.append(start)
    return path


def errors(path: Sequence[LinearSvm], held_out: HeldOut) -> NDArray[np.float64]:
    """Error of each SVM in percent: (len(path),); the rows are read once for all of them."""
    device = path[0].weights.device
    columns = torch.cat([svm.weights for svm in path], 1).T.contiguous()
    intercepts = torch.cat([svm.intercept for svm in path])
    wrong, count = torch.zeros(len(path), device=device), 0
    for block in held_out.rows.blocks(held_out.positions):
        truth = torch.from_numpy(held_out.labels[count : count + len(block)]).to(device)
        scores = score_rows(as_stored(block.to(device), columns.dtype), columns) + intercepts
        wrong += (scores.view(len(block), len(path), CLASSES).argmax(2) != truth[:, None]).sum(0)
        count += len(block)
    return (100 * wrong.double() / count).cpu().numpy()


def best_c(validation_errors: NDArray[np.float64], cs: Sequence[float]) -> float:
    """The C with the least mean error of (draws, len(cs)) on images that were not learnt from; among equals the smallest."""
    return cs[int(validation_errors.mean(0).argmin())]


def summarise(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and 1.96 (population) standard deviations of (draws,), as the released script prints them."""
    return float(values.mean()), float(1.96 * values.std())
