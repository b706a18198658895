"""The SVHN table: error of a linear SVM on a discriminator's features, with 1000 labels."""

import copy
from collections.abc import Iterator

import numpy as np
import torch

from dcgan_dist.data.label_draws import (
    LABELS_PER_CLASS,
    SVHN_SAMPLES,
    SVHN_VALIDATION,
    check_labels,
    check_svhn,
    validation_split,
)
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.data.stream import read_images, read_labels, refuse_bad_sample
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.pixel_ranges import from_uint8
from dcgan_dist.prepare.sources.svhn import SvhnSource
from dcgan_dist.registry.load import is_authors_folder, is_untrained
from dcgan_dist.storage.copies import local_input
from dcgan_dist.tables.extract import Workers, check_fits
from dcgan_dist.tables.feature_table import MemoryRows, Rows
from dcgan_dist.tables.features import feature_dimensions
from dcgan_dist.tables.job import Table
from dcgan_dist.tables.paper_tables import SVHN, Row
from dcgan_dist.tables.probe_rows import Fitted, ProbeRows, feature_work, load_probed, network_seconds
from dcgan_dist.tables.svm_c_grid import HeldOut, best_c, summarise
from dcgan_dist.tables.table_options import C_GRID, SvhnTableOptions
from dcgan_dist.tables.train_first import best_checkpoint
from dcgan_dist.tables.work_seconds import Seconds, few_seconds

SMALL_IMAGES, SMALL_TEST_SHARE, SMALL_SPLITS = 946, 0.26, 5


class SvhnRows(ProbeRows):
    """The protocol of the SVHN table."""

    options: SvhnTableOptions

    def __init__(self, options: SvhnTableOptions, manifest: Manifest) -> None:
        super().__init__(options, manifest)
        self.train = manifest.split("train")
        self.labels = read_labels(self.train).numpy()
        if options.protocol == "paper":
            self.test = manifest.split("test")
            self.test_labels = read_labels(self.test).numpy()
            check_svhn("train", self.labels)
            check_svhn("test", self.test_labels)
            self._draw_labels()
        else:
            self.test = None
            self._split()

    def _draw_labels(self) -> None:
        options = self.options
        self.validation, pool = validation_split(len(self.labels), SVHN_VALIDATION, seed=options.seed)
        self.draws = self.draw_labels(pool, LABELS_PER_CLASS)
        if (options.c_draws, options.draws) != (10, 100):
            self.deviations.append(f"{options.c_draws} draws for C and {options.draws} for the error, not 10 and 100")
        self.deviations.append("all C's are compared on the same draws, statistics on all train images")

    def _split(self) -> None:
        """Five splits of a few digits; C is chosen on the test images of each."""
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

    def other_rows(self, discriminator: Discriminator) -> Iterator[Row]:
        if not self.options.controls:
            return
        if _is_authors(self.options.model):
            yield self.network_row(flip_kernels(discriminator), "the same, kernels flipped", "turned")
        yield from self.random_row(discriminator)
        yield self._pixel_row()

    def _pixel_row(self) -> Row:
        """The row of the pixels as they are."""

        def rows(manifest: Manifest, count: int) -> MemoryRows:
            images = read_images(
                manifest, np.arange(count), image_size=manifest.image_size, on_bad_sample=refuse_bad_sample
            )
            return MemoryRows(values=from_uint8(images, "tanh").flatten(1))

        test = rows(self.test, len(self.test_labels)) if self.test else None
        return self.row("pixels", "pixels", rows(self.train, len(self.labels)), test)

    def fit(self, train: Rows, test: Rows | None, key: str) -> Fitted:
        labels, c_draws = self.labels, self.options.c_draws
        if test is None:
            sets = [[HeldOut(train, positions, labels[positions])] for positions in self.tests]
            grid = self.errors(train, self.draws, C_GRID, sets.__getitem__, f"{key}: C grid")
            c = best_c(grid[:, :, 1], C_GRID)
            columns = dict(zip(("train", "test"), grid[:, C_GRID.index(c)].T, strict=True))
        else:
            validation = HeldOut(train, self.validation, labels[self.validation])
            grid = self.errors(train, self.draws[:c_draws], C_GRID, lambda _: [validation], f"{key}: C grid")
            c = best_c(grid[:, :, 1], C_GRID)
            held_out = [validation, HeldOut(test, None, self.test_labels)]
            final = self.errors(train, self.draws[c_draws:], (c,), lambda _: held_out, f"{key}: C {c:g}")
            columns = dict(zip(("train", "validation", "test"), final[:, 0].T, strict=True))
        summaries = {column: summarise(errors) for column, errors in columns.items()}
        return Fitted(
            {column: mean for column, (mean, _) in summaries.items()},
            {column: spread for column, (_, spread) in summaries.items()},
            {"c": c, "error_by_c": dict(zip(map(str, C_GRID), grid[:, :, 1].mean(0).tolist(), strict=True))},
        )


