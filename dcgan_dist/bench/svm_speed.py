"""Linear solvers on discriminator features: ours against scikit-learn's LinearSVC, same objective, same tolerance.

Features of a random discriminator of --preset on the first images of a labelled data set; both learn from the same rows, one
after the other, and are compared in time, weights, and accuracy on the rows after them.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from sklearn.svm import LinearSVC
from torch import Tensor

from dcgan_dist.cli.command_line import absolute, parse
from dcgan_dist.cli.result_file import write_json
from dcgan_dist.data.stream import read_images, read_labels
from dcgan_dist.models.ranges import from_uint8
from dcgan_dist.models.standing_statistics import restandardise
from dcgan_dist.prepare.sources.cifar10 import Cifar10Source
from dcgan_dist.presets import preset
from dcgan_dist.registry.load import untrained_discriminator
from dcgan_dist.tables.features import discriminator_features
from dcgan_dist.tables.job import open_data
from dcgan_dist.tables.linear_probe import FewRows, LinearSvm, fit_linear_svm
from dcgan_dist.tables.table_options import TableOptions

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeBenchmark:
    """What is compared."""

    data: str
    """CIFAR-10: what jobs/prepare_cifar10.py reads, or shards of any labelled data set."""
    work: str
    """Folder for shards, where the data is not one of shards."""
    preset: str = "svhn32"
    """Whose discriminator's shape: svhn32 gives 7168 features, imagenet32 28672."""
    rows: int = 5000
    """Rows to learn from."""
    test_rows: int = 2000
    """Rows that accuracy is measured on, after those."""
    c: float = 1e-3
    """Weight of the loss."""
    tol: float = 1e-6
    """Of both."""
    reference: bool = True
    """Run scikit-learn too, by far the longest part."""
    blocks: bool = False
    """Also our form for many rows, which reads them in blocks."""
    use_gpu: bool = False
    """Ours on a GPU."""
    json: str = ""
    """Also write the figures to this file."""


def main(argv: list[str]) -> int:
    """Make features, solve, compare, print."""
    options = parse(
        ProbeBenchmark, argv, description=__doc__ or "", joins=False, prog="python -m dcgan_dist.bench probe"
    )
    features, labels, test, truth = _features(options)
    solvers = _solve(options, features, labels)
    last = list(solvers.values())[-1][1]
    entries = [
        {
            "solver": name,
            "seconds": round(seconds, 2),
            "converged": svm.converged,
            "steps": svm.steps,
            "weights_off_the_last": _off(svm, last),
            "accuracy": round(
                100 * float((svm.scores(test.to(svm.weights)).argmax(1).cpu() == truth).double().mean()), 3
            ),
        }
        for name, (seconds, svm) in solvers.items()
    ]
    shape = {
        "rows": len(features),
        "features": features.shape[1],
        "test_rows": len(test),
        "c": options.c,
        "tol": options.tol,
    }
    result = {
        **shape,
        "machine": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "solvers": entries,
    }
    print(shape)
    for entry in entries:
        print(
            f"{entry['solver']:24} {entry['seconds']:9.2f} s  accuracy {entry['accuracy']:7.3f} %  weights off the last "
            f"{entry['weights_off_the_last']:.1e}  converged {entry['converged']}"
        )
    write_json(options.json, result)
    return 0


def _solve(options: ProbeBenchmark, features: Tensor, labels: Tensor) -> dict[str, tuple[float, LinearSvm]]:
    """Seconds and solution of each solver that was asked for, the reference last."""
    device = torch.device("cuda" if options.use_gpu else "cpu")
    classes = int(labels.max()) + 1
    rows = features.to(device)

    solvers: dict[str, tuple[float, LinearSvm]] = {
        "ours, Gram matrix": _timed(lambda: FewRows(rows, labels, classes=classes).fit(options.c, tol=options.tol))
    }
    if options.blocks:
        solvers["ours, blocks"] = _timed(
            lambda: fit_linear_svm(
                lambda: iter(rows.split(512)),
                labels,
                options.c,
                classes=classes,
                dimensions=rows.shape[1],
                tol=options.tol,
            )
        )
    if options.reference:
        seconds, svc = _timed(
            lambda: LinearSVC(C=options.c, tol=options.tol, max_iter=100_000).fit(features.numpy(), labels.numpy())
        )
        theirs = LinearSvm(
            weights=torch.from_numpy(svc.coef_.T),
            intercept=torch.from_numpy(svc.intercept_),
            converged=True,
            steps=int(np.max(svc.n_iter_)),
            passes=0,
        )
        solvers["scikit-learn LinearSVC"] = seconds, theirs

    return solvers


def _features(options: ProbeBenchmark) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features and classes of the rows to learn from, and of those after them."""
    table = TableOptions(model="", data=absolute(options.data, "data"), out=absolute(options.work, "work"))
    train = open_data(table, lambda path: Cifar10Source(path=path)).split("train")
    network = untrained_discriminator(preset(options.preset).model, seed=0)
    positions = np.arange(min(options.rows + options.test_rows, train.samples))
    images = read_images(train, positions, image_size=network.config.image_size, image_channels=3)
    restandardise(network, [(from_uint8(batch, "tanh"),) for batch in images[: 128 * 10].split(128)])
    rows = torch.cat([discriminator_features(network, batch) for batch in images.split(128)])
    labels = read_labels(train)[: len(rows)]
    return rows[: options.rows], labels[: options.rows], rows[options.rows :], labels[options.rows :]


def _timed(solve: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    solved = solve()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began, solved


def _off(svm: LinearSvm, other: LinearSvm) -> Any:
    """Norm of the difference of all weights and intercepts, relative to the other's norm."""
    one, two = (torch.cat([s.weights, s.intercept[None]]).double().cpu() for s in (svm, other))
    return float((one - two).norm() / two.norm())
