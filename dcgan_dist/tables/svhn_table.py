"""The SVHN table: error of a linear machine on a discriminator's features, with 1000 labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.data.label_draws import (
    LABELS_PER_CLASS,
    SVHN_VALIDATION,
    check_labels,
    check_svhn,
    draw_labels,
    validation_split,
)
from dcgan_dist.data.shards.manifest import Manifest
from dcgan_dist.data.stream import read_images, read_labels
from dcgan_dist.errors import require
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.ranges import from_uint8
from dcgan_dist.prepare.sources.svhn import SvhnSource
from dcgan_dist.registry.load import (
    describe_training,
    is_authors_folder,
    is_untrained,
    load_discriminator,
    untrained_discriminator,
)
from dcgan_dist.tables.extract import extract_features, fit_to
from dcgan_dist.tables.feature_table import MemoryRows, Rows
from dcgan_dist.tables.features import feature_dimensions
from dcgan_dist.tables.job import (
    FEATURES,
    ProbeOptions,
    TableJob,
    complete,
    count_images,
    describe_features,
    open_data,
    turned,
)
from dcgan_dist.tables.paper_tables import SVHN, Row
from dcgan_dist.tables.probe_protocol import C_GRID, HeldOut, best_c, errors_of_draws, summarise

SMALL_IMAGES, SMALL_TEST_SHARE, SMALL_SPLITS = 946, 0.26, 5


@dataclass(frozen=True, kw_only=True, slots=True)
class SvhnTable(ProbeOptions):
    """The SVHN table."""

    c_draws: int = 10
    """Draws of 1000 labels that C is chosen by (paper protocol)."""
    draws: int = 100
    """Further draws that the error is the mean of (paper protocol)."""


def fill_svhn_table(options: SvhnTable) -> int:
    """Measure every row; returns the exit code.

    Raises:
        InputError: model or data cannot be used.
    """
    options = complete(options)
    require(options.c_draws >= 1 and options.draws >= 1, "`c_draws` and `draws` must be at least 1")
    model = load_discriminator(options.model, options.tracking_uri, seed=options.seed)
    dimensions = feature_dimensions(model.config)
    if options.dry_run:
        counts = count_images(options, lambda path: SvhnSource(path=path))
        images = sum(counts.values()) if options.protocol == "paper" else min(SMALL_IMAGES, counts.get("train", 0))
        print(describe_features(options, counts, images, dimensions))
        return 0
    job = TableJob("svhn", options, ["test", "validation", "train"])
    manifest = open_data(options, lambda path: SvhnSource(path=path))
    measure = _Measurement(options, manifest)
    kind = "untrained" if is_untrained(options.model) else "DCGAN"
    ours = measure.discriminator(model, f"{kind} discriminator + L2-SVM", "model")
    others = []
    if options.controls:
        if is_authors_folder(Path(options.model)):
            others.append(measure.discriminator(turned(model), "the same, kernels turned by 180 degrees", "turned"))
        if not is_untrained(options.model):
            network = untrained_discriminator(model.config, seed=options.seed)
            others.append(measure.discriminator(network, "random discriminator of the same shape", "random"))
        others.append(measure.pixels())
    ours.details["trained_on"] = describe_training(options.model)
    deviations = (*ours.deviations, f"trained on: {ours.details['trained_on']}")
    ours = dataclasses.replace(ours, deviations=deviations)
    details = {"data": {"manifest_hash": manifest.hash, "images": measure.counts}, "dimensions": dimensions}
    return job.finish(ours, others, SVHN, details)


class _Measurement:
    """One protocol on one data set, for any features."""

    def __init__(self, options: SvhnTable, manifest: Manifest) -> None:
        self.options, self.manifest = options, manifest
        self.train = manifest.split("train")
        self.labels = read_labels(self.train).numpy()
        self.deviations: list[str] = []
        if options.protocol == "paper":
            self.test = manifest.split("test")
            self.test_labels = read_labels(self.test).numpy()
            check_svhn("train", self.labels)
            check_svhn("test", self.test_labels)
            self._draw_labels()
        else:
            self._split()
        self.images = len(self.labels)
        self.counts = {"train": self.images, "test": len(self.test_labels)}

    def _draw_labels(self) -> None:
        options = self.options
        self.validation, pool = validation_split(len(self.labels), SVHN_VALIDATION, seed=options.seed)
        self.draws = [
            draw_labels(self.labels, pool, per_class=LABELS_PER_CLASS, seed=options.seed, draw=number)
            for number in range(options.c_draws + options.draws)
        ]
        if (options.c_draws, options.draws) != (10, 100):
            self.deviations.append(f"{options.c_draws} draws for C and {options.draws} for the error, not 10 and 100")
        self.deviations.append("all C's are compared on the same draws, statistics on all train images")

    def _split(self) -> None:
        """Five splits of a few digits: what is not learnt from is tested on, and C is chosen there too."""
        self.labels = self.labels[:SMALL_IMAGES]
        check_labels("train", self.labels)
        test = round(SMALL_TEST_SHARE * len(self.labels))
        splits = [
            validation_split(len(self.labels), test, seed=SMALL_SPLITS * self.options.seed + number)
            for number in range(SMALL_SPLITS)
        ]
        self.tests, self.draws = [held_out for held_out, _ in splits], [rest for _, rest in splits]
        self.test_labels = self.labels[self.tests[0]]
        self.deviations.append(
            f"small: {len(self.draws[0])} train and {test} test images of the train split's first {len(self.labels)}, "
            f"mean of {SMALL_SPLITS} splits, C chosen on the test images, statistics on all {len(self.labels)}"
        )

    def discriminator(self, network: Discriminator, name: str, key: str) -> Row:
        """A row of a discriminator's features."""
        options, folder = self.options, Path(self.options.out) / FEATURES
        extractor = fit_to(network, self.train, folder, options.workers, name=key, images=self.images)
        train = extract_features(extractor, self.train, folder, options.workers, images=self.images)
        test = extract_features(extractor, self.test, folder, options.workers) if options.protocol == "paper" else None
        return self._row(train, test, name, key)

    def pixels(self) -> Row:
        """A row of the pixels as they are."""

        def rows(manifest: Manifest, count: int) -> MemoryRows:
            images = read_images(manifest, np.arange(count), image_size=manifest.image_size)
            return MemoryRows(values=from_uint8(images, "tanh").flatten(1))

        test = rows(self.test, len(self.test_labels)) if self.options.protocol == "paper" else None
        return self._row(rows(self.train, self.images), test, "pixels", "pixels")

    def _row(self, train: Rows, test: Rows | None, name: str, key: str) -> Row:
        device, labels, n = self.options.workers.device, self.labels, self.options.c_draws

        def run(
            draws: list[NDArray[np.int64]], cs: tuple[float, ...], sets: Callable[[int], list[HeldOut]], words: str
        ) -> NDArray[np.float64]:
            return errors_of_draws(train, labels, draws, cs, sets, device=device, name=f"{key}: {words}")

        if test is None:
            found = run(self.draws, C_GRID, lambda i: [HeldOut(train, self.tests[i], labels[self.tests[i]])], "C grid")
            c, curve = best_c(found[:, :, 1]), found[:, :, 1].mean(0)
            columns = {"train": found[:, C_GRID.index(c), 0], "test": found[:, C_GRID.index(c), 1]}
        else:
            validation = HeldOut(train, self.validation, labels[self.validation])
            grid = run(self.draws[:n], C_GRID, lambda _: [validation], "C grid")
            c, curve = best_c(grid[:, :, 1]), grid[:, :, 1].mean(0)
            held_out = [validation, HeldOut(test, None, self.test_labels)]
            final = run(self.draws[n:], (c,), lambda _: held_out, f"C {c:g}")
            columns = {"train": final[:, 0, 0], "validation": final[:, 0, 1], "test": final[:, 0, 2]}
        summaries = {column: summarise(values) for column, values in columns.items()}
        return Row(
            name=name,
            figures={column: summary.mean for column, summary in summaries.items()},
            spread={column: summary.spread for column, summary in summaries.items()},
            source="this run",
            deviations=tuple(self.deviations),
            details={
                "key": key,
                "c": c,
                "dimensions": train.dimensions,
                "error_by_c": dict(zip(map(str, C_GRID), curve.tolist(), strict=True)),
            },
        )