def flip_kernels(discriminator: Discriminator) -> Discriminator:
    """A copy with every kernel flipped along both axes, as if the authors' arrays were read without their flip."""
    network = copy.deepcopy(discriminator)
    with torch.no_grad():
        for layer in network.convolutions:
            assert isinstance(layer, torch.nn.Conv2d)
            layer.weight.copy_(layer.weight.flip(2, 3))
    return network


def _used(options: SvhnTableOptions, counts: dict[str, int]) -> int:
    """Images whose features are made."""
    return sum(counts.values()) if options.protocol == "paper" else min(SMALL_IMAGES, counts.get("train", 0))


def _work(options: SvhnTableOptions, counts: dict[str, int], discriminator: Discriminator) -> str:
    return feature_work(options, _used(options, counts), discriminator)


def _seconds(options: SvhnTableOptions, counts: dict[str, int], discriminator: Discriminator) -> Seconds:
    """Features of every row, then its linear SVMs."""
    used, device = _used(options, counts), Workers(use_gpu=options.use_gpu).device
    networks = ["the model"]
    if options.controls and not is_untrained(options.model):
        networks += [*(["the flipped one"] if _is_authors(options.model) else []), "a random one"]
    seconds = network_seconds(options, min(used, counts.get("train", 0)), used, discriminator, networks)
    rows = {name: feature_dimensions(discriminator.config) for name in networks}
    if options.controls:
        rows["pixels"] = 3 * discriminator.config.image_size**2
    for name, dimensions in rows.items():
        if options.protocol == "paper":
            few, held_out = LABELS_PER_CLASS * 10, used - counts.get("train", 0) + SVHN_VALIDATION
            taken = options.c_draws * few_seconds(few, SVHN_VALIDATION, dimensions, C_GRID, device)
            taken += options.draws * few_seconds(few, held_out, dimensions, C_GRID[:1], device)
        else:
            taken = SMALL_SPLITS * few_seconds(used, used, dimensions, C_GRID, device)
        seconds[f"linear SVMs of {name}"] = taken
    return seconds


def _is_authors(model: str) -> bool:
    """Whether it names the authors' arrays."""
    with local_input(model, "model") as folder:
        return is_authors_folder(folder)


def _check(options: SvhnTableOptions, discriminator: Discriminator, manifest: Manifest) -> None:
    check_fits(discriminator.config, manifest)
    SvhnRows(options, manifest)


SVHN_TABLE = Table(
    name="svhn",
    source=lambda options: SvhnSource(path=options.data),
    paper=SVHN,
    columns=lambda _: ("test", "validation", "train"),
    load=load_probed,
    work=_work,
    seconds=_seconds,
    check=_check,
    samples=SVHN_SAMPLES,
    measure=lambda options, discriminator, manifest: SvhnRows(options, manifest).measure(discriminator),
    checkpoint=best_checkpoint,
)
