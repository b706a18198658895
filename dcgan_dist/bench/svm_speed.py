"""Linear solvers on discriminator features: ours against scikit-learn's LinearSVC, same objective, same tolerance.

Features of a random discriminator of --preset on the first images of a labelled data set; both learn from the same rows, one
after the other, and are compared in time, weights, and accuracy on the rows after them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.svm import LinearSVC
from torch import Tensor

from dcgan_dist.bench.harness import Benchmark, Measured, machine, synchronize, table
from dcgan_dist.cli.command_line import absolute
from dcgan_dist.data.stream import read_images, read_labels, refuse_bad_sample
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.pixel_ranges import from_uint8
from dcgan_dist.models.standing_statistics import restandardise
from dcgan_dist.prepare.sources.cifar10 import Cifar10Source
from dcgan_dist.presets import preset
from dcgan_dist.registry.load import untrained
from dcgan_dist.tables.features import discriminator_features
from dcgan_dist.tables.job import open_data
from dcgan_dist.tables.linear_probe import FewRows, LinearSvm, fit_linear_svm
from dcgan_dist.tables.table_options import TableOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class Options(Benchmark):
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
    """Tolerance of all solvers."""
    reference: bool = True
    """Run scikit-learn too, by far the longest part."""
    blocks: bool = False
    """Also our form for many rows, which reads them in blocks."""
    use_gpu: bool = False
    """Ours on a GPU."""


def measure(options: Options) -> dict[str, Any]:
    """Seconds, weights and accuracy of every solver that is asked for, the reference last."""
    features, labels, test, truth = _features(options)
    device = torch.device("cuda" if options.use_gpu else "cpu")
    rows, classes = features.to(device), int(labels.max()) + 1

    def many_rows() -> LinearSvm:
        shape: dict[str, Any] = {"classes": classes, "dimensions": rows.shape[1]}
        return fit_linear_svm(lambda: iter(rows.split(512)), labels, options.c, tol=options.tol, **shape)

    def reference() -> LinearSvm:
        svc = LinearSVC(C=options.c, tol=options.tol, max_iter=100_000).fit(features.numpy(), labels.numpy())
        weights, intercept = torch.from_numpy(svc.coef_.T), torch.from_numpy(svc.intercept_)
        return LinearSvm(weights=weights, intercept=intercept, converged=True, passes=int(np.max(svc.n_iter_)))

    solvers: dict[str, Callable[[], LinearSvm]] = {
        "ours, Gram matrix": lambda: FewRows(rows, labels, classes=classes).fit(options.c, tol=options.tol),
        **({"ours, blocks": many_rows} if options.blocks else {}),
        **({"scikit-learn LinearSVC": reference} if options.reference else {}),
    }
    fitted: dict[str, tuple[float, LinearSvm]] = {}
    for name, solve in solvers.items():
        with Measured() as measured:
            svm = solve()
            synchronize(device)
        fitted[name] = measured.seconds, svm
    last = _parameters(list(fitted.values())[-1][1])
    return {
        "rows": len(features),
        "features": features.shape[1],
        "test_rows": len(test),
        "c": options.c,
        "tol": options.tol,
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "solvers": [
            {
                "solver": name,
                "seconds": round(seconds, 2),
                "converged": svm.converged,
                "passes": svm.passes,
                "weights_off_the_last": float((_parameters(svm) - last).norm() / last.norm()),
                "accuracy": round(100 * float((_classes(svm, test) == truth).double().mean()), 3),
            }
            for name, (seconds, svm) in fitted.items()
        ],
    }


def _classes(svm: LinearSvm, rows: Tensor) -> Tensor:
    """The class of each row, on the CPU."""
    return (rows.to(svm.weights) @ svm.weights + svm.intercept).argmax(1).cpu()


def render(result: dict[str, Any]) -> str:
    """The figures as a table."""
    formats = {
        "solver": "",
        "seconds": ".2f",
        "converged": "",
        "passes": "d",
        "off the last": ".1e",
        "accuracy, %": ".3f",
    }
    return (
        f"{result['rows']:,} rows of {result['features']:,} features, {result['test_rows']:,} to test on, C {result['c']:g}, "
        f"tolerance {result['tol']:g}\n" + table(formats, (solver.values() for solver in result["solvers"]))
    )


def _parameters(svm: LinearSvm) -> Tensor:
    """All weights and intercepts, float64."""
    return torch.cat([svm.weights, svm.intercept[None]]).double().cpu()


def _features(options: Options) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features and classes of the rows to learn from, and of those after them."""
    table = TableOptions(model="", data=absolute(options.data, "data"), out=absolute(options.work, "work"))
    train = open_data(table, lambda options: Cifar10Source(path=options.data)).split("train")
    network = untrained(Discriminator, preset(options.preset).model, seed=0)
    positions = np.arange(min(options.rows + options.test_rows, train.samples))
    size = network.config.image_size
    images = read_images(train, positions, image_size=size, image_channels=3, on_bad_sample=refuse_bad_sample)
    restandardise(network, [(from_uint8(batch, "tanh"),) for batch in images[: 128 * 10].split(128)])
    rows = torch.cat([discriminator_features(network, batch) for batch in images.split(128)])
    labels = read_labels(train)[: len(rows)]
    return rows[: options.rows], labels[: options.rows], rows[options.rows :], labels[options.rows :]
